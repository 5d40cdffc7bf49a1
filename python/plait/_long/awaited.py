"""A long map in the caller's event loop: the loop of `run.py`, which pauses where that one would wait.

The calls are made by what makes them for a plain `plait.amap`, a *maker*. All of it, the file too, is of the
loop's own thread.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from time import perf_counter
from typing import Any

from plait._asyncio.group import Call, shown
from plait._asyncio.inputs import Room, pump
from plait._asyncio.stream import How
from plait._long.chunk import Sizer
from plait._long.lanes import Lanes, refuse_unsendable, unpack_into
from plait._long.ledger import Ledger
from plait._long.run import PAUSE, Run
from plait._long.source import Source
from plait._long.stretch import Stretch
from plait._long.wishes import Wishes

# Seconds after which the loop has a turn, where results are there at once.
_TURN = 0.001


class MakerLanes(Lanes):
    """Calls that a maker makes."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, how: How, arrived: Callable[[Stretch], object]
    ) -> None:
        """`arrived` is called in the loop."""
        super().__init__(1, arrived, Sizer(how.size))
        self.maker = how.make(loop, self._tell)
        self._how = how
        self._out: dict[Call, Stretch] = {}

    @property
    def ahead(self) -> int:
        """See `Lanes`."""
        return self.maker.ahead * self._how.size

    @property
    def running(self) -> int:
        """How many calls are being made now, as far as that is known."""
        return self.maker.running if self._how.workers is None else self._how.workers

    def begin(self, stretch: Stretch) -> None:
        """See `Lanes`."""
        stretch.lanes = self
        args = stretch.calls[0] if self._how.unpack is None else tuple(stretch.calls)
        call = Call(args, self._how.limits)
        self._out[call] = stretch
        self.maker.begin(call)

    def collect(self, stretch: Stretch) -> int:
        """See `Lanes`."""
        if stretch.values:
            return len(stretch)
        return super().collect(stretch)

    def _look_at(self, error: BaseException) -> None:
        if self._how.sent is not None:
            refuse_unsendable(self._how.sent, error)

    def _tell(self, call: Call) -> None:
        stretch = self._out.pop(call)
        unpack = self._how.unpack
        if call.error is not None:
            stretch.failures[0] = shown(call.error)
        elif unpack is None:
            stretch.values.append(call.value)
        else:
            unpack_into(stretch, call.value, unpack)
        self._arrived(stretch)


class Pumped(Source):
    """Inputs that another coroutine reads: those that are here now, and an end that is yet to come."""

    def __init__(self, ledger: Ledger | None) -> None:
        """`ledger`: as for `Source`."""
        super().__init__((), ledger)
        self.waiting: deque[tuple[Any, ...]] = deque()
        self._ended = False
        self._failed: BaseException | None = None
        self.items = iter(self.waiting.popleft, None)

    def end(self, failure: BaseException | None) -> None:
        """No items will come after those that are here."""
        self._failed, self._ended = failure, True

    def take(self, size: int) -> Stretch | None:
        """See `Source`; None as well while nothing is here."""
        if self._back or self.waiting:
            return super().take(size if self._back else min(size, len(self.waiting)))
        if self._ended and not self.is_over:
            self.failure = self.failure or self._failed
            self.is_over = True
        return None

    def close(self) -> None:
        """See `Source`."""
        super().close()
        self.waiting.clear()


class AwaitedRun(Run):
    """One map, whose waiting is the loop's."""

    _waiter: asyncio.Future[None] | None = None
    _changed = False

    def arrived(self, stretch: Stretch) -> None:
        """See `Run`."""
        super().arrived(stretch)
        self.wake()

    def wake(self) -> None:
        """Something has changed."""
        self._changed = True
        self._stir()

    async def pause(self, loop: asyncio.AbstractEventLoop) -> None:
        """Return when something has changed, telling of progress meanwhile."""
        while not self._changed:
            self._waiter = loop.create_future()
            patience = self.meter.patience
            timer = None if patience is None else loop.call_later(patience, self._stir)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
            if not self._changed:
                self.meter.tick(self._busy())
        self._changed = False

    def _stir(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _busy(self) -> int:
        lanes = self._lanes
        return min(lanes.running, self.order.calling) if isinstance(lanes, MakerLanes) else 0

    def _wait(self) -> Any:
        if self._ledger is not None:
            self._write()
        return PAUSE


async def stream(
    fn: Callable[..., Any],
    how: How,
    calls: Any,
    iterables: tuple[Any, ...],
    wishes: Wishes,
    buffersize: int | None,
) -> AsyncGenerator[Any, None]:
    """Make calls and hand out their results as was wished; `calls` are the zipped `iterables`.

    Raises:
        plait.CheckpointError: the checkpoint cannot be used, or written.

    """
    loop = asyncio.get_running_loop()
    is_pumped = isinstance(calls, AsyncIterator)
    ledger = None
    if wishes.checkpoint is not None:
        from plait._long.identity import identity

        ledger = Ledger(wishes.checkpoint, identity(fn))
    try:
        pumped = Pumped(ledger)
        source = pumped if is_pumped else Source(iterables, ledger)
        run = AwaitedRun(source, wishes, ledger, lambda run: lanes, buffersize)
        lanes = MakerLanes(loop, how, run.arrived)
    except BaseException:
        if ledger is not None:
            ledger.drop()
        raise
    maker = lanes.maker

    def has_room() -> bool:
        return run.order.items + len(pumped.waiting) < (buffersize or lanes.ahead)

    def take(args: tuple[Any, ...]) -> None:
        pumped.waiting.append(args)
        run.wake()

    def end(failure: BaseException | None) -> None:
        pumped.end(failure)
        run.wake()

    room = Room(loop, has_room)
    values: list[Any] = []
    turn = perf_counter()
    try:
        if is_pumped:
            maker.begin_beside(pump(calls, room, take, end))
        del calls, iterables
        run.begin()
        for batch in run.batches():
            if room.wanted and has_room():
                room.tell()
            if batch is PAUSE:
                await run.pause(loop)
                turn = perf_counter()
                continue
            if perf_counter() - turn > _TURN:
                # A consumer need not ever wait; others are to run all the same.
                await asyncio.sleep(0)
                turn = perf_counter()
            for value in batch:
                # Nothing here knows a value while the consumer has it.
                values.append(value)
                del value
                yield values.pop()
    finally:
        try:
            await maker.end()
        finally:
            run.give_up()
