"""`plait.map`, and what the maps of the backends share."""

import atexit
import itertools
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, Unpack, overload

from plait import _core, _native_threads, _own
from plait._executor import check_backend
from plait._options import check_limits

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

if TYPE_CHECKING:
    from plait._choice import Choice
    from plait._long import Progress

    R = TypeVar("R", covariant=True)

    class Common(TypedDict, total=False):
        """What `map` takes by name on any backend."""

        workers: int | None
        chunksize: int | None
        buffersize: int | None
        timeout: float | None
        retries: int
        ordered: bool
        progress: bool | Callable[[Progress], object] | None
        checkpoint: str | os.PathLike[str] | None

    class Open(Common, total=False):
        """The same, with the backend left to plait."""

        backend: Literal["auto"]
        errors: Literal["raise", "skip"]

    class Options(Common, total=False):
        """The same, with a backend."""

        backend: str
        errors: Literal["raise", "skip"]

    class Returning(Common, total=False):
        """The same, where exceptions are results."""

        backend: str

    class Chosen(Iterator[R], Protocol[R]):
        """The iterator of a map whose backend was left to plait."""

        @property
        def choice(self) -> Choice:
            """What it chose, and why."""


# Threads: enough calls ahead that no thread waits for the consumer's turn with the GIL.
_AHEAD_PER_THREAD = 32

_lock = threading.Lock()
_pools: dict[tuple[Any, ...], Any] = {}


@overload
def map(fn: Callable[[A], T], it: Iterable[A], /, **how: "Unpack[Open]") -> "Chosen[T]": ...


@overload
def map(fn: Callable[[A], T], it: Iterable[A], /, **how: "Unpack[Options]") -> Iterator[T]: ...


@overload
def map(fn: Callable[[A, B], T], a: Iterable[A], b: Iterable[B], /, **how: "Unpack[Open]") -> "Chosen[T]": ...


@overload
def map(
    fn: Callable[[A, B], T], a: Iterable[A], b: Iterable[B], /, **how: "Unpack[Options]"
) -> Iterator[T]: ...


@overload
def map(
    fn: Callable[..., T],
    a: Iterable[Any],
    b: Iterable[Any],
    c: Iterable[Any],
    /,
    *iterables: Iterable[Any],
    **how: "Unpack[Open]",
) -> "Chosen[T]": ...


@overload
def map(
    fn: Callable[..., T],
    a: Iterable[Any],
    b: Iterable[Any],
    c: Iterable[Any],
    /,
    *iterables: Iterable[Any],
    **how: "Unpack[Options]",
) -> Iterator[T]: ...


@overload
def map(
    fn: Callable[[A], T], it: Iterable[A], /, *, errors: Literal["return"], **how: "Unpack[Returning]"
) -> Iterator[T | Exception]: ...


@overload
def map(
    fn: Callable[..., T],
    a: Iterable[Any],
    b: Iterable[Any],
    /,
    *iterables: Iterable[Any],
    errors: Literal["return"],
    **how: "Unpack[Returning]",
) -> Iterator[T | Exception]: ...


