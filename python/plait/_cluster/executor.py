"""The executor of a cluster."""

import concurrent.futures
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ParamSpec, TypeVar

from plait import _exit
from plait._asyncio.kind import is_coroutine_function, refuse_coroutines
from plait._cluster.crew import Crew, Task
from plait._cluster.engine import Engine
from plait._cluster.job import Job, call_of, chunk_of, job_of, opened
from plait._cluster.place import Place
from plait._future import Future
from plait._options import PoolMixin, check_limits

P = ParamSpec("P")
T = TypeVar("T")

Limits = tuple[float | None, int]


class ClusterExecutor(PoolMixin, concurrent.futures.Executor):
    """Runs calls on the workers of a cluster, each as one task of its engine.

    Args:
        place: Which cluster.
        max_workers: How many workers, where plait starts the cluster; by default one for each core.
        timeout: Seconds that each call may take, and each of its tries; then it is abandoned in its worker.
        retries: Extra tries of a call after an exception, a timeout or the death of its worker.

    Raises:
        ValueError: `max_workers` of a cluster that has the workers it has.
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
    ) -> None:
        """See the class."""
        check_workers(place, max_workers)
        check_limits(timeout, retries)
        self._limits: Limits = (timeout, retries)
        self._place = place
        self._crew = Crew(connect(place, max_workers))
        self._max_workers = max(1, self._crew.engine.places())
        if place.client is None:
            # Whose client it is sees to its end, and is not to be kept alive by plait.
            weakref.finalize(self, self._crew.retire).atexit = False
        _exit.at_exit(self)

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
        self, job: Job, calls: list[tuple[Any, ...]], first: int, goes_on: bool, limits: Limits
    ) -> "Future[Any]":
        """Have calls made together; the result is the answer as it comes, for `opened`."""
        packed = chunk_of(calls, first, goes_on, limits)
        return self._crew.submit(Task(job, packed, limits[1], len(calls) > 1, _raw))

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over `fn(*args)` for each tuple of items, in order; the calls start at once.

        Args:
            fn: The function.
            iterables: Its arguments, item by item; the shortest ends it. They are read at once unless
                `buffersize` is given.
            timeout: Seconds from now after which waiting for a result raises `TimeoutError`.
            chunksize: Items sent to a worker together; one that raises ends its chunk, as in the stdlib.
            buffersize: The most items read ahead of the results that were taken.

        """
        from plait._ahead import submit_ahead
        from plait._process import check_buffersize

        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        check_buffersize(buffersize)
        if is_coroutine_function(fn):
            refuse_coroutines(fn, self._place.engine)
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

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Shut down; after Ctrl-C at once, whatever the workers are doing."""
        if _exit.is_interrupt(exc_type):
            _exit.give_up(self)
            return
        try:
            self.shutdown(wait=True)
        except BaseException:
            # Ctrl-C while this waits.
            _exit.give_up(self)
            raise

    def _abort(self) -> None:
        """Give up: cancel everything, and wait a moment for the end of what plait has started."""
        self._crew.retire(at_once=True)
        self._crew.join(_exit.MOMENT)


def _raw(future: Any, answer: bytes) -> None:
    future.set_result(answer)


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


def connect(place: Place, workers: int | None) -> Engine:
    """Connect to a cluster, or start one; the one place that knows which engines there are."""
    from plait._cluster import dask

    return dask.connect(place, workers)
