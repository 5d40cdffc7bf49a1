"""The heartbeat of one loop, and what its thread is found doing when that is late.

A late heartbeat alone does not tell a callback that runs too long from a loop with much to do. So the stack
is looked at, several times within the limit: the loop runs each callback, and each step of a task, by one
call of `Handle._run`, and its frame is another one each time. It is a stall while the frame is the same.

A loop that is written in C (uvloop) has no such frame. There the outermost call of the callback stands for
it, for which the depth of the loop itself is noted. A task that is stepped twice looks the same then; but
no task is before the heartbeat, which is due, has had its turn, save for the one turn that may begin between.
"""

import asyncio
import contextvars
import math
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import CodeType, FrameType

from plait._watch_loop.alarm import Alarm
from plait._watch_loop.handle import LoopWatch
from plait._watch_loop.sight import Sight
from plait._watch_loop.stall import Stall, elsewhere

# The function that runs each callback of a loop written in Python.
_RUN: CodeType = asyncio.Handle._run.__code__

# Looks and heartbeats within the limit, and the most seconds between two of them. A callback is seen first
# after a fifth and its slack, which is a quarter of the limit.
_LOOKS = 5
_LONGEST = 1.0
# So much of a heartbeat's interval it may be late before anybody looks.
_SLACK = 0.25


