"""Stretches of a map: each runs some of the inputs on one backend, in order, until it is cut off or they end.

A segment begins at once, and asks from time to time whether it is to end. When it is, what was read and not
begun goes back to the inputs, and the next is opened before the results of this one are taken. `failed` says
whether it ended with an exception.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from typing import Any

from plait._auto import waiting
from plait._auto.crew import Crew, climbing
from plait._auto.inputs import Call, Inputs
from plait._auto.results import Batch

# Seconds of calls between two looks at the clock.
_STEP = 0.01

# Items of a block whose duration is not known yet.
_FIRST_BLOCK = 64

_MOST_ITEMS = 1 << 14

# Threads: enough calls ahead that none waits for the consumer's turn.
_AHEAD_PER_THREAD = 32

# Seconds of a batch of calls in the caller's own thread.
_BATCH = 0.002

# Batches that say how long a call takes.
_BATCHES = 8


class Turn:
    """Whether a segment is to end, and what follows then."""

    def __init__(self, review: Callable[[], bool], go_on: Callable[[], None]) -> None:
        self.review = review
        self.go_on = go_on


class Pace:
    """How many items may be read before the clock is looked at again."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._items = 0
        self._since = time.perf_counter()

    def step(self) -> int:
        """Items of the next block; 0 when the segment is to end."""
        if self._turn.review():
            self._turn.go_on()
            return 0
        now = time.perf_counter()
        took = now - self._since
        if self._items and took > 0:
            self._items = max(1, min(_MOST_ITEMS, 2 * self._items, int(self._items * _STEP / took)))
        else:
            self._items = 1
        self._since = now
        return self._items


class SerialSegment:
    """Calls in the thread of whoever asks for results, in batches."""

    def __init__(
        self, fn: Callable[..., Any], inputs: Inputs, turn: Turn, ahead: int | None, context: Context
    ) -> None:
        self._fn = fn
        self._inputs = inputs
        self._turn = turn
        self._most = ahead or _MOST_ITEMS
        self._context = context
        # Seconds that a call took, in each of the last batches.
        self._walls: deque[float] = deque(maxlen=_BATCHES)
        self._batch = Batch([])
        self.failed = False

    @property
    def wall(self) -> float:
        """Seconds that a call takes; other programs only make it longer, so the quickest batch counts."""
        return min(self._walls, default=0.0)

    def batches(self) -> Iterator[Iterator[Any]]:
        """Results, a batch at a time; each is handed out before the next is begun."""
        while not self._inputs.ended:
            if self._turn.review():
                self._turn.go_on()
                return
            results: list[Any] = []
            begun = time.perf_counter()
            try:
                made, plain = self._inputs.call(self._fn, self._most, _BATCH, results, self._context)
            except Exception as error:
                self.failed = True
                yield self._batch_of(results)
                raise error
            except BaseException:
                self.failed = True
                raise
            if made:
                self._walls.append((time.perf_counter() - begun) / made)
            yield self._batch_of(results, plain)

    def _batch_of(self, results: list[Any], plain: bool = False) -> Iterator[Any]:
        self._batch = Batch(results, plain)
        return iter(self._batch)

    def close(self) -> None:
        """Forget what was not handed out."""
        self._inputs.ended = True
        self._batch.forget()


class ProcessSegment:
    """Calls on a process pool, which reads the inputs as its window allows."""

    def __init__(self, start: Callable[..., Any], inputs: Inputs, turn: Turn) -> None:
        self._map = start(inputs.tap(Pace(turn).step), inputs.star, inputs.left)

    def batches(self) -> Iterator[Iterator[Any]]:
        """The results, in one go."""
        yield self._map

    @property
    def taken(self) -> int:
        """Calls that have ended, as far as is known here."""
        taken: int = self._map.taken
        return taken

    @property
    def failed(self) -> bool:
        """Whether it ended with an exception."""
        failed: bool = self._map.failed
        return failed

    def close(self) -> None:
        """Take back what no worker has begun; the iterator is exhausted then."""
        self._map.close()