def map(
    fn: Callable[..., T],
    *iterables: Iterable[Any],
    backend: str = "auto",
    workers: int | None = None,
    chunksize: int | None = None,
    buffersize: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    ordered: bool = True,
    errors: str = "raise",
    progress: "bool | Callable[[Progress], object] | None" = None,
    checkpoint: "str | os.PathLike[str] | None" = None,
) -> Iterator[T]:
    """Return an iterator over `fn(*args)` for each tuple of items, in order; the calls start at once.

    The inputs are read only a little ahead of the consumer, so they may be endless. The workers are kept for
    the next call. With the backend "auto", the first calls run on a thread of this process while they are
    measured, for some 10 ms; then the rest goes where that promises to be fastest. The iterator's `choice`
    says what was chosen, and why.

    Args:
        fn: The function.
        iterables: Its arguments, item by item; the shortest ends it.
        backend: "auto" (the default), "processes", "threads" or "serial".
        workers: How many; by default as measured, or a process for each core, or as many threads as the
            stdlib starts.
        chunksize: Items sent to a worker process together; by default chosen from how long they take.
        buffersize: The most items read ahead of the results that were taken; by default as many as keep the
            workers busy.
        timeout: Seconds that each call may take from its start; one that takes longer is stopped (on threads:
            abandoned) and raises `plait.TaskTimeout`. Not on the serial backend.
        retries: Extra tries of a call after an exception, a timeout, or the death of its worker. With it, or
            with `timeout`, items go to the worker processes one by one.
        ordered: Whether results come in the order of the inputs, or as they come.
        errors: What becomes of an exception of a call: "raise" (the default) ends the map with it, "return"
            yields it in the result's place, "skip" leaves it out. What an input raises ends the map.
        progress: True for a bar on stderr, or in the notebook; or what to call with a `plait.Progress`, ten
            times a second at most. If that raises, a warning says so, and it is called no more.
        checkpoint: The path of a file that keeps results: where it exists, the map goes on from there.
            It is as trusted as code. What a worker raised is not kept, and tried again.

    Raises:
        plait.CheckpointError: the file is of another function, of other items or in use, or cannot be
            written. In the latter case results that are there are yielded first.
        ValueError: no such backend, a number below 1, or a limit that makes no sense.
        MemoryError: there is no room for what a worker process is to be sent, and waiting would not help.
        Exception: what `fn` or an input raised, where its result would have come; what came before is yielded
            first.

    """
    check_backend(backend)
    check_counts(workers=workers, chunksize=chunksize, buffersize=buffersize)
    check_limits(timeout, retries)
    if not iterables:
        raise TypeError("map needs at least one iterable")
    if not (ordered is True and errors == "raise" and not progress and checkpoint is None):
        from plait._long import start, wishes

        wanted = wishes.wishes(errors, ordered, progress, checkpoint)
        if wanted.any:
            counts = (workers, chunksize, buffersize)
            return start.start(fn, iterables, wanted, backend, counts, (timeout, retries), _pool, is_warm)
    if backend == "auto":
        from plait._auto import deciding, run

        limited = timeout is not None or retries
        backends = ("threads", "processes") if limited else ("serial", "threads", "processes")
        bounds = deciding.Bounds(workers, chunksize, backends)
        return run.start(fn, iterables, bounds, buffersize, (timeout, retries), process_pool, is_warm)
    if backend == "serial":
        if timeout is not None or retries:
            from plait._serial import SerialExecutor

            executor = SerialExecutor(timeout=timeout, retries=retries)
            return submit_ahead(executor.submit, fn, zip(*iterables), buffersize or 1, None)
        return _builtin_map(fn, *iterables)
    if backend == "threads":
        pool = _pool("threads", workers or min(32, _core.cpu_count() + 4))
        most = pool._max_workers
        ahead = buffersize or _AHEAD_PER_THREAD * most
        if timeout is not None or retries:
            pool = pool.options(timeout=timeout, retries=retries)
        held = _native_threads.limit(min(most, *(length_hint(it, most) for it in iterables)))
        results = submit_ahead(pool.submit, held.wrap(fn), zip(*iterables), ahead, None)
        return results if held.share is None else held.over(results)
    own = _own.current() if workers is None else None
    if own is not None:
        # In a worker: no process is started for it, however deep maps are nested.
        return _own.start_map(own, fn, zip(*iterables), chunksize, buffersize, None, timeout, retries)
    from plait._process import default_workers, start_map

    pool = _pool("processes", workers or default_workers())
    return start_map(
        pool, fn, iterables, pool._max_workers, chunksize, buffersize or 0, None, timeout, retries
    )


def check_counts(**numbers: int | None) -> None:
    """Raise a ValueError for what is no number of workers or items."""
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < 1):
            raise ValueError(f"{name} must be an integer of at least 1, not {number!r}")


