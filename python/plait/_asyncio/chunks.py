"""Coroutines on worker processes: a chunk of calls is one task of a worker, which runs an event loop for it.

Each worker keeps its loop, and how many coroutines at a time served it best, from chunk to chunk. Each result
is encoded by itself, so that one which cannot be sent fails alone, and in its place.
"""

import asyncio
import itertools
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from time import perf_counter
from typing import Any

from plait import _core, _own
from plait._asyncio.group import Call, Group, Limits, Width, is_order_to_stop, shown
from plait._asyncio.home import new_loop

# Calls in a chunk, for each coroutine that a worker may have at a time: at the end of a chunk they get fewer.
_PER_PLACE = 4

# Where that number is found by climbing.
_CLIMBING = 1024

# Seconds of reading after which a chunk goes as it is.
_SLOW = 0.05

# Chunks on their way for each worker.
_PER_WORKER = 2

# Maps whose width a worker remembers.
_MOST_WIDTHS = 64

# (kind, bytes, buffers) of a value, or (None, bytes, []) of an exception.
Sent = tuple[int | None, bytes, list[Any]]


class Chunk:
    """What a worker calls with a chunk."""

    plait_numbered = True

    def __init__(self, fn: Callable[..., Any], concurrency: int | None, limits: Limits) -> None:
        """See `plait.map`."""
        self._fn = fn
        self._concurrency = concurrency
        self._limits = limits
        self._map = _own.new_id()

    def __call__(self, *calls: tuple[Any, ...]) -> list[Sent]:
        """Run the coroutines of `calls`; what became of each."""
        global _loop
        if _loop is None:
            _loop = new_loop()
        made = [Call(args, self._limits) for args in calls]
        run = _Run(_loop, self._fn, self._width(), made)
        try:
            _loop.run_until_complete(run.main())
        except BaseException:
            # The order to stop has struck in the loop itself, which is not to be trusted any more.
            loop, _loop = _loop, None
            try:
                loop.run_until_complete(run.group.end())
            finally:
                loop.close()
            raise
        return [_sent(call) for call in made]

    def _width(self) -> Width:
        width = _widths.pop(self._map, None)
        if width is None:
            width = Width(self._concurrency)
            while len(_widths) >= _MOST_WIDTHS:
                _widths.popitem(last=False)
        _widths[self._map] = width
        return width


# Of this worker process.
_loop: asyncio.AbstractEventLoop | None = None
_widths: "OrderedDict[str, Width]" = OrderedDict()


class _Run:
    """One chunk on the loop of its worker."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fn: Callable[..., Any], width: Width, calls: list[Call]
    ) -> None:
        self.group = Group(loop, fn, width, self._tell)
        self._calls = calls
        self._left = len(calls)
        self._stopped: BaseException | None = None
        self._done: asyncio.Future[None] = loop.create_future()
        loop.set_exception_handler(self._on_error)

    async def main(self) -> None:
        """Run all, and return when all have ended."""
        try:
            for call in self._calls:
                self.group.begin(call)
            if self._left:
                await self._done
        finally:
            await self.group.end()
        if self._stopped is not None:
            raise self._stopped

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Meet what no coroutine was to meet: the order to stop may strike in the loop itself, too."""
        error = context.get("exception")
        if not is_order_to_stop(error):
            loop.default_exception_handler(context)
            return
        self._stopped = error
        if not self._done.done():
            self._done.set_result(None)

    def _tell(self, call: Call) -> None:
        self._left -= 1
        if is_order_to_stop(call.error):
            self._stopped = call.error
        if (not self._left or self._stopped is not None) and not self._done.done():
            self._done.set_result(None)


class PlainChunk:
    """The same of a plain function: its calls one after the other, all or up to the first that raises."""

    plait_numbered = True

    def __init__(self, fn: Callable[..., Any], goes_on: bool) -> None:
        """`fn` is what is called; `goes_on`: also after one that has raised."""
        self._fn = fn
        self._goes_on = goes_on

    def __call__(self, *calls: tuple[Any, ...]) -> list[Sent]:
        """What became of each."""
        made = []
        fn = _core.Apart(self._fn)
        for args in calls:
            call = Call((), (None, 0))
            try:
                call.value = fn(*args)
            except Exception as error:
                call.error = error
            made.append(_sent(call))
            if call.error is not None and not self._goes_on:
                break
        return made