class ThreadSegment:
    """Calls on threads, whose number follows what they measure."""

    def __init__(
        self,
        gauge: Any,
        inputs: Inputs,
        turn: Turn,
        crew: Crew,
        climber: Any,
        ahead: int | None,
        limits: tuple[float | None, int],
        context: Context,
    ) -> None:
        # Each call is measured by the gauge that is here when it begins.
        self.gauge = gauge
        self._inputs = inputs
        self._turn = turn
        self._crew = crew
        self._climber = climber
        self._ahead = ahead
        self._limits = limits
        self._waiting: deque[tuple[Any, Call]] = deque()
        self._cut = False
        self._left = False
        self.failed = False
        call = crew.limit().wrap(self._measured)
        self._call = call if climber is None else climbing(crew, call, climber)
        submit: Any = crew.pool.submit if limits == (None, 0) else self._submit_with_limits
        # The run's own, in which nobody else is.
        self._submit: Callable[..., Any] = partial(context.copy().run, submit)
        self._fill()

    @property
    def width(self) -> int:
        """How many threads there are to be now."""
        return self._crew.width

    @property
    def found(self) -> int | None:
        """How many threads a later map of the function should begin with, if that was looked for."""
        return None if self._climber is None else self._climber.found

    @property
    def alone(self) -> float | None:
        """Seconds of a call that queues behind no other, as far as is known."""
        return None if self._climber is None else self._climber.alone

    @property
    def leaps(self) -> bool:
        """Whether that still grows by leaps, so that what they reach says little."""
        return self._climber is not None and self._climber.leaps

    def allow(self, most: int) -> None:
        """Let there be so many threads at most from now on."""
        if self._climber is not None:
            self._climber.allow(most)

    def waited(self) -> dict[int, float]:
        """Seconds that threads have waited for a processor."""
        return waiting.of_threads(thread.native_id for thread in list(self._crew.pool._threads))

    @property
    def queued(self) -> int:
        """Calls that no thread has begun."""
        return self._crew.pool._queued

    def batches(self) -> Iterator[Iterator[Any]]:
        """The results, in one go."""
        yield self._results()

    def close(self) -> None:
        """Cancel what no thread has begun, and forget the rest."""
        self._cut = True
        for future, _ in self._waiting:
            future.cancel()
        self._leave()
        self._waiting.clear()

    def _measured(self, *args: Any) -> Any:
        return self.gauge(*args)

    def _submit_with_limits(self, call: Callable[..., Any], *args: Any) -> Any:
        timeout, retries = self._limits
        return self._crew.pool._submit_with(timeout, retries, call, args, {})

    def _fill(self) -> None:
        ahead = self._ahead or _AHEAD_PER_THREAD * self._crew.width
        while not self._cut and len(self._waiting) < ahead:
            calls = self._inputs.take(1)
            if not calls:
                return
            call = calls[0]
            self._waiting.append((self._submit(self._call, *call), call))

    def _results(self) -> Iterator[Any]:
        value: list[Any] = []
        try:
            while self._waiting:
                if not self._cut and self._turn.review():
                    self._cut_off()
                    self._turn.go_on()
                    if not self._waiting:
                        break
                future = self._waiting.popleft()[0]
                try:
                    value.append(future.result())
                except BaseException:
                    self.failed = True
                    future.cancel()
                    raise
                del future
                self._fill()
                yield value.pop()
        finally:
            for future, _ in self._waiting:
                future.cancel()
            self._leave()

    def _cut_off(self) -> None:
        """Take back what no thread has begun, from the last to the first."""
        self._cut = True
        back: list[Call] = []
        while self._waiting and self._waiting[-1][0].cancel():
            back.append(self._waiting.pop()[1])
        back.reverse()
        self._inputs.put_back(back)

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._crew.leave(all(future.done() for future, _ in self._waiting))
