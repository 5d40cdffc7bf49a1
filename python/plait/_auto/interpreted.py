"""Stretches of a map in sub-interpreters, and what they reach.

The function is loaded in each of them before its first call there. Where that fails, or takes too long, what
was not begun goes back to the inputs, and on elsewhere.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any

from plait._auto import apart, waiting
from plait._auto.inputs import Inputs
from plait._auto.results import Batch
from plait._auto.segments import Turn
from plait._interpreters.byvalue import dumped
from plait._interpreters.chunk import Lot, NotThere
from plait._kept import pool_of

# Seconds of calls that go together: sending a chunk takes a sixth of a millisecond, whatever is in it.
_SECONDS = 0.01

# How many times larger the next chunk may be, and how large at most.
_GROWTH = 8
_LONGEST = 1 << 14

# Chunks ahead of the consumer for each interpreter.
_AHEAD = 3


class InterpreterSegment:
    """Calls in interpreters, chunk by chunk."""

    def __init__(
        self,
        fn: Callable[..., Any],
        pool: Any,
        inputs: Inputs,
        turn: Turn,
        refused: Callable[[str], None],
        wall: float,
        limits: tuple[int | None, int | None],
        context: Context,
    ) -> None:
        """`wall`: seconds of a call; `limits`: items to a chunk, and items read ahead, if that is settled.

        `refused` is told why calls cannot be made there, before the map goes on elsewhere.
        """
        self.failed = False
        # Calls that have ended, as far as is known here.
        self.taken = 0
        self._fn = fn
        self._pool = pool
        self._inputs = inputs
        self._turn = turn
        self._refused = refused
        self._context = context
        self._fixed, self._ahead = limits
        self._size = self._fixed or self._fitting(wall, _LONGEST)
        self._lots: deque[Lot] = deque()
        self._cut = False
        self._loads = False
        self._opened = time.perf_counter()
        self._unsendable: str | None = None
        try:
            self._function = dumped(fn)
        except Exception as error:
            # Told when somebody asks for results: whoever opens this cannot open another yet.
            self._unsendable = f"it cannot be sent: {error}"
        else:
            self._fill()

    @property
    def threads(self) -> list[threading.Thread]:
        """Those that the interpreters are of."""
        return list(self._pool._threads)

    @property
    def workers(self) -> int:
        """How many interpreters there may be."""
        workers: int = self._pool._max_workers
        return workers

    @property
    def queued(self) -> int:
        """Calls that were read, and that no interpreter has begun: what lies behind a chunk for each."""
        return sum(len(lot.calls) for lot in list(self._lots)[self.workers :])

    @property
    def is_pressed(self) -> bool:
        """Whether chunks wait for an interpreter."""
        return bool(self._pool._queued)

    def batches(self) -> Iterator[Iterator[Any]]:
        """Results, a chunk at a time."""
        try:
            while self._lots or (self._unsendable is not None and not self._cut):
                if not self._cut and self._unsendable is not None:
                    self._leave(self._unsendable)
                elif not self._cut and self._turn.review():
                    self._leave()
                else:
                    yield from self._next()
        finally:
            self.close()

    def close(self) -> None:
        """Take back what was not begun, and forget the rest."""
        self._cut = True
        for lot in self._lots:
            lot.cancel()
        self._lots.clear()

    def _next(self) -> Iterator[Iterator[Any]]:
        """The results of the next chunk."""
        lot = self._lots[0]
        try:
            if not self._loads and not lot.wait(self._opened + apart.PATIENCE - time.perf_counter()):
                self._leave(_slow())
                if not self._lots or self._lots[0] is not lot:
                    return
            seconds, values, error = lot.answer()
        except NotThere as why:
            yield from self._elsewhere(lot, why)
            return
        except Exception as broken:
            # No interpreter could be made.
            yield from self._elsewhere(lot, NotThere(str(broken)))
            return
        except BaseException:
            # Ctrl-C.
            self.failed = True
            raise
        if not self._loads:
            self._loads = True
            apart.keep(self._fn, None)
        self._lots.popleft()
        self.taken += len(values)
        if error is not None:
            self.failed = True
            yield iter(Batch(values))
            raise error
        if self._fixed is None and values:
            self._size = self._fitting(seconds / len(values), _GROWTH * self._size)
        self._fill()
        yield iter(Batch(values))

    def _elsewhere(self, lot: Lot, why: NotThere) -> Iterator[Iterator[Any]]:
        """The results of a chunk that cannot be made there: those that were, and the others from here."""
        if not self._cut:
            self._leave(str(why))
        if not self._lots or self._lots[0] is not lot:
            return
        self._lots.popleft()
        values = why.made
        try:
            for args in lot.calls[len(values) :]:
                values.append(self._context.copy().run(self._fn, *args))
        except BaseException as error:
            self.failed = True
            if not isinstance(error, Exception):
                raise
            yield iter(Batch(values))
            raise error
        self.taken += len(values)
        yield iter(Batch(values))

    def _leave(self, why: str | None = None) -> None:
        """Take back what was not begun, from the last to the first, and go on elsewhere."""
        self._cut = True
        back: list[Any] = []
        while self._lots and self._lots[-1].take_back():
            back[:0] = self._lots.pop().calls
        self._inputs.put_back(back)
        if why is not None:
            apart.keep(self._fn, why)
            self._refused(why)
        self._turn.go_on()

    def _fill(self) -> None:
        workers = self.workers
        while not self._cut and self._unsendable is None and len(self._lots) < _AHEAD * workers:
            size = self._size
            if self._fixed is None and self._inputs.left is not None:
                # So that all of them end together.
                size = max(1, min(size, self._inputs.left // (2 * workers)))
            if self._ahead is not None:
                size = min(size, self._ahead - sum(len(lot.calls) for lot in self._lots))
            calls = self._inputs.take(size) if size > 0 else []
            if not calls:
                return
            try:
                self._lots.append(Lot(self._pool, self._fn, self._function, calls))
            except Exception as error:
                self._inputs.put_back(calls)
                self._unsendable = f"its arguments cannot be sent: {error}"

    @staticmethod
    def _fitting(each: float, most: int) -> int:
        return max(1, min(most, _LONGEST, int(_SECONDS / max(each, 1e-8))))


def try_loading(fn: Callable[..., Any], workers: int) -> str | None:
    """Load a function there, without a call; why it cannot be, or None."""
    why: str | None = None
    try:
        lot = Lot(pool_of("interpreters", workers), fn, dumped(fn), [])
        if lot.wait(apart.PATIENCE):
            lot.answer()
        else:
            lot.take_back()
            why = _slow()
    except Exception as error:
        why = str(error)
    apart.keep(fn, why)
    return why


def _slow() -> str:
    return f"it was not loaded within {apart.PATIENCE} seconds"


class InterpreterWatch:
    """Calls in interpreters, of which only the number and the processor time of their threads are known."""

    def __init__(self, segment: InterpreterSegment) -> None:
        self._segment = segment
        self._since = time.perf_counter()
        self._taken = 0
        self._busy = _busy_seconds(segment.threads)

    @property
    def queued(self) -> int:
        """Calls that were read from the inputs and not begun."""
        return self._segment.queued

    def look(self, now: float) -> dict[str, Any] | None:
        """End the window."""
        segment, seconds = self._segment, now - self._since
        before, busy_before = self._taken, self._busy
        self._since, self._taken, self._busy = now, segment.taken, _busy_seconds(segment.threads)
        workers = segment.workers
        if not before or self._taken == before or not segment.is_pressed:
            # They have only begun, or the consumer sets the pace, and no backend is any faster.
            return None
        busy = sum(max(0.0, now - busy_before.get(tid, 0.0)) for tid, now in self._busy.items())
        rate = (self._taken - before) / seconds
        tried = {"workers": workers, "rate": rate, "cpu_share": min(1.0, busy / (seconds * workers))}
        return {"interpreters_tried": tried}


def _busy_seconds(threads: list[threading.Thread]) -> dict[int, float]:
    """Seconds that each thread was on a processor, or ready to be and waiting for one."""
    tids = [thread.native_id for thread in threads]
    busy = waiting.of_threads(tids)
    for tid in busy:
        try:
            # The clock of a thread, as pthread_getcpuclockid(3) makes it.
            busy[tid] += time.clock_gettime((~tid << 3) | 6)
        except OSError:
            continue
    return busy
