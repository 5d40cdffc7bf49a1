"""One callback that runs too long: where it was seen, and what is told of it."""

import asyncio
import sys
from collections import Counter
from traceback import StackSummary
from types import FrameType

from plait._watch_loop.handle import LoopWatch, Place
from plait._watch_loop.remedy import GIL_ELSEWHERE, remedy
from plait._watch_loop.report import LoopBlocked
from plait._watch_loop.sight import Sight, name_of

# Without a GIL a task is locked while its step computes: whoever asks it for its name waits for the end.
_ANSWERS = getattr(sys, "_is_gil_enabled", lambda: True)()


class Stall:
    """One callback that was seen running, from the first look that found it."""

    def __init__(self, begun: float, used: float | None, gil: bool) -> None:
        """`used` is what the thread had used of processors when it had begun."""
        self.begun = begun
        self.gil = gil
        # Whom it was told, with the number of stalls; None where it was only counted.
        self.told: dict[LoopWatch, int | None] = {}
        self._used = used
        # How often it was seen at each line, and how it was seen there first.
        self._seen: Counter[Place] = Counter()
        self._sights: dict[Place, Sight] = {}
        # Lines where it was seen at more than one call or none: none of them is what takes long.
        self._moved: set[Place] = set()
        self._task: str | None = None
        self._callback: str | None = None
        # What the loop called, where it is no Python function.
        self._native: str | None = None

    def see(self, sight: Sight) -> None:
        """Note where one more look found it."""
        place = sight.place
        self._seen[place] += 1
        if self._sights.setdefault(place, sight).own.instruction != sight.own.instruction:
            self._moved.add(place)

    def usual(self) -> Sight:
        """Where it was seen most often."""
        return self._sights[max(self._seen, key=lambda place: self._seen[place])]

    def name(self, loop: asyncio.AbstractEventLoop | None, step: FrameType | None, sight: Sight) -> None:
        """Find out what it is, while it still runs; `step` is the loop's call of it."""
        self._callback = sight.outermost
        task = asyncio.current_task(loop) if _ANSWERS and loop is not None else None
        if task is not None:
            self._task = task.get_name()
            self._callback = getattr(task.get_coro(), "__qualname__", self._callback)
        elif not sight.inner and step is not None:
            # It is no Python function, so nothing but its handle knows it.
            called = getattr(step.f_locals.get("self"), "_callback", None)
            self._callback = self._native = name_of(called)

    def report(
        self,
        thread: str,
        thread_id: int,
        sight: Sight,
        seconds: float,
        used: float | None,
        times: int,
        *,
        over: bool,
    ) -> LoopBlocked:
        """Say what is told; `used` is what the thread has used of processors until now."""
        computes = None
        if used is not None and self._used is not None:
            # What waits uses next to nothing; what computes may have to share its processor.
            computes = used - self._used >= seconds / 4
        place = file, line, function = sight.place
        is_there = place not in self._moved and 2 * self._seen[place] > self._seen.total()
        call = self._native or (sight.own.call() if is_there else None)
        return LoopBlocked(
            thread=thread,
            thread_id=thread_id,
            seconds=seconds,
            over=over,
            task=self._task,
            callback=self._callback,
            file=file,
            line=line,
            function=function,
            call=call,
            stack=sight.in_words(),
            trace=sight.summary(),
            computes=computes,
            gil=self.gil,
            times=times,
            remedy=remedy(sight, self._native, computes, self.gil),
        )


def elsewhere(thread: str, thread_id: int, seconds: float, times: int) -> LoopBlocked:
    """Say that the GIL was kept, nobody knows by what."""
    return LoopBlocked(
        thread=thread,
        thread_id=thread_id,
        seconds=seconds,
        over=True,
        task=None,
        callback=None,
        file=None,
        line=None,
        function=None,
        call=None,
        stack=(),
        trace=StackSummary(),
        computes=None,
        gil=True,
        times=times,
        remedy=GIL_ELSEWHERE,
    )
