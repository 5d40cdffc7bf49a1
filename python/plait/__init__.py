"""plait runs Python functions on threads or processes through one API, and measures which one helps.

    import plait

    results = list(plait.map(work, items, backend="processes"))

    with plait.ProcessPoolExecutor() as executor:
        future = executor.submit(work, item)

Everything is loaded at first use, so importing plait costs next to nothing.
"""

from plait import _joblib
from plait._errors import CheckpointError, NotPicklable, OwnerDied, PlaitError, RemoteError, TaskTimeout

# What type checkers take for `typing.TYPE_CHECKING`, without the import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from plait._amap import amap
    from plait._choice import Choice
    from plait._compare import Comparison, compare
    from plait._core import Array, Value, cpu_count
    from plait._errors import WorkerDied
    from plait._executor import Executor
    from plait._explain import explain
    from plait._future import Future
    from plait._locks import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore
    from plait._long import Progress
    from plait._map import map
    from plait._one import Process, Thread
    from plait._patch import patch, unpatch
    from plait._pool import Pool, ThreadPool
    from plait._process import ProcessPoolExecutor
    from plait._queue import Queue, ShutDown
    from plait._recording import Recording, record
    from plait._shared import empty, full, share, zeros
    from plait._stats import Stats, WorkerStats
    from plait._task import task
    from plait._thread import ThreadPoolExecutor
    from plait._watch_gil import GilHeld, watch_gil
    from plait._watch_loop import LoopBlocked, watch_loop

    __version__: str

__all__ = [
    "Array",
    "Barrier",
    "BoundedSemaphore",
    "CheckpointError",
    "Choice",
    "Comparison",
    "Condition",
    "Event",
    "Executor",
    "Future",
    "GilHeld",
    "Lock",
    "LoopBlocked",
    "NotPicklable",
    "OwnerDied",
    "PlaitError",
    "Pool",
    "Process",
    "ProcessPoolExecutor",
    "Progress",
    "Queue",
    "RLock",
    "Recording",
    "RemoteError",
    "Semaphore",
    "ShutDown",
    "Stats",
    "TaskTimeout",
    "Thread",
    "ThreadPool",
    "ThreadPoolExecutor",
    "Value",
    "WorkerDied",
    "WorkerStats",
    "amap",
    "compare",
    "cpu_count",
    "empty",
    "explain",
    "full",
    "map",
    "patch",
    "record",
    "share",
    "task",
    "unpatch",
    "watch_gil",
    "watch_loop",
    "zeros",
]

# Which private module defines which public name.
_HOMES = {
    "Array": "plait._core",
    "Barrier": "plait._locks",
    "BoundedSemaphore": "plait._locks",
    "Choice": "plait._choice",
    "Comparison": "plait._compare",
    "Condition": "plait._locks",
    "Event": "plait._locks",
    "Executor": "plait._executor",
    "Future": "plait._future",
    "GilHeld": "plait._watch_gil",
    "Lock": "plait._locks",
    "LoopBlocked": "plait._watch_loop",
    "Pool": "plait._pool",
    "Process": "plait._one",
    "ProcessPoolExecutor": "plait._process",
    "Progress": "plait._long",
    "Queue": "plait._queue",
    "RLock": "plait._locks",
    "Recording": "plait._recording",
    "Semaphore": "plait._locks",
    "ShutDown": "plait._queue",
    "Stats": "plait._stats",
    "Thread": "plait._one",
    "ThreadPool": "plait._pool",
    "ThreadPoolExecutor": "plait._thread",
    "Value": "plait._core",
    "WorkerDied": "plait._errors",
    "WorkerStats": "plait._stats",
    "amap": "plait._amap",
    "compare": "plait._compare",
    "cpu_count": "plait._core",
    "empty": "plait._shared",
    "explain": "plait._explain",
    "full": "plait._shared",
    "map": "plait._map",
    "patch": "plait._patch",
    "record": "plait._recording",
    "share": "plait._shared",
    "task": "plait._task",
    "unpatch": "plait._patch",
    "watch_gil": "plait._watch_gil",
    "watch_loop": "plait._watch_loop",
    "zeros": "plait._shared",
}


if not TYPE_CHECKING:
    # A name that is not there is a mistake, which type checkers are to find.

    def __getattr__(name: str) -> object:
        if name == "__version__":
            home = "plait._core"
        elif name in _HOMES:
            home = _HOMES[name]
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


_joblib.watch()
