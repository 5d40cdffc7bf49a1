"""The thread that looks at all loops: asleep until a heartbeat is late."""

import asyncio
import atexit
import logging
import math
import os
import select
import threading
import time

from plait._watch_loop.alarm import Bell
from plait._watch_loop.handle import LoopWatch
from plait._watch_loop.pulse import Pulse


class Watcher:
    """What all handles share. It ends with the last of them, or with the last of their loops."""

    def __init__(self) -> None:
        self.pulses: list[Pulse] = []
        self.is_over = False
        self._bell = Bell()
        self._thread = threading.Thread(target=self._run, name="plait-watch-loop", daemon=True)
        self._thread.start()

    def pulse_of(self, loop: asyncio.AbstractEventLoop) -> Pulse | None:
        """The heartbeat of a loop that is watched already."""
        return next((pulse for pulse in self.pulses if pulse.loop is loop), None)

    def wake(self) -> None:
        """Something has changed."""
        self._bell.ring()

    def join(self) -> None:
        """Wait for the end of the thread; a callback that takes long is not waited for."""
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while (pulses := self._living()) and not self.is_over:
            # A callback of the user's may have taken long; that is no lateness of anybody's.
            asleep = time.monotonic()
            switches = _switches()
            rung = self._sleep(pulses, asleep)
            # One is that of the sleep itself.
            asked = _switches() - switches - 1
            now = time.monotonic()
            for pulse in pulses:
                if pulse.next_look <= now or pulse.alarm in rung:
                    self._look(pulse, now, asleep, asked)

    def _sleep(self, pulses: tuple[Pulse, ...], now: float) -> set[int | None]:
        """Sleep until it is time to look at a loop, or the bell rings; give the alarms that have rung."""
        waiting = select.poll()
        waiting.register(self._bell.descriptor, select.POLLIN)
        until = math.inf
        for pulse in pulses:
            if (alarm := pulse.alarm) is not None:
                waiting.register(alarm, select.POLLIN)
            else:
                until = min(until, pulse.next_look)
        # Rounded up, or it would come too early, and again.
        wait = None if until == math.inf else max(0, math.ceil((until - now) * 1000))
        rung: set[int | None] = {descriptor for descriptor, _ in waiting.poll(wait)}
        self._bell.silence()
        return rung

    def _look(self, pulse: Pulse, now: float, asleep: float, asked: int) -> None:
        try:
            pulse.look(now, asleep, asked)
        except Exception:
            # A loop that does not answer as loops do, for one: the others are still watched.
            with _lock:
                self.pulses = [other for other in self.pulses if other is not pulse]
            pulse.end()
            _logger.exception("plait.watch_loop cannot watch %r, and has given it up", pulse.loop)

    def _living(self) -> tuple[Pulse, ...]:
        """Forget loops that are gone; where none is left, this thread is not needed any more."""
        global _watcher
        with _lock:
            self.pulses = [pulse for pulse in self.pulses if pulse.loop is not None]
            if not self.pulses and _watcher is self:
                _watcher = None
            return tuple(self.pulses)


_logger = logging.getLogger("plait")

_lock = threading.Lock()
_watcher: Watcher | None = None

# Seconds that the thread has to end, which a callback may make longer.
_PATIENCE = 2.0


def begin(watch: LoopWatch, loop: asyncio.AbstractEventLoop) -> None:
    """Watch a loop for one more handle."""
    global _watcher
    with _lock:
        if _watcher is None:
            _watcher = Watcher()
        watcher = _watcher
        pulse = watcher.pulse_of(loop)
        is_new = pulse is None
        if pulse is None:
            pulse = Pulse(loop, watcher.wake)
            watcher.pulses.append(pulse)
        pulse.watches.append(watch)
        pulse.adjust()
    if is_new:
        pulse.start(loop)
    watcher.wake()


def end(watch: LoopWatch) -> None:
    """Watch no longer for this handle."""
    global _watcher
    with _lock:
        watcher = _watcher
        pulse = None if watcher is None else _pulse_for(watcher, watch)
        if watcher is None or pulse is None:
            return
        pulse.watches.remove(watch)
        pulse.adjust()
        if pulse.watches:
            return
        watcher.pulses.remove(pulse)
        if not watcher.pulses:
            _watcher = None
    pulse.end()
    watcher.wake()


def _pulse_for(watcher: Watcher, watch: LoopWatch) -> Pulse | None:
    return next((pulse for pulse in watcher.pulses if watch in pulse.watches), None)


@atexit.register
def _end_all() -> None:
    """At the end of the program, while threads still can be waited for."""
    global _watcher
    with _lock:
        watcher, _watcher = _watcher, None
    if watcher is not None:
        watcher.is_over = True
        watcher.wake()
        watcher.join()


def _in_child() -> None:
    global _lock, _watcher
    _lock = threading.Lock()
    if _watcher is not None:
        for pulse in _watcher.pulses:
            pulse.is_over = True
        _watcher = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def _switches() -> int:
    """How often this thread has gone to sleep of itself; 0 where the system does not tell."""
    return resource.getrusage(_THREAD).ru_nvcsw if _THREAD is not None else 0


try:
    import resource

    _THREAD: int | None = getattr(resource, "RUSAGE_THREAD", None)
except ImportError:
    _THREAD = None