class Pulse:
    """A loop that is watched: `beat` runs in the loop, `look` in the watcher."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        """Nothing happens yet; `start` begins."""
        self.watches: list[LoopWatch] = []
        self.interval = _LONGEST
        self.is_over = False
        # When the watcher is to look, unless it sleeps until the alarm rings.
        self._next_look = 0.0
        self._is_quiet = False
        self._alarm = _alarm()
        self._loop = weakref.ref(loop)
        self._wake = wake
        self._is_python = True
        # Written by the heartbeat: who runs the loop, and what is below its callbacks.
        self._thread = 0
        self._native_thread = 0
        self._clock: int | None = None
        self._caller: CodeType | None = None
        self._depth = 0
        self._beats = 0
        self._beaten = -math.inf
        self._late = 0.0
        self._due = math.inf
        self._used: float | None = None
        self._sleeps = True
        self._timer: asyncio.Handle | None = None
        # Frames seen by the watcher. The heartbeat lets go of them, so that what dies with them dies in its
        # own thread; the last is that of the stall.
        self._frames: list[FrameType] = []
        # Written by the watcher.
        self._counted = 0
        self._stall: Stall | None = None
        self._context = contextvars.Context()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop; None once nobody can run it any more."""
        loop = self._loop()
        return None if loop is None or loop.is_closed() else loop

    @property
    def alarm(self) -> int | None:
        """The descriptor that can be read when it is time to look; None where `next_look` says when."""
        return self._alarm.descriptor if self._is_quiet and self._alarm is not None else None

    @property
    def next_look(self) -> float:
        """When the watcher is to look."""
        return self._due + _SLACK * self.interval if self._is_quiet else self._next_look

    def adjust(self) -> None:
        """The handles have changed."""
        if self.watches:
            self.interval = min(min(watch.limit for watch in self.watches) / _LOOKS, _LONGEST)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, from any thread."""
        if asyncio._get_running_loop() is loop:
            # The very step that asks for it may be the one that blocks.
            self._is_in(threading.get_ident())
            self._is_above(self._caller_here(loop))
            self._put_off(time.monotonic())
            self._sleeps = False
            self._timer = loop.call_soon(self._beat, context=self._context)
        else:
            self._timer = loop.call_soon_threadsafe(self._beat, context=self._context)

    def end(self) -> None:
        """Stop the heartbeat, from any thread."""
        self.is_over = True
        loop = self.loop
        if loop is None:
            return
        if asyncio._get_running_loop() is loop:
            self._last()
            return
        try:
            loop.call_soon_threadsafe(self._last)
        except RuntimeError:
            # It was closed just now.
            pass

    def _last(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._frames.clear()

    def _beat(self) -> None:
        if self.is_over:
            self._frames.clear()
            return
        now = time.monotonic()
        thread = threading.get_ident()
        if thread != self._thread:
            self._is_in(thread)
        self._is_above(sys._getframe().f_back)
        self._used = _used(self._clock)
        self._late = 0.0 if self._sleeps else max(0.0, now - self._due)
        self._beaten = now
        self._put_off(now)
        # After what goes with it: the watcher looks at nothing else when it has changed.
        self._beats += 1
        self._frames.clear()
        self._timer = asyncio.get_running_loop().call_later(self.interval, self._beat, context=self._context)
        if self._sleeps:
            self._sleeps = False
            self._next_look = now
            self._wake()

    def _put_off(self, now: float) -> None:
        """Want the next heartbeat after its interval, and nobody to look before it is late."""
        self._due = now + self.interval
        if self._alarm is not None:
            self._alarm.put_off((1 + _SLACK) * self.interval)

    def _is_in(self, thread: int) -> None:
        self._thread, self._native_thread = thread, threading.get_native_id()
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        # Asked for here, where the thread is sure to live.
        self._clock = None if clock_of is None else clock_of(thread)

    def _is_above(self, caller: FrameType | None) -> None:
        """Callbacks are called by this frame, or by native code that it calls."""
        self._caller = None if caller is None else caller.f_code
        self._is_python = self._caller is _RUN
        if not self._is_python:
            self._depth = 0
            while caller is not None:
                caller = caller.f_back
                self._depth += 1

    @staticmethod
    def _caller_here(loop: asyncio.AbstractEventLoop) -> FrameType | None:
        """Who calls the callback that runs here; None where that cannot be seen."""
        task = asyncio.current_task(loop)
        first = getattr(task and task.get_coro(), "cr_frame", None)
        frame: FrameType | None = sys._getframe()
        found: FrameType | None = None
        while frame is not None and frame.f_code is not _RUN:
            is_first, frame = frame is first, frame.f_back
            found = frame if is_first else found
        return found if frame is None else frame

    def look(self, now: float, asleep: float, asked: int) -> None:
        """Look at the loop, and tell what is to be told; `next_look` says when to come again.

        The watcher fell asleep at `asleep`, and `asked` for the GIL so often before it had it again.
        """
        late = max(0.0, now - max(self.next_look, asleep))
        self._is_quiet = False
        loop = self.loop
        if loop is None or not loop.is_running():
            # The heartbeat wakes the watcher when the loop runs again.
            self._sleeps = True
            self._over(now if self._beats == self._counted else self._beaten)
            self._counted = self._beats
            self._next_look = now + _LONGEST
            return
        if self._beats != self._counted:
            self._counted = self._beats
            self._over(self._beaten)
            if now < self._due and self._was_gil(self._late, asked):
                # The loop has gone on before anybody could look where it had been.
                self._tell_elsewhere(self._late)
        if now < self._due:
            self._is_quiet = self._alarm is not None and self._due < math.inf
            self._next_look = min(self._due + _SLACK * self.interval, now + _LONGEST)
            return
        self._next_look = now + self.interval
        gil = self._was_gil(late, asked)
        sight, is_new = self._look_at_frames()
        if self._beats != self._counted:
            # It went on meanwhile: the next look finds that it is over.
            self._next_look = now
            return
        used, before = _used(self._clock), self._used
        self._used = used
        # Native code that keeps the GIL mostly computes; nobody else's can do so meanwhile.
        is_own = gil and used is not None and before is not None and used - before >= late / 2
        if sight is None or is_new:
            self._over(now)
        if sight is not None:
            if self._stall is None:
                self._stall = Stall(now - late, before, True) if is_own else Stall(now, used, False)
            elif is_own:
                self._stall.gil = True
            elif self._is_long(late):
                # Another thread kept the GIL, nobody had a processor, or the program was stopped.
                self._stall.begun += late
            self._see(self._stall, sight, now, used)
        if gil and not is_own:
            self._tell_elsewhere(min(late, now - self._due))

    def _was_gil(self, late: float, asked: int) -> bool:
        """Whether it was for the GIL that the watcher was late.

        Who waits for it wakes up once in each interval, to ask for it. Who has no processor, or was stopped,
        does not.
        """
        return self._is_long(late) and asked >= max(3, late / sys.getswitchinterval() / 2)

    def _is_long(self, late: float) -> bool:
        """Whether it matters; what is short beside the limit may be chance."""
        return late >= self.interval * _LOOKS / 2

    def _look_at_frames(self) -> tuple[Sight | None, bool]:
        """Give what the callback does that runs, if one does, and whether it is another one than before."""
        frame = sys._current_frames().get(self._thread)
        frames = []
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        if self._is_python:
            inner = at = next((at for at, frame in enumerate(frames) if frame.f_code is _RUN), -1)
        else:
            inner = len(frames) - self._depth
            is_run = inner > 0 and self._depth > 0 and frames[inner].f_code is self._caller
            at = inner - 1 if is_run else -1
        if at < 0:
            return None, False
        is_new = not self._frames or self._frames[-1] is not frames[at]
        if is_new:
            self._frames.append(frames[at])
            del self._frames[:-100]
        return Sight(frames, inner), is_new

    def _see(self, stall: Stall, sight: Sight, now: float, used: float | None) -> None:
        stall.see(sight)
        seconds = now - stall.begun
        for watch in tuple(self.watches):
            if watch in stall.told or seconds < watch.limit:
                continue
            if not stall.told:
                stall.name(self._loop(), self._frames[-1] if self._frames else None, sight)
            stall.told[watch] = times = watch._count(sight.place, now)
            if times is not None and watch in self.watches:
                watch._tell(stall.report(*self._who(), sight, seconds, used, times, over=False))

    def _over(self, now: float) -> None:
        """The callback that was seen is done."""
        stall, self._stall = self._stall, None
        if stall is None or not any(stall.told.values()):
            return
        sight = stall.usual()
        used = _used(self._clock)
        for watch, times in stall.told.items():
            if times is not None and watch in self.watches:
                watch._tell(stall.report(*self._who(), sight, now - stall.begun, used, times, over=True))

    def _tell_elsewhere(self, seconds: float) -> None:
        """The GIL was kept, by another thread or by what cannot be seen any more."""
        for watch in tuple(self.watches):
            if seconds >= watch.limit and (times := watch._count(("", 0, ""), time.monotonic())) is not None:
                watch._tell(elsewhere(*self._who(), seconds, times))

    def _who(self) -> tuple[str, int]:
        names = (thread.name for thread in threading.enumerate() if thread.ident == self._thread)
        return next(names, f"thread {self._native_thread}"), self._native_thread


def _alarm() -> Alarm | None:
    try:
        return Alarm()
    except OSError:
        # Then the watcher wakes up as often as the heart beats.
        return None


def _used(clock: int | None) -> float | None:
    """Seconds that a thread has used of processors; None where that cannot be told, or it has ended."""
    if clock is None:
        return None
    try:
        return time.clock_gettime(clock)
    except OSError:
        return None
