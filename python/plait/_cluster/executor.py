"""The executor of a cluster."""

import importlib
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, ParamSpec, TypeVar

from plait import _exit, _seed
from plait._asyncio.kind import is_coroutine_function, refuse_coroutines
from plait._cluster.crew import Crew, Task
from plait._cluster.engine import Engine
from plait._cluster.job import Job, call_of, chunk_of, job_of, opened
from plait._cluster.place import Place
from plait._future import Future
from plait._mapping import check_chunksize
from plait._options import PoolMixin, check_limits

P = ParamSpec("P")
T = TypeVar("T")

Limits = tuple[float | None, int]

# Functions of which something is kept.
_MOST_FIGURES = 64


class ClusterExecutor(PoolMixin):
    """Runs calls on the workers of a cluster, each as one task of its engine.

    Args:
        place: Which cluster.
        max_workers: How many workers, where plait starts the cluster; by default one for each core.
        timeout: Seconds that each call may take, and each of its tries; then it is abandoned in its worker.
        retries: Extra tries of a call after an exception, a timeout or the death of its worker.
        seed: Each call draws its random numbers from a stream of its own.

    Raises:
        ValueError: `max_workers` of a cluster that has the workers it has; a seed where calls share a
            process, or with a timeout.
        ImportError: the engine is not installed.
        ConnectionError: no scheduler answers.
        plait.PlaitError: the other end has other versions.

    """

    def __init__(
        self,
        place: Place,
        max_workers: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        seed: int | None = None,
    ) -> None:
        """See the class."""
        check_workers(place, max_workers)
        check_limits(timeout, retries)
        if seed is not None:
            _seed.check(seed, place.engine)
            refuse_seeded_timeout(timeout)
        self._limits: Limits = (timeout, retries)
        self._place = place
        self._crew = Crew(connect(place, max_workers))
        # What maps have learned of functions, by digest; see `Sizer.figures`.
        self.figures: dict[bytes, tuple[float, float]] = {}
        self._max_workers = max(1, self._crew.engine.places())
        if place.client is None:
            # Whose client it is sees to its end, and is not to be kept alive by plait.
            weakref.finalize(self, self._crew.retire).atexit = False
        _exit.at_exit(self)
        self._numbering: _seed.Numbering | None = None
        if seed is not None:
            try:
                self.refuse_seeds_on_threads()
            except BaseException:
                self.shutdown()
                raise
            self._numbering = _seed.Numbering(self, seed)

    def refuse_seeds_on_threads(self) -> None:
        """Raise a ValueError if calls share a process at the same time, where a seed is of no use."""
        engine = self._crew.engine
        if engine.threads > 1:
            raise ValueError(
                "seed= seeds the functions of random and of numpy.random, which all calls of a process "
                f"share, and {engine.where} has workers that make {engine.threads} calls at a time; start "
                "them with --nthreads 1, and more of them"
            )

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Schedule `fn(*args, **kwargs)` and return its future."""
        return self._submit_with(*self._limits, fn, args, kwargs)

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> "Future[T]":
        if is_coroutine_function(fn):
            refuse_coroutines(fn, self._place.engine)
        if getattr(fn, "plait_numbered", False):
            refuse_seeded_timeout(timeout)
            self.refuse_seeds_on_threads()
        job = job_of(fn)
        return self._crew.submit(
            Task(job, call_of(args, kwargs, (timeout, retries)), retries, False, self._opener(job))
        )

    def _opener(self, job: Job, whole: bool = False) -> Callable[[Any, bytes], None]:
        where = self._crew.engine.where

        def open_answer(future: Any, answer: bytes) -> None:
            said = opened(answer, job.name, where)
            for place in sorted(said.failures):
                future.set_exception(said.failures[place])
                return
            future.set_result(said.values if whole else said.values[0])

        return open_answer

    def _submit_chunk(
        self, job: Job, calls: Sequence[tuple[Any, ...]], first: int, goes_on: bool, limits: Limits
    ) -> "Future[Any]":
        """Have calls made together; the result is the answer as it comes, for `opened`."""
        packed = chunk_of(calls, first, goes_on, limits)
        return self._crew.submit(Task(job, packed, limits[1], len(calls) > 1, _raw))

    def keep_figures(self, digest: bytes, figures: tuple[float, float]) -> None:
        """Keep what a map has learned of a function, for the next one."""
        self.figures.pop(digest, None)
        self.figures[digest] = figures
        if len(self.figures) > _MOST_FIGURES:
            # The one that was used least lately; another map may have taken it.
            self.figures.pop(next(iter(self.figures)), None)

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        from plait._ahead import submit_ahead

        check_chunksize(chunksize)
        if is_coroutine_function(fn):
            refuse_coroutines(fn, self._place.engine)
        if self._numbering is not None:
            fn, iterables = self._numbering.map(fn, iterables)
        if chunksize == 1:
            return submit_ahead(self.submit, fn, zip(*iterables), buffersize, timeout)
        job, calls, limits = job_of(fn), zip(*iterables), self._limits
        chunks = iter(lambda: list(itertools.islice(calls, chunksize)), [])
        positions = itertools.count(0, chunksize)

        def submit(_: Any, chunk: list[tuple[Any, ...]]) -> Any:
            packed = chunk_of(chunk, next(positions), False, limits)
            return self._crew.submit(Task(job, packed, limits[1], False, self._opener(job, whole=True)))

        ahead = None if buffersize is None else max(1, buffersize // chunksize)
        results: Iterator[Any] = submit_ahead(submit, fn, ((chunk,) for chunk in chunks), ahead, timeout)
        return itertools.chain.from_iterable(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish the pending ones, or cancel those not handed over with `cancel_futures`.

        With `wait`, return when the last has ended, and with it the cluster if plait has started it.
        """
        self._crew.retire(cancel_futures)
        if wait:
            self._crew.join()

    def _abort(self) -> None:
        """Give up: cancel everything, and wait a moment for the end of what plait has started."""
        self._crew.retire(at_once=True)
        self._crew.join(_exit.MOMENT)


