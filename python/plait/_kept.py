"""The pools that maps keep from call to call."""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

_lock = threading.Lock()

#: By what the program looks like to a worker.
pools: dict[tuple[Any, ...], Any] = {}

#: The executors that choose for `amap`, by the number of workers and the process; they may hold a pool.
choosers: dict[tuple[int | None, int], Any] = {}


def pool_of(backend: str, workers: int) -> Any:
    """The pool that `map` keeps for this backend and number, while the program looks the same to a worker."""
    looks: tuple[Any, ...] = (backend, workers, os.getpid())
    depth = 0
    if backend == "interpreters":
        looks += (tuple(sys.path),)
    elif backend == "processes":
        from plait import _logs, _warned

        looks += (tuple(sys.path), _cwd(), _logs.of_program(), _warned.of_program())
    else:
        # A map within a call of a map waits for threads that no call further out can hold.
        depth = getattr(_inside, "depth", 0)
        looks += (depth,)
    with _lock:
        pool = pools.get(looks)
        if pool is None:
            if backend == "processes":
                for other in [key for key in pools if key[:2] == looks[:2]]:
                    # Iterators over it keep it until they are done.
                    del pools[other]
                    choosers.clear()
                from plait._process import ProcessPoolExecutor

                pool = ProcessPoolExecutor(workers)
            elif backend == "interpreters":
                from plait._interpreters.executor import InterpreterExecutor

                pool = InterpreterExecutor(workers)
            else:
                from plait._thread import ThreadPoolExecutor

                pool = ThreadPoolExecutor(workers, "plait-map", _enter, (depth + 1,))
            pools[looks] = pool
        return pool


def process_pool(workers: int | None) -> Any:
    """The worker processes that `map` keeps; None: as many as there are cores for."""
    if workers is None:
        from plait._process import default_workers

        workers = default_workers()
    return pool_of("processes", workers)


def chooser(workers: int | None, make: Callable[[], Any]) -> Any:
    """The executor that chooses for `amap`; `make` makes one."""
    place = (workers, os.getpid())
    with _lock:
        found = choosers.get(place)
        if found is None:
            found = choosers[place] = make()
        return found


def is_warm(backend: str = "processes") -> bool:
    """Whether worker processes, or what they are forked from, are there already; or those of a backend."""
    with _lock:
        return any(looks[0] == backend and looks[2] == os.getpid() for looks in pools)


# How deep in maps on threads the calls of this thread are.
_inside = threading.local()


def _enter(depth: int) -> None:
    _inside.depth = depth


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:
        return None


def _forget_lock() -> None:
    # Another thread of the parent's may have held it.
    global _lock
    _lock = threading.Lock()


atexit.register(pools.clear)
atexit.register(choosers.clear)
os.register_at_fork(after_in_child=_forget_lock)