# The builtin, which this module's own function hides.
_builtin_map = __builtins__["map"] if isinstance(__builtins__, dict) else __builtins__.map


def submit_ahead(
    submit: Callable[..., Any],
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    ahead: int | None,
    timeout: float | None,
) -> Iterator[T]:
    """Submit `calls` at once, or at most `ahead` of them before the consumer; iterate over their results."""
    deadline = None if timeout is None else time.monotonic() + timeout
    futures: deque[Any] = deque()
    failure: list[BaseException] = []
    if ahead is None:
        # The iterator does not keep the executor: with nothing more to submit it needs it no more.
        for args in calls:
            futures.append(submit(fn, *args))
        return _results(futures, lambda: None, failure, deadline)

    def fill() -> None:
        while len(futures) < ahead:
            try:
                args = next(calls)
            except StopIteration:
                return
            except Exception as error:
                # What was submitted before is handed out first.
                failure.append(error)
                return
            futures.append(submit(fn, *args))

    fill()
    return _results(futures, fill, failure, deadline)


def submit_chunks(
    submit: Callable[..., Any],
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    chunksize: int,
    ahead: int | None,
    timeout: float | None,
) -> Iterator[T]:
    """The same with so many calls in each that is submitted."""
    if chunksize == 1:
        return submit_ahead(submit, fn, calls, ahead, timeout)
    chunks = iter(lambda: tuple(itertools.islice(calls, chunksize)), ())
    results = submit_ahead(submit, _call_chunk, ((fn, chunk) for chunk in chunks), ahead, timeout)
    return itertools.chain.from_iterable(results)


def _call_chunk(fn: Callable[..., T], chunk: tuple[tuple[Any, ...], ...]) -> list[T]:
    return [fn(*args) for args in chunk]


def _results(
    futures: deque[Any], fill: Callable[[], None], failure: list[BaseException], deadline: float | None
) -> Iterator[Any]:
    """Hand out what the futures hold, submitting more before each; then raise what is in `failure`."""
    value = []
    try:
        while futures:
            future = futures.popleft()
            try:
                # Kept where pop() takes it out, so that nothing here knows it while the consumer has it.
                value.append(future.result(None if deadline is None else deadline - time.monotonic()))
            except BaseException:
                future.cancel()
                raise
            del future
            if not failure:
                try:
                    fill()
                except BaseException as error:
                    # The result in hand comes first.
                    failure.append(error)
            yield value.pop()
        if failure:
            raise failure.pop()
    finally:
        for future in futures:
            future.cancel()


def _pool(backend: str, workers: int) -> Any:
    """The pool that `map` keeps for this backend and number, while the program looks the same to a worker."""
    looks: tuple[Any, ...] = (backend, workers, os.getpid())
    depth = 0
    if backend == "processes":
        from plait import _logs

        looks += (tuple(sys.path), _cwd(), _logs.of_program())
    else:
        # A map within a call of a map waits for threads that no call further out can hold.
        depth = getattr(_inside, "depth", 0)
        looks += (depth,)
    with _lock:
        pool = _pools.get(looks)
        if pool is None:
            if backend == "processes":
                for other in [key for key in _pools if key[:2] == looks[:2]]:
                    # Iterators over it keep it until they are done.
                    del _pools[other]
                from plait._process import ProcessPoolExecutor

                pool = ProcessPoolExecutor(workers)
            else:
                from plait._thread import ThreadPoolExecutor

                pool = ThreadPoolExecutor(workers, "plait-map", _enter, (depth + 1,))
            _pools[looks] = pool
        return pool


def process_pool(workers: int) -> Any:
    """The worker processes that `map` keeps."""
    return _pool("processes", workers)


def is_warm() -> bool:
    """Whether worker processes, or what they are forked from, are there already."""
    with _lock:
        return any(looks[0] == "processes" and looks[2] == os.getpid() for looks in _pools)


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


atexit.register(_pools.clear)
os.register_at_fork(after_in_child=_forget_lock)
