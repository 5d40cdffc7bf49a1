"""The backends of a comparison: how each is made ready, called as `plait.map` calls it, and closed.

A `Lane` is one row of the table. Its pool is made anew for each round, so that start-up is measured as often
as the calls.
"""

import abc
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from plait._timed import Meeting, Timed, described, timed_function

# After Ctrl-C, workers that were killed are waited for this long.
_JOIN_SECONDS = 1.0


class Lane(abc.ABC):
    """One backend with its number of workers."""

    peer = False

    def __init__(self, name: str, workers: int) -> None:
        """Name the row."""
        self.name = name
        self.workers = workers

    @abc.abstractmethod
    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """Wrap the user's function so that this backend can send it; raises what is in the way."""

    @abc.abstractmethod
    def open(self) -> Any:
        """Make the pool."""

    @abc.abstractmethod
    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """Call `timed` with each item, results in order; may raise at an item that cannot travel."""

    def each(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed | str]:
        """Call `timed` with each item on its own; what cannot travel, or dies on the way, gives a text."""
        futures: list[Any] = []
        for item in items:
            try:
                futures.append(pool.submit(timed, item))
            except Exception as error:
                futures.append(described(error))
        for future in futures:
            if isinstance(future, str):
                yield future
                continue
            try:
                yield future.result()
            except Exception as error:
                yield described(error)

    @abc.abstractmethod
    def close(self, pool: Any) -> None:
        """End the pool; returns when its workers have gone."""

    @abc.abstractmethod
    def kill(self, pool: Any) -> None:
        """End the pool at once, running calls or not."""

    def start(self, timed: Callable[[Any], Timed]) -> tuple[Any, float]:
        """Open the pool; returns it with the seconds until every worker has answered."""
        begin = time.perf_counter()
        pool = self.open()
        try:
            self._meet(pool, timed)
        except BaseException:
            self.kill(pool)
            raise
        return pool, time.perf_counter() - begin

    def _meet(self, pool: Any, timed: Callable[[Any], Timed]) -> None:
        with meeting(self.workers) as invitation:
            for future in [pool.submit(timed, invitation) for _ in range(self.workers)]:
                future.result()


@contextlib.contextmanager
def meeting(people: int) -> Iterator[Meeting]:
    """Make the place of a meeting: anonymous memory, reached through /proc: nothing is left behind."""
    place = os.memfd_create("plait-meeting")
    try:
        yield Meeting(f"/proc/{os.getpid()}/fd/{place}", people)
    finally:
        os.close(place)


class Serial(Lane):
    """A plain loop, in the thread of the comparison."""

    def __init__(self) -> None:
        """There is one worker: the caller."""
        super().__init__("serial", 1)

    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """As the threads get it, so that both have the same overhead."""
        return timed_function(fn)

    def open(self) -> None:
        """Nothing to open."""

    def start(self, timed: Callable[[Any], Timed]) -> tuple[None, float]:
        """Nothing to start."""
        return None, 0.0

    def map(self, pool: None, timed: Callable[[Any], Timed], items: Iterable[Any]) -> Iterator[Timed]:
        """Call it, item by item."""
        return map(timed, items)

    def close(self, pool: None) -> None:
        """Nothing to close."""

    def kill(self, pool: None) -> None:
        """Nothing to end."""


class Threads(Lane):
    """`plait.ThreadPoolExecutor`."""

    def __init__(self, workers: int) -> None:
        """Take the number of threads."""
        super().__init__("threads", workers)

    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """Nothing has to travel."""
        return timed_function(fn)

    def open(self) -> Any:
        """Make the pool."""
        from plait._thread import ThreadPoolExecutor

        return ThreadPoolExecutor(self.workers, "plait-compare")

    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """As `plait.map` does it."""
        from plait._ahead import submit_ahead
        from plait._map import _AHEAD_PER_THREAD

        return submit_ahead(pool.submit, timed, zip(items), _AHEAD_PER_THREAD * self.workers, None)

    def close(self, pool: Any) -> None:
        """Wait for its threads."""
        pool.shutdown()

    def kill(self, pool: Any) -> None:
        """Cancel what has not begun: a thread cannot be stopped."""
        pool.shutdown(wait=False, cancel_futures=True)


class Processes(Lane):
    """`plait.ProcessPoolExecutor`."""

    def __init__(self, workers: int) -> None:
        """Take the number of processes."""
        super().__init__("processes", workers)

    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """Pickle the function once on its own: the path to what is in the way then starts at the function."""
        from plait import _core

        _core.codec.encode_direct(fn, ())
        return timed_function(fn)

    def open(self) -> Any:
        """Make the pool."""
        from plait._process import ProcessPoolExecutor

        return ProcessPoolExecutor(self.workers)

    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """As `plait.map` does it, with a chunksize of its own choice."""
        from plait._process import start_map

        return start_map(pool, timed, (items,), self.workers, None, 0)

    def close(self, pool: Any) -> None:
        """Wait for its workers."""
        pool.shutdown()

    def kill(self, pool: Any) -> None:
        """Kill its workers."""
        pool.shutdown(wait=False, cancel_futures=True)
        pool._give_up()
        pool._join(_JOIN_SECONDS)


# Those that are compared unless others are asked for. With serial all others are compared.
USUAL = ("serial", "threads", "processes")


def own_lanes(workers: int, names: Sequence[str] = USUAL) -> list[Lane]:
    """Plait's own backends, the simplest first, and clusters behind them in the order of `names`."""
    lanes: list[Lane] = [Serial()]
    lanes += [kind(workers) for kind in (Threads, Processes) if _NAMES[kind] in names]
    if _INTERPRETERS in names:
        from plait._compare.interpreters import Interpreters

        lanes.append(Interpreters(workers))
    clusters = [name for name in names if name not in (*USUAL, _INTERPRETERS)]
    if clusters:
        from plait._compare.clusters import Cluster

        lanes += [Cluster(name, workers) for name in clusters]
    return lanes


_NAMES = {Threads: "threads", Processes: "processes"}
_INTERPRETERS = "interpreters"


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Give the backends that are to be compared, each once.

    Raises:
        ValueError: one is none, or none that can be started for a comparison.
        ImportError: the package of one is missing.

    """
    from plait._cluster.executor import adapter
    from plait._cluster.place import ENGINES

    known = (*USUAL, _INTERPRETERS, *ENGINES)
    for name in names:
        if name not in known:
            raise ValueError(
                f"backend {name!r} cannot be compared; there are {', '.join(map(repr, known))}, "
                "clusters as plait starts them on this machine"
            )
        if name == _INTERPRETERS:
            from plait._interpreters import check_version

            check_version()
        if name in ENGINES:
            adapter(name)
    return tuple(dict.fromkeys(names))
