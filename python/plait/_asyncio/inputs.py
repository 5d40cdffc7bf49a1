"""The inputs of a map of coroutines: read by whoever wants results, or on the loop where one is asynchronous.

`Reader` is for plain iterables, and belongs to the consumer. `pump` is for the others: a task that reads
while there is room. What an input raises is kept until all results before it were handed out.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from plait._asyncio.group import Call, Limits
from plait._asyncio.kind import is_async

# The input ends where this comes.
_END: Any = object()


class Reader:
    """Plain inputs, as they are asked for."""

    def __init__(self, calls: Iterator[tuple[Any, ...]], limits: Limits) -> None:
        """`calls`: the arguments of each; `limits` are what each may take."""
        self._calls: Iterator[tuple[Any, ...]] | None = calls
        self._limits = limits
        self.failure: Exception | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._calls is None

    def read(self) -> Call | None:
        """The next call; None at the end, or after an exception, which `failure` is then."""
        if self._calls is None:
            return None
        try:
            args = next(self._calls, _END)
        except Exception as error:
            self.failure = error
            args = _END
        if args is _END:
            self._calls = None
            return None
        return Call(args, self._limits)

    def close(self) -> None:
        """Let go of the inputs; generators that nobody else has are closed by that."""
        self._calls = None


class Room:
    """Where a pump waits until more may be read; the loop's own thread only."""

    def __init__(self, loop: asyncio.AbstractEventLoop, has_room: Callable[[], bool]) -> None:
        """`has_room` says whether one more may be read."""
        self._loop = loop
        self._has_room = has_room
        self._waiter: asyncio.Future[None] | None = None

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it; any thread may ask."""
        return self._waiter is not None

    def tell(self) -> None:
        """There may be some."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Return when there is some."""
        while True:
            self._waiter = self._loop.create_future()
            # Asked after it is known that somebody waits: who makes room looks the other way round.
            if self._has_room():
                self._waiter = None
                return
            await self._waiter


def zipped(iterables: tuple[Any, ...]) -> AsyncIterator[tuple[Any, ...]]:
    """Zip iterables of both kinds; the asynchronous generators among them are closed at the end.

    Raises:
        TypeError: one is not iterable.

    """
    return _zipped([(aiter(it), True) if is_async(it) else (iter(it), False) for it in iterables])


async def _zipped(sources: list[tuple[Any, bool]]) -> AsyncIterator[tuple[Any, ...]]:
    try:
        while True:
            args = []
            for source, is_asynchronous in sources:
                item = await anext(source, _END) if is_asynchronous else next(source, _END)
                if item is _END:
                    return
                args.append(item)
            yield tuple(args)
    finally:
        for source, _ in sources:
            if inspect.isasyncgen(source):
                await source.aclose()


async def pump(
    calls: AsyncIterator[tuple[Any, ...]],
    room: Room,
    take: Callable[[tuple[Any, ...]], object],
    end: Callable[[Exception | None], object],
) -> None:
    """Read while there is room, handing each on to `take`; `end` hears of the end, or of what was raised."""
    failure: Exception | None = None
    try:
        while True:
            await room.wait()
            args = await anext(calls, _END)
            if args is _END:
                break
            take(args)
    except Exception as error:
        failure = error
    finally:
        await calls.aclose()  # type: ignore[attr-defined]
        end(failure)
