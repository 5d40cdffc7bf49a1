"""The contenders: a library, a kind of pool, and how many workers; and plait that chooses by itself.

A contender is named by its `spec`, plain words that go to an arm as JSON; `run` does a job with it. What a
library needs each time it is used is in the time: the stdlib's pools and mpire's are made and ended for
each run, as `with` does; joblib keeps its workers from run to run, and plait too.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

SERIAL, THREADS, PROCESSES = "serial", "threads", "processes"

# Straw men: what somebody writes who gives no number.
ALWAYS_THREADS, ALWAYS_PROCESSES, JOBLIB = "always threads", "always processes", "joblib's default"


@dataclass(frozen=True)
class Spec:
    """One contender. `chunk` is None for the library's own choice."""

    library: str
    backend: str
    workers: int = 1
    chunk: int | None = None
    # A pool of multiprocessing, not an executor of concurrent.futures.
    pool: bool = False
    straw: str = ""

    @property
    def family(self) -> str:
        """The arm that it lives in: one for each library and backend; none forks the other's threads."""
        return f"{self.library} {self.backend}"

    @property
    def existing(self) -> bool:
        """Whether it is none of plait's."""
        return self.library != "plait"

    @property
    def name(self) -> str:
        """What the table calls it."""
        if self.library == "plait":
            one = self.backend in ("auto", SERIAL)
            return f"plait {self.backend}" if one else f"plait {self.backend} x{self.workers}"
        if self.backend == SERIAL:
            return "a loop"
        if self.library != "stdlib":
            return f"{self.library} {self.backend} x{self.workers}"
        kind = {
            (THREADS, False): "ThreadPoolExecutor",
            (PROCESSES, False): "ProcessPoolExecutor",
            (THREADS, True): "ThreadPool",
            (PROCESSES, True): "Pool",
        }[self.backend, self.pool]
        chunk = f", chunk {self.chunk}" if self.chunk is not None and self.backend == PROCESSES else ""
        return f"{kind} x{self.workers}{chunk}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


AUTO = Spec("plait", "auto", 0)

Run = Callable[[Spec, Callable[[Any], Any], Iterable[Any], int], list[Any]]


def run_serial(_spec: Spec, fn: Callable[[Any], Any], items: Iterable[Any], _count: int) -> list[Any]:
    return list(map(fn, items))


def run_executor(spec: Spec, fn: Callable[[Any], Any], items: Iterable[Any], _count: int) -> list[Any]:
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    kind = ThreadPoolExecutor if spec.backend == THREADS else ProcessPoolExecutor
    with kind(spec.workers) as executor:
        return list(executor.map(fn, items, chunksize=spec.chunk or 1))


def run_pool(spec: Spec, fn: Callable[[Any], Any], items: Iterable[Any], _count: int) -> list[Any]:
    from multiprocessing import Pool
    from multiprocessing.pool import ThreadPool

    with (ThreadPool if spec.backend == THREADS else Pool)(spec.workers) as pool:
        return pool.map(fn, items, spec.chunk)


def run_joblib(spec: Spec, fn: Callable[[Any], Any], items: Iterable[Any], _count: int) -> list[Any]:
    from joblib import Parallel, delayed

    backend = "loky" if spec.backend == PROCESSES else "threading"
    return Parallel(n_jobs=spec.workers, backend=backend)(delayed(fn)(item) for item in items)


def run_mpire(spec: Spec, fn: Callable[[Any], Any], items: Iterable[Any], count: int) -> list[Any]:
    from mpire import WorkerPool

    with WorkerPool(spec.workers, start_method="fork" if spec.backend == PROCESSES else "threading") as pool:
        # Each item in a tuple, which is taken apart again: an item that is one itself would be, otherwise.
        calls = ((item,) for item in items)
        return pool.map(fn, calls, iterable_len=count, concatenate_numpy_output=False, chunk_size=spec.chunk)


def run_plait(spec: Spec, fn: Callable[[Any], Any], items: Iterable[Any], _count: int) -> list[Any]:
    import plait

    workers = None if spec.backend == SERIAL else spec.workers
    return list(plait.map(fn, items, backend=spec.backend, workers=workers))


def runner(spec: Spec) -> Run:
    """Return what runs a job with a contender; its library is imported, which is not timed."""
    if spec.library == "plait":
        import plait

        assert plait
        return run_plait
    if spec.library == "joblib":
        import joblib

        assert joblib
        return run_joblib
    if spec.library == "mpire":
        import mpire

        assert mpire
        return run_mpire
    if spec.backend == SERIAL:
        return run_serial
    return run_pool if spec.pool else run_executor


LOOP = Spec("stdlib", SERIAL)


def stdlib_threads(workers: int) -> Spec:
    return Spec("stdlib", THREADS, workers)


def straw_men(cpus: int) -> list[Spec]:
    """Return what nobody chose: each library as it comes. `cpus` is what this process may use."""
    return [
        Spec("stdlib", PROCESSES, cpus, 1, straw=ALWAYS_PROCESSES),
        # min(32, cpus + 4) is what the stdlib starts.
        Spec("stdlib", THREADS, min(32, (os.cpu_count() or 1) + 4), straw=ALWAYS_THREADS),
        Spec("joblib", PROCESSES, cpus, straw=JOBLIB),
    ]


def chunked(cpus: int) -> Spec:
    """Return the pool that sends a quarter of each worker's items at a time."""
    return Spec("stdlib", PROCESSES, cpus, None, pool=True)


def more_processes(cpus: int, count: int) -> list[Spec]:
    """Return what else is tried where processes do not fall far behind; `count` is the number of items."""
    quarter = max(1, -(-count // (4 * cpus)))
    return [
        *([Spec("stdlib", PROCESSES, cpus, quarter)] if quarter > 1 else []),
        Spec("stdlib", PROCESSES, 2 * cpus, 1),
        Spec("stdlib", PROCESSES, cpus, 1, pool=True),
        Spec("stdlib", PROCESSES, 2 * cpus, None, pool=True),
        Spec("mpire", PROCESSES, cpus),
        Spec("joblib", PROCESSES, 2 * cpus),
    ]


def more_threads(threads: int, count: int) -> list[Spec]:
    """Return what else is tried on as many threads as suit the workload."""
    found = [
        Spec("joblib", THREADS, threads),
        Spec("stdlib", THREADS, threads, None, pool=True),
        Spec("mpire", THREADS, threads),
    ]
    return found if count > 2000 else [*found, Spec("stdlib", THREADS, threads, 1, pool=True)]


def plait_fixed(cpus: int, threads: int, few: set[str]) -> list[Spec]:
    """Return plait's own fixed backends: threads as many as suit the workload, and next to it.

    On the backends of `few` only one is tried.
    """
    sizes = {threads} if THREADS in few else {cpus, max(2, threads // 2), threads, 2 * threads}
    processes = (cpus,) if PROCESSES in few else (cpus, 2 * cpus)
    return [
        *(Spec("plait", THREADS, size) for size in sorted(sizes)),
        *(Spec("plait", PROCESSES, size) for size in processes),
        Spec("plait", SERIAL),
    ]
