"""The connections that maps keep from call to call: closed at exit, or when the program looks otherwise."""

import gc
import os
import sys
import threading
from typing import Any

from plait._cluster.executor import ClusterExecutor, check_workers
from plait._cluster.place import Place

# Who connects may have to let go of what is kept.
_lock = threading.RLock()

#: By place, and for a cluster of plait's own by what the program looks like to a worker.
executors: dict[tuple[Any, ...], ClusterExecutor] = {}


def executor_of(place: Place, workers: int | None) -> ClusterExecutor:
    """Give the executor that maps keep for this cluster; made anew if the cluster was lost.

    Raises:
        ValueError, ImportError, ConnectionError, plait.PlaitError: as `ClusterExecutor`.

    """
    check_workers(place, workers)
    with _lock:
        if place.client is not None:
            return _of_client(place)
        looks: tuple[Any, ...] = (place.engine, place.address, workers, os.getpid())
        if place.is_own:
            from plait._process import default_workers

            looks = (place.engine, None, workers or default_workers(), os.getpid())
            looks += (tuple(sys.path), working_directory())
        found = executors.get(looks)
        if found is None or not _is_usable(found):
            for other in [key for key in executors if key[:4] == looks[:4]]:
                # Iterators over it keep it until they are done.
                del executors[other]
            found = executors[looks] = ClusterExecutor(place, workers)
        return found


def let_go(engine: str) -> None:
    """Close what is kept on this engine and used by no map: it is wanted otherwise."""
    with _lock:
        for looks in [looks for looks in executors if looks[0] == engine]:
            del executors[looks]
    # Iterators over it keep it until they are done; those that are done may hang on a cycle.
    gc.collect()


def _of_client(place: Place) -> ClusterExecutor:
    """What is kept with a client lives as long as that does."""
    kept: Any = vars(place.client).get("_plait")
    if kept is None or not _is_usable(kept):
        kept = ClusterExecutor(place)
        place.client._plait = kept
    executor: ClusterExecutor = kept
    return executor


def _is_usable(executor: ClusterExecutor) -> bool:
    return executor._crew.is_usable and executor._crew.engine.trouble() is None


def working_directory() -> str | None:
    """Give the working directory; None if it is gone."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _forget() -> None:
    # They are the parent's, and another thread of it may have held the lock.
    global _lock
    _lock = threading.RLock()
    executors.clear()


os.register_at_fork(after_in_child=_forget)
