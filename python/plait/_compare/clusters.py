"""Clusters as rows of a comparison: each round starts one of its own on this machine, and ends it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from plait._compare.backends import Lane
from plait._timed import Meeting, Timed, timed_function

# Calls for each worker that are to be answered before the clock starts: more than one may go to the same.
_FIRST = 3


class Cluster(Lane):
    """`plait.Executor("dask")`, or of another engine."""

    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """Pickle the function once on its own: the path to what is in the way then starts at the function."""
        from plait import _core

        _core.codec.encode_direct(fn, ())
        return timed_function(fn)

    def open(self) -> Any:
        """Start the cluster, and connect to it."""
        from plait._cluster.executor import ClusterExecutor
        from plait._executor import check_backend

        place = check_backend(self.name)
        assert place is not None
        return ClusterExecutor(place, self.workers)

    def _meet(self, pool: Any, timed: Callable[[Any], Timed]) -> None:
        # Nobody says which worker gets which call; who waited for another could be waiting in front of it.
        alone = Meeting("", 1)
        for future in [pool.submit(timed, alone) for _ in range(_FIRST * self.workers)]:
            future.result()

    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """As `plait.map` does it, with a chunksize of its own choice."""
        from plait._cluster.start import start_on
        from plait._long.wishes import wishes

        wanted = wishes("raise", True, None, None)
        return start_on(pool, timed, (items,), wanted, (None, None), (None, 0))

    def close(self, pool: Any) -> None:
        """Wait for its end."""
        pool.shutdown()

    def kill(self, pool: Any) -> None:
        """Kill its workers."""
        pool._abort()
