"""The asynchronous iterator of `plait.amap`: results in order, in the caller's own event loop.

What makes the calls is a *maker*: a `Group` for coroutines in this loop, `futures.Futures` for calls of an
executor. Promises: whatever ends the iteration, all that was begun is cancelled, and has ended when `aclose`
returns; whoever drops the iterator leaves that to the loop, as with every asynchronous generator.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, NamedTuple, Protocol

from plait._ahead import held
from plait._asyncio.group import Call, Limits, shown
from plait._asyncio.inputs import Reader, Room, pump

# Calls that are read with each result that is handed out, however quickly results come.
_WITH_EACH = 2


class Maker(Protocol):
    """What makes calls, and belongs to one loop."""

    @property
    def ahead(self) -> int:
        """How many calls should be read ahead."""

    @property
    def running(self) -> int:
        """How many calls are being made now, as far as that is known."""

    def begin(self, call: Call) -> None:
        """Have a call made."""

    def begin_beside(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run something that is ended with the calls."""

    async def end(self) -> None:
        """Cancel everything, and return when it has ended."""


Make = Callable[[asyncio.AbstractEventLoop, Callable[[Call], object]], Maker]


class How(NamedTuple):
    """How the calls of an map are made.

    `make` gives the maker; `limits` are what each call may take; `size` items are one call of it, whose value
    is a list then, each of which `unpack` turns into a result, or raises; `workers`: how many calls run at
    once, None if that is not known; `sent`: the function, where it has to be pickled.
    """

    make: Make
    limits: Limits
    size: int = 1
    unpack: Callable[[Any], Any] | None = None
    workers: int | None = None
    sent: Callable[..., Any] | None = None


class Queue:
    """Calls in the order of their inputs; one coroutine takes them out."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Empty, and not at its end."""
        self.calls: deque[Call] = deque()
        self.ended = False
        self.failure: BaseException | None = None
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether a result, or the end, can be taken."""
        return self.calls[0].done if self.calls else self.ended

    async def wait(self) -> None:
        """Return when that may have changed; at once if something is there."""
        if self.ready:
            return
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def tell(self, call: Call) -> None:
        """A call has ended."""
        if self._waiter is not None and self.calls and self.calls[0] is call:
            self._wake()

    def end(self, failure: BaseException | None) -> None:
        """No call will come after those that are here."""
        self.failure, self.ended = failure, True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def stream(
    make: Make,
    calls: Iterator[tuple[Any, ...]] | AsyncIterator[tuple[Any, ...]],
    limits: Limits,
    buffersize: int | None,
    unpack: Callable[[Any], Any] | None,
) -> AsyncGenerator[Any, None]:
    """Make calls in the context of now and hand out their results in order; see `_stream`."""
    return _stream(held(make), calls, limits, buffersize, unpack)


async def _stream(
    make: Make,
    calls: Iterator[tuple[Any, ...]] | AsyncIterator[tuple[Any, ...]],
    limits: Limits,
    buffersize: int | None,
    unpack: Callable[[Any], Any] | None,
) -> AsyncGenerator[Any, None]:
    """Make calls and hand out their results in order.

    Args:
        make: Gives the maker, which is to tell when a call has ended.
        calls: The arguments of each call.
        limits: What each may take.
        buffersize: The most calls ahead; None: as the maker says.
        unpack: Where the value of a call is a list of results: what to make of each.

    """
    loop = asyncio.get_running_loop()
    queue = Queue(loop)
    maker = make(loop, queue.tell)
    reader = room = None
    values: list[Any] = []

    def has_room() -> bool:
        return len(queue.calls) < (buffersize or maker.ahead)

    def take(args: tuple[Any, ...]) -> None:
        call = Call(args, limits)
        queue.calls.append(call)
        maker.begin(call)

    def read() -> bool:
        if reader is None or reader.ended or not has_room():
            return False
        call = reader.read()
        if call is None:
            queue.end(reader.failure)
            return False
        queue.calls.append(call)
        maker.begin(call)
        return True

    try:
        if isinstance(calls, AsyncIterator):
            room = Room(loop, has_room)
            maker.begin_beside(pump(calls, room, take, queue.end))
        else:
            reader = Reader(calls, limits)
        del calls
        while True:
            while not queue.ready:
                if not read():
                    await queue.wait()
            if not queue.calls:
                if queue.failure is not None:
                    raise queue.failure
                return
            call = queue.calls.popleft()
            if call.error is not None:
                raise shown(call.error)
            # Kept where pop() takes it out, so that nothing here knows a value while the consumer has it.
            values.append(call.value)
            del call
            for _ in range(_WITH_EACH):
                if not read():
                    break
            if room is not None and room.wanted and has_room():
                room.tell()
            if unpack is None:
                yield values.pop()
            else:
                values.extend(reversed(values.pop()))
                while values:
                    yield unpack(values.pop())
    finally:
        if reader is not None:
            reader.close()
        queue.calls.clear()
        await maker.end()
