"""Threads for measured calls and for maps whose number of threads changes: kept from one to the next."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from plait import _native_threads
from plait._thread import ThreadPoolExecutor

# Threads that wait for the next map in a pool, and in one of the pools more, with the sessions and
# connections that they may have made.
_IDLE_THREADS = (4, 32)

# Pools that wait for it.
_IDLE_POOLS = 4

_lock = threading.Lock()
_idle: list["Crew"] = []


class Crew:
    """A thread pool that one map has for itself, with as many threads as it says."""

    def __init__(
        self, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()
    ) -> None:
        self.pool = ThreadPoolExecutor(1, "plait-auto", initializer, initargs)
        self.width = 1
        # The machine has no more threads to give.
        self.exhausted = False
        self._kept = initializer is None
        self._resizing = threading.Lock()
        self._program = os.getpid()
        self._limit: _native_threads.Limit | None = None

    def limit(self) -> _native_threads.Limit:
        """Hold BLAS and OpenMP to the threads' share of the processors, until the crew is left."""
        if self._limit is None:
            self._limit = _native_threads.limit(self.width)
        return self._limit

    def resize(self, width: int, keep: bool = False) -> bool:
        """Have so many threads from now on; False when the machine has no more of them to give.

        Those that are too many end, or are kept for when there may be more again.
        """
        with self._resizing:
            self.width = width
            if self._limit is not None:
                self._limit.resize(width)
            crew = self.pool._crew
            for _ in range(crew.queue.resize(width, keep)):
                try:
                    crew.start_thread()
                except RuntimeError:
                    return False
        return True

    def leave(self, idle: bool) -> None:
        """Give the threads back, or have them end with the calls that they still run."""
        if self._limit is not None:
            self._limit.close()
            self._limit = None
        if idle and self._kept and self._program == os.getpid():
            few, many = _IDLE_THREADS
            with _lock:
                are_many = any(crew.width > few for crew in _idle)
            self.resize(few if are_many else many)
            with _lock:
                if len(_idle) < _IDLE_POOLS:
                    _idle.append(self)
                    return
        self.pool.shutdown(wait=False)


def hire() -> Crew:
    """Give a crew of one thread."""
    with _lock:
        crew = max(_idle, key=lambda crew: crew.width, default=None)
        if crew is not None:
            _idle.remove(crew)
    if crew is None:
        return Crew()
    crew.resize(1)
    return crew


def climbing(crew: Crew, call: Callable[..., Any], climber: Any) -> Callable[..., Any]:
    """Give `call` as it is to be called on the crew's threads, so that their number follows what it takes."""

    seen: set[int] = set()

    def climb(*args: Any, **kwargs: Any) -> Any:
        thread = threading.get_ident()
        is_first = thread not in seen
        if is_first:
            seen.add(thread)
        begun = time.perf_counter()
        try:
            return call(*args, **kwargs)
        finally:
            width = climber.on_call(begun, time.perf_counter(), is_first)
            # With no more threads to be had, those that there are go on.
            if width != crew.width and not crew.exhausted:
                crew.exhausted = not crew.resize(width, keep=True)

    return climb


def _forget() -> None:
    # Another thread of the parent's may have held the lock, and its threads are not here.
    global _lock
    _lock = threading.Lock()
    _idle.clear()


os.register_at_fork(after_in_child=_forget)
