"""joblib's calls on a cluster: the connection that maps keep, leased as a pool of processes is."""

from collections.abc import Callable
from typing import Any

from plait import _inherit
from plait._joblib import pools

# What else may be said beside `cluster=`: the rest is about processes that plait starts itself.
_OPTIONS = frozenset({"retries"})


class _Submits:
    """An executor's `submit`, with so many tries of each call."""

    def __init__(self, executor: Any, retries: int) -> None:
        self._executor = executor
        self._retries = retries

    def submit(self, fn: Callable[..., Any], *args: Any) -> Any:
        return self._executor._submit_with(None, self._retries, fn, args, {})


def executor_of(cluster: object, n_jobs: int | None = None) -> Any:
    """Give the executor of what names a cluster; one of plait's own has `n_jobs` workers, if that says so.

    Raises:
        ValueError: it names none.
        ImportError, ConnectionError, plait.PlaitError: as `plait.Executor`.

    """
    from plait._cluster import kept
    from plait._executor import check_backend

    place = check_backend(cluster)
    if place is None:
        raise ValueError(
            f"cluster={cluster!r} names no cluster; there are 'dask' and 'ray', and their addresses"
        )
    workers = n_jobs if place.is_own and n_jobs is not None and n_jobs > 0 else None
    return kept.executor_of(place, workers)


def take(executor: Any, options: dict[str, Any]) -> pools.Lease:
    """Lease it for one of joblib's calls.

    Raises:
        TypeError: an option that is about processes of plait's own.

    """
    for name in options:
        if name not in _OPTIONS:
            raise TypeError(
                f"{name} is for worker processes that plait starts itself; it has no meaning with cluster="
            )
    submits: Any = _Submits(executor, options.get("retries", 0))
    # Of no list: nobody gets it again, and it is shut down by those who keep it.
    return pools.Lease(pools.Pool((), submits, pools.IDLE, _inherit.Lent()))


def jobs(executor: Any, n_jobs: int | None) -> int:
    """Give how many calls `n_jobs` means there: -1 as many as the cluster has workers, -2 one less."""
    if n_jobs is None:
        return 1
    workers: int = executor._max_workers
    if n_jobs == -1:
        # With one at a time joblib would make the calls here.
        return max(2, workers)
    return n_jobs if n_jobs > 0 else max(1, workers + 1 + n_jobs)
