"""What the segment in hand reaches, in windows of time: figures for the chooser's second thoughts.

A watch is made with its segment. `look` ends the window and gives what it has measured, or None where that
says nothing yet: there were too few calls, or the consumer set the pace.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

from plait import _core
from plait._auto import waiting

# Calls that a window of figures should have, unless it gets long.
_CALLS = 8
_LONGEST = 1.0

# Below this share of the processors at work, more threads may be of use.
_IDLE = 0.7


class SerialWatch:
    """Calls in this thread. What was measured of the `first` ones still says how a call spends its time."""

    queued = 0

    def __init__(self, segment: Any, first: dict[str, Any]) -> None:
        self._segment = segment
        self._first = first
        self._since = time.perf_counter()
        self._cpu = _cpu()

    def look(self, now: float) -> dict[str, Any] | None:
        """End the window."""
        seconds, self._since = now - self._since, now
        before, self._cpu = self._cpu, _cpu()
        if not self._segment.wall:
            return {}
        grown = self._segment.wall / max(self._first["wall"], 1e-9)
        figures = {name: self._first[name] * grown for name in ("wall", "cpu", "held") if self._first[name]}
        thread, process, own = (now - then for now, then in zip(self._cpu, before, strict=True))
        if not thread:
            # Some threads only begin: those of a BLAS spin for a while before they sleep.
            figures["native"] = max(0.0, process - own) / seconds
        return figures


class ThreadWatch:
    """Calls on threads, which are measured one by one."""

    def __init__(self, fn: Callable[..., Any], segment: Any, cpus: int, limits: tuple[int, int]) -> None:
        """`limits`: how many threads there may be at most by now, and how many ever."""
        self._fn = fn
        self._segment = segment
        self._cpus = cpus
        self._most, self._ever = limits
        self._seen: dict[str, Any] = {}
        self._since = time.perf_counter()
        self._width = segment.width
        self._waited = segment.waited()

    @property
    def queued(self) -> int:
        """Calls that were read from the inputs and no thread has begun."""
        queued: int = self._segment.queued
        return queued

    def calls(self) -> dict[str, Any]:
        """What calls are like, in the latest window that had enough of them."""
        self._fresh()
        return self._seen

    def _fresh(self) -> dict[str, Any]:
        fresh: dict[str, Any] = {**self._segment.gauge.figures()}
        if fresh["calls"] >= _CALLS or not self._seen:
            self._seen = fresh
        return fresh

    def look(self, now: float) -> dict[str, Any] | None:
        """End the window, unless it is too short."""
        seconds, segment = now - self._since, self._segment
        fresh = self._fresh()
        if fresh["calls"] < _CALLS and seconds < _LONGEST:
            return None
        width, before = segment.width, self._width
        if segment.leaps or width < before or not segment.queued:
            # There will soon be more threads, or have just been too many; or the consumer sets the pace, and
            # no backend is any faster.
            self._begin(now)
            return None
        waited = segment.waited()
        delay = fresh["wall"] * waiting.share(self._waited, waited, seconds, width)
        rate, busy = fresh["calls"] / seconds, (fresh["cpu"] or 0.0) + delay
        if rate * busy < _IDLE * self._cpus:
            # Calls wait more than the first ones did.
            self._most = min(2 * self._most, self._ever)
            segment.allow(self._most)
        self._begin(now)
        tried = {"workers": width, "rate": rate, "cpu_share": rate * busy / width}
        return fresh | {"delay": delay, "threads_tried": tried}

    def _begin(self, now: float) -> None:
        self._segment.gauge = _core.Gauge(self._fn, sample=True)
        self._since, self._width, self._waited = now, self._segment.width, self._segment.waited()


class ProcessWatch:
    """Calls on worker processes, of which only the number and the workers' processor time are known here."""

    queued = 0

    def __init__(self, pool: Any, segment: Any, head: Any) -> None:
        """`head`: the gauge of calls that are made here meanwhile, behind a first one that says little."""
        self._pool = pool
        self._segment = segment
        self._head = head
        self._since = time.perf_counter()
        self._taken = 0
        self._busy = _busy_seconds(pool)

    def look(self, now: float) -> dict[str, Any] | None:
        """End the window."""
        pool, seconds = self._pool, now - self._since
        before, busy_before = self._taken, self._busy
        self._since, self._taken, self._busy = now, self._segment.taken, _busy_seconds(pool)
        if not before or pool._stats()["pending"] < pool._max_workers:
            # Worker processes are as good as started when the first results are there; and where the consumer
            # sets the pace, no backend is any faster.
            return None
        workers = pool._max_workers
        busy = max(0.0, self._busy - busy_before)
        tried = {
            "workers": workers,
            "rate": (self._taken - before) / seconds,
            "cpu_share": busy / (seconds * workers),
        }
        return self._second_look() | {"processes_tried": tried}

    def _second_look(self) -> dict[str, Any]:
        """What calls behind the first one were like."""
        figures: dict[str, Any] = {} if self._head is None else {**self._head.figures()}
        return figures if figures.get("calls", 0) > 1 else {}


def _cpu() -> tuple[int, float, float]:
    """This thread, and the seconds that all of the program's threads and this one were on a processor."""
    return threading.get_ident(), time.process_time(), time.thread_time()


def _busy_seconds(pool: Any) -> float:
    """Seconds that the worker processes were on a processor, or ready to be and waiting for one."""
    total = 0.0
    for pid in pool._stats()["pids"]:
        try:
            # The clock of another process, as clock_getcpuclockid(3) makes it.
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            continue
        total += waiting.of_process(pid)
    return total
