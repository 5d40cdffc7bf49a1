"""A process pool as its own tasks see it: they submit to the pool that runs them."""

import concurrent.futures
import itertools
import os
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from plait import _core, _depth, _seed
from plait._mapping import check_chunksize
from plait._options import PoolMixin, check_limits

if TYPE_CHECKING:
    from plait._future import Future

P = ParamSpec("P")
T = TypeVar("T")

_count = itertools.count()
_at_home: "weakref.WeakValueDictionary[tuple[str, bool], concurrent.futures.Executor]"
_at_home = weakref.WeakValueDictionary()


def new_id() -> str:
    """Name a pool, as no other is named on this machine."""
    return f"{os.getpid()}-{time.monotonic_ns()}-{next(_count)}"


def register(pool_id: str, executor: concurrent.futures.Executor, *, face: bool = False) -> None:
    """Note whom a reference to the pool means here; `face`: an executor around the pool's own."""
    _at_home[pool_id, face] = executor


def arrive(pool_id: str, face: bool) -> concurrent.futures.Executor:
    """Give what a pickled executor is in this process: itself at home, and a handle in its own workers.

    Raises:
        RuntimeError: it is neither here.

    """
    executor = _at_home.get((pool_id, face))
    if executor is not None:
        return executor
    if _depth.pool == pool_id and _core.is_worker():
        return OwnPool()
    raise RuntimeError(
        "an executor can be sent to its own worker processes only, where tasks submit to the pool that runs "
        "them; this process belongs to another; make a pool here, or use plait.map"
    )


def current() -> "OwnPool | None":
    """Give the pool that this process is a worker of, if it is one."""
    return OwnPool() if _depth.pool is not None and _core.is_worker() else None


class OwnPool(_core.OwnEngine, PoolMixin):
    """The process pool that runs the task in hand, for submitting further tasks to it.

    What an executor is that was sent to one of its workers: as an argument, in a closure, in a global. No
    process is started for it. A task that waits for another which nobody has begun runs that itself, so that
    tasks cannot all wait for one another. One that ran so is not stopped by a `timeout` of its own: it ends
    with `plait.TaskTimeout` when it has taken too long.
    """

    __module__ = "plait"

    backend = "processes"

    def __init__(self) -> None:
        """See the class."""
        self._limits = _depth.limits
        self._max_workers = _depth.workers

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Go home as the executor itself."""
        return arrive, (_depth.pool, False)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Schedule `fn(*args, **kwargs)` on a worker of this pool and return its future.

        Raises:
            RuntimeError: the pool takes no more calls.

        """
        return self._submit_with(*self._limits, fn, args, kwargs)

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> "Future[T]":
        if (stream := _seed.running.get()) is not None:
            fn, args = stream.task(fn, args)
        return super()._submit_with(timeout, retries, fn, args, kwargs)

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:

        check_chunksize(chunksize)
        if (stream := _seed.running.get()) is not None:
            fn, iterables = stream.map(fn, iterables)
        return start_map(self, fn, zip(*iterables), chunksize, buffersize, timeout, *self._limits)

    def _tell_stats(self) -> NoReturn:
        raise RuntimeError(
            "a worker does not see the figures of the pool that it works for; ask the program that made it"
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: the pool is its owner's to shut down."""

    def __exit__(self, *_: object) -> None:
        """Wait until what was submitted by way of this object has ended."""
        self._finish()

    async def __aexit__(self, *_: object) -> None:
        """Wait as `__exit__` does, without blocking the event loop."""
        from plait import _exit

        await _exit.apart(self._finish)


# Seconds of work that a chunk of a map should be, where its size is plait's to choose.
_CHUNK_SECONDS = 0.002

_LONGEST_CHUNK = 1 << 14

# Chunks that a map keeps on their way for each worker.
_PER_WORKER = 4


def start_map(
    pool: OwnPool,
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    chunksize: int | None,
    buffersize: int | None,
    timeout: float | None,
    item_timeout: float | None,
    retries: int,
) -> Iterator[T]:
    """Start a map on the worker's own pool. `chunksize` None: as the items' duration suggests."""
    check_limits(item_timeout, retries)
    alone = chunksize == 1 or (chunksize is None and buffersize is not None)
    if alone or item_timeout is not None or retries:
        from plait._ahead import submit_ahead

        view = pool.options(timeout=item_timeout, retries=retries)
        return submit_ahead(view.submit, fn, calls, buffersize, timeout)
    return _chunked(pool, fn, calls, chunksize, buffersize, timeout)


def _chunked(
    pool: OwnPool,
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    chunksize: int | None,
    buffersize: int | None,
    timeout: float | None,
) -> Iterator[T]:
    from plait._ahead import submit_ahead

    chunks = _Chunks(calls, chunksize)
    ahead: int | None
    if buffersize is not None:
        ahead = max(1, buffersize // chunks.size)
    else:
        # Chunks of a chosen size are all sent at once, as in the stdlib.
        ahead = _PER_WORKER * pool._max_workers if chunksize is None else None
    answers = submit_ahead(pool.submit, _call_all, ((fn, chunk) for chunk in chunks), ahead, timeout)

    def results() -> Iterator[T]:
        for seconds, values, error in answers:
            chunks.learn(seconds, len(values))
            yield from values
            if error is not None:
                raise _core.codec.decode_exception(error)

    return results()


class _Chunks:
    """Calls in lists; how long they are follows what they take."""

    def __init__(self, calls: Iterator[tuple[Any, ...]], size: int | None) -> None:
        self.calls = calls
        self.fixed = size is not None
        self.size = size or 1

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        while True:
            chunk: list[tuple[Any, ...]] = []
            try:
                chunk.extend(itertools.islice(self.calls, self.size))
            except Exception:
                # What came before is called.
                if chunk:
                    yield chunk
                raise
            if not chunk:
                return
            yield chunk

    def learn(self, seconds: float, items: int) -> None:
        if not self.fixed and items:
            goal = int(_CHUNK_SECONDS / max(seconds / items, 1e-9))
            # By steps: the first items may be unlike the others.
            self.size = max(1, min(goal, 2 * self.size, _LONGEST_CHUNK))


@_seed.numbered
def _call_all(fn: Callable[..., T], calls: list[tuple[Any, ...]]) -> tuple[float, list[T], bytes | None]:
    """Make the calls of a chunk, up to the first that raises: seconds, results, and what that raised."""
    begun = time.perf_counter()
    values: list[T] = []
    error = None
    call = _core.Apart(fn)
    for args in calls:
        try:
            values.append(call(*args))
        except Exception as raised:
            if not values:
                raise
            error = _core.codec.encode_exception(raised)
            break
    return time.perf_counter() - begun, values, error