def _sent(call: Call) -> Sent:
    error = call.error
    if error is None:
        buffers: list[Any] = []
        try:
            kind, data = _core.codec.encode(call.value, buffers)
        except Exception as failure:
            error = failure
        else:
            return kind, data, buffers
    return None, _core.codec.encode_exception(shown(error)), []


def arrived(sent: Sent) -> Any:
    """Give the value that a worker sent, or raise the exception."""
    kind, data, buffers = sent
    if kind is None:
        raise _core.codec.decode_exception(data)
    return _core.codec.decode(kind, data, buffers)


def sizes(
    workers: int, left: int | None, chunksize: int | None, concurrency: int | None, buffersize: int | None
) -> tuple[int, int]:
    """How many calls go together, and how many chunks are on their way before one is taken."""
    size = chunksize or (_CLIMBING if concurrency is None else _PER_PLACE * concurrency)
    if chunksize is None and left is not None:
        size = min(size, -(-left // workers))
    if buffersize is None:
        return max(1, size), _PER_WORKER * workers
    # While the results of one are handed out, the others are what was read ahead.
    size = max(1, min(size, buffersize // (workers + 1)))
    return size, max(1, buffersize // size - 1)


async def cut_async(
    calls: AsyncIterator[tuple[Any, ...]], size: int
) -> AsyncIterator[tuple[tuple[Any, ...], ...]]:
    """Cut asynchronous inputs likewise."""
    ended = False
    try:
        while not ended:
            chunk: list[tuple[Any, ...]] = []
            failure: Exception | None = None
            begun = perf_counter()
            while len(chunk) < size and perf_counter() - begun <= _SLOW:
                try:
                    chunk.append(await anext(calls))
                except StopAsyncIteration:
                    ended = True
                    break
                except Exception as error:
                    failure = error
                    break
            if chunk:
                yield tuple(chunk)
            if failure is not None:
                raise failure
    finally:
        await calls.aclose()  # type: ignore[attr-defined]


def cut(calls: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    """Cut the inputs into chunks; fewer go together where they are slow to come, or one raises."""
    calls = iter(calls)
    while True:
        chunk: list[tuple[Any, ...]] = []
        failure: Exception | None = None
        begun = perf_counter()
        try:
            for args in itertools.islice(calls, size):
                chunk.append(args)
                if perf_counter() - begun > _SLOW:
                    break
        except Exception as error:
            failure = error
        if chunk:
            yield tuple(chunk)
        if failure is not None:
            raise failure
        if not chunk:
            return


class ChunkResults(Iterator[Any]):
    """The results of chunks, one by one, in order; who closes or drops it stops what workers have begun."""

    def __init__(
        self,
        submit: Callable[..., Any],
        call: Callable[..., list[Sent]],
        chunks: Iterator[tuple[tuple[Any, ...], ...]],
        ahead: int,
    ) -> None:
        """Submit `call` with each of `chunks`, so many of them ahead."""
        self._submit = submit
        self._call = call
        self._chunks: Iterator[tuple[tuple[Any, ...], ...]] | None = chunks
        self._ahead = ahead
        self._failure: Exception | None = None
        self._futures: deque[Any] = deque()
        self._here: deque[Sent] = deque()
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> Any:
        """The next one.

        Raises:
            Exception: what the call, or an input, raised.

        """
        try:
            while not self._here:
                if not self._futures:
                    self._stop()
                # It stays in the queue meanwhile, so that `close` finds it.
                self._here.extend(self._futures[0].result())
                self._futures.popleft()
                self._fill()
            return arrived(self._here.popleft())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel what was not taken; the iterator is exhausted then."""
        self._chunks = None
        self._here.clear()
        while self._futures:
            self._futures.popleft().cancel()

    def __del__(self) -> None:
        """Close it."""
        self.close()

    def _fill(self) -> None:
        while self._chunks is not None and len(self._futures) < self._ahead:
            try:
                chunk = next(self._chunks)
            except StopIteration:
                self._chunks = None
            except Exception as error:
                # What was submitted before is handed out first.
                self._chunks, self._failure = None, error
            else:
                self._futures.append(self._submit(self._call, *chunk))

    def _stop(self) -> None:
        failure, self._failure = self._failure, None
        if failure is None:
            raise StopIteration
        try:
            raise failure
        finally:
            # No cycle by way of the traceback.
            del failure
