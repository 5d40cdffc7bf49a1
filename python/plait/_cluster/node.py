"""A worker process that makes several calls at a time: those that keep the GIL go to processes of its own.

The first calls of a function are measured in the engine's threads. If these take turns, plait's pool is
started, as large as this node allows, and later chunks go through it as they came: a chunk of the engine is
one task of the pool. The pool ends with its process, however that ends.
"""

import math
import os
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from plait import _core, _exit
from plait._cluster import work
from plait._errors import WorkerDied

# Seconds of calls, and looks at the GIL in them, that are enough to judge by.
_ENOUGH = 0.03
_LOOKS = 30

# Seconds for which the GIL is looked at, at a time.
_PERIOD = 0.05

# How many times faster processes have to be: they cost memory, and a start.
_WORTH = 1.5

# Seconds for which it holds that they are not.
_HOLDS = 10.0

# Functions of which something is known.
_MOST = 64


class Lost(Exception):
    """A process of this node died with the chunk on: the arguments say where, and how."""


class Measured:
    """What is known of one function on this node."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.pays = False
        self._gauge: Any = None
        self._until = -math.inf

    def wrap(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Give what is to be called for it while that is measured."""
        if time.monotonic() < self._until:
            return fn
        if self._gauge is None:
            self._gauge = _core.Gauge(fn, sample=True, sample_for=_PERIOD)
        else:
            self._gauge.sample(_PERIOD)
        wrapped: Callable[..., Any] = self._gauge
        return wrapped

    def judge(self, processes: int) -> None:
        """See whether so many processes would be faster, if enough was seen."""
        gauge = self._gauge
        if gauge is None:
            return
        figures = gauge.figures()
        if figures["gil_reason"] is None and (figures["busy"] < _ENOUGH or figures["samples"] < _LOOKS):
            return
        self._gauge = None
        self._until = time.monotonic() + _HOLDS
        self.pays = gain(figures, processes) >= _WORTH


def gain(figures: Any, processes: int) -> float:
    """How many times faster so many processes make calls than threads that take turns at the GIL."""
    held, wanted = figures["held"], figures["wanted"]
    if held is None:
        return 0.0
    # What a call takes where nobody else wants the GIL.
    alone = max(figures["wall"] - (wanted or 0.0), held, 1e-9)
    return float(processes * held / alone)


class _Pool:
    """plait's pool of this process; started when it first pays, by a thread that nobody waits for.

    It does not outlast the engine's threads: when the process ends, nobody listens to what its calls answer.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program = 0
        self._pool: Any = None
        self._first: Any = None

    def when_ready(self, processes: int) -> Any:
        """Give it, if its workers are there."""
        with self._lock:
            if self._program != os.getpid():
                self._program, self._pool, self._first = os.getpid(), None, None
                threading.Thread(target=self._start, args=(processes,), daemon=True).start()
            return self._pool if self._first is not None and self._first.done() else None

    def _start(self, processes: int) -> None:
        from plait._process import ProcessPoolExecutor

        pool = ProcessPoolExecutor(processes)
        with self._lock:
            self._pool = pool
        _exit.at_exit(self, first=True)
        self._first = pool.submit(work.own_versions)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End it, whatever its workers are doing."""
        self._abort()

    def _abort(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool._abort()


_lock = threading.RLock()
_known: "OrderedDict[bytes, Measured]" = OrderedDict()
_pool = _Pool()


def run(digest: bytes, function: bytes, calls: bytes) -> bytes:
    """Make the calls of a chunk, as `work.run`, here or in a process of this node.

    Raises:
        Lost: that process died.

    """
    processes = _processes()
    if processes < 2:
        return work.run(digest, function, calls)
    measured = _of(digest)
    if measured.pays and (pool := _pool.when_ready(processes)) is not None:
        try:
            answer: bytes = pool.submit(work.run, digest, function, calls).result()
        except WorkerDied as error:
            raise Lost(_address(), _ending(error)) from None
        return answer
    if measured.pays:
        return work.run(digest, function, calls)
    answer = work.run(digest, function, calls, measured.wrap)
    measured.judge(processes)
    return answer


def _of(digest: bytes) -> Measured:
    with _lock:
        found = _known.setdefault(digest, Measured())
        _known.move_to_end(digest)
        while len(_known) > _MOST:
            _known.popitem(last=False)
        return found


def _ending(error: WorkerDied) -> str:
    """How it ended, as the pool knows it."""
    if error.signal is not None:
        how = f"was killed by {signal.Signals(error.signal).name}"
    else:
        how = f"ended with exit code {error.exitcode}"
    return f"process {error.pid} of it {how}"


def _worker() -> Any:
    """Dask's worker in whose thread this is: of the engines, it alone has several calls in a process."""
    distributed = sys.modules.get("distributed")
    try:
        return None if distributed is None else distributed.get_worker()
    except ValueError:
        return None


def _processes() -> int:
    """Give how many processes a pool of this node may have for the calls that this one makes at a time."""
    from plait._process import default_workers

    worker = _worker()
    return 1 if worker is None else min(int(worker.state.nthreads), default_workers())


def _address() -> str:
    return str(getattr(_worker(), "address", ""))