def _raw(future: Any, answer: bytes) -> None:
    future.set_result(answer)


def refuse_seeded_timeout(timeout: float | None) -> None:
    """Raise a ValueError for a seed where calls over their time go on."""
    if timeout is not None:
        raise ValueError(
            "seed= and timeout= do not go together on a cluster: a call over its time goes on in its worker, "
            "and draws from the generators of the calls after it; leave one of them out, or use "
            "backend='processes'"
        )


def check_workers(place: Place, workers: int | None) -> None:
    """Raise a ValueError for a number of workers that cannot be had, or is none."""
    if workers is None:
        return
    if not place.is_own:
        raise ValueError(
            f"a number of workers is for backend {place.engine!r}, whose cluster plait starts; "
            f"{place} has as many as it has"
        )
    if workers < 1:
        raise ValueError("max_workers must be greater than 0")


def refuse_initializer(place: Place) -> NoReturn:
    """Raise a ValueError that says who calls something in each worker of a cluster as it starts."""
    own = {
        "dask": "Dask has worker plugins for that (client.register_plugin)",
        "ray": "Ray has runtime_env for that (ray.init(runtime_env={'worker_process_setup_hook': …}))",
    }
    raise ValueError(
        f"initializer is for workers that plait starts itself; {own[place.engine]}, which are there before "
        "the first call"
    )


def connect(place: Place, workers: int | None) -> Engine:
    """Connect to a cluster, or start one."""
    engine: Engine = adapter(place.engine).connect(place, workers)
    return engine


def adapter(engine: str) -> Any:
    """Give the module of an engine.

    Raises:
        ImportError: it is not installed.

    """
    return importlib.import_module(f"plait._cluster.{engine}")
