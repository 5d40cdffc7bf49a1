"""`plait.map`."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar, Unpack, overload

from plait import _core, _native_threads, _own, _seed
from plait._ahead import submit_ahead
from plait._asyncio.kind import (
    is_coroutine_function,
    refuse_async_inputs,
    refuse_concurrency,
    refuse_coroutines,
)
from plait._executor import check_backend
from plait._kept import is_warm, pool_of, process_pool
from plait._options import check_limits

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

if TYPE_CHECKING:
    from plait._choice import Choice
    from plait._cluster.place import Backend
    from plait._long import Progress

    R = TypeVar("R", covariant=True)

    Input: TypeAlias = Iterable[A] | AsyncIterable[A]

    class Common(TypedDict, total=False):
        """What `map` takes by name on any backend."""

        workers: int | None
        chunksize: int | None
        buffersize: int | None
        timeout: float | None
        retries: int
        seed: int | None

    class Captured(Common, total=False):
        """What `map` takes besides `capture_output=True`."""

        backend: Backend
        concurrency: int | None
        ordered: bool
        progress: bool | Callable[[Progress], object] | None
        errors: Literal["raise", "skip"]

    class Long(Common, total=False):
        """What `map` takes besides."""

        capture_output: Literal[False]
        ordered: bool
        progress: bool | Callable[[Progress], object] | None
        checkpoint: str | os.PathLike[str] | None

    class Open(Long, total=False):
        """The same, with the backend left to plait."""

        backend: Literal["auto"]
        errors: Literal["raise", "skip"]

    class Options(Long, total=False):
        """The same, with a backend; and what only coroutine functions have."""

        backend: Backend
        concurrency: int | None
        errors: Literal["raise", "skip"]

    class Returning(Long, total=False):
        """The same, where exceptions are results."""

        backend: Backend
        concurrency: int | None

    class Printing(Iterator[R], Protocol[R]):
        """The iterator of a map that keeps what its calls print."""

        @property
        def stdout(self) -> str | None:
            """What the call printed whose result came last."""

        @property
        def stderr(self) -> str | None:
            """The same of `sys.stderr`."""

    class AsyncPrinting(AsyncIterator[R], Protocol[R]):
        """The same of `amap`."""

        async def aclose(self) -> None:
            """End it; what was begun has ended when this returns."""

        @property
        def stdout(self) -> str | None:
            """What the call printed whose result came last."""

        @property
        def stderr(self) -> str | None:
            """The same of `sys.stderr`."""

    class Chosen(Iterator[R], Protocol[R]):
        """The iterator of a map whose backend was left to plait."""

        @property
        def choice(self) -> Choice:
            """What it chose, and why."""


# Threads: enough calls ahead that no thread waits for the consumer's turn with the GIL.
_AHEAD_PER_THREAD = 32


@overload
def map(
    fn: Callable[..., Coroutine[Any, Any, T]],
    it: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    capture_output: Literal[True],
    **how: "Unpack[Captured]",
) -> "Printing[T]": ...


@overload
def map(
    fn: Callable[..., T],
    it: Iterable[Any],
    /,
    *iterables: Iterable[Any],
    capture_output: Literal[True],
    **how: "Unpack[Captured]",
) -> "Printing[T]": ...


@overload
def map(  # type: ignore[overload-overlap]  # a coroutine function's results are awaited
    fn: Callable[[A], Coroutine[Any, Any, T]], it: "Input[A]", /, **how: "Unpack[Options]"
) -> Iterator[T]: ...


@overload
def map(  # type: ignore[overload-overlap]
    fn: Callable[[A, B], Coroutine[Any, Any, T]], a: "Input[A]", b: "Input[B]", /, **how: "Unpack[Options]"
) -> Iterator[T]: ...


@overload
def map(  # type: ignore[overload-overlap]
    fn: Callable[..., Coroutine[Any, Any, T]],
    a: "Input[Any]",
    b: "Input[Any]",
    c: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    **how: "Unpack[Options]",
) -> Iterator[T]: ...


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
    fn: Callable[..., Any],
    *iterables: Any,
    backend: "Backend" = "auto",
    workers: int | None = None,
    chunksize: int | None = None,
    buffersize: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    concurrency: int | None = None,
    ordered: bool = True,
    errors: str = "raise",
    progress: "bool | Callable[[Progress], object] | None" = None,
    checkpoint: "str | os.PathLike[str] | None" = None,
    seed: int | None = None,
    capture_output: bool = False,
) -> Iterator[Any]:
    """Return an iterator over `fn(*args)` for each tuple of items, in order; the calls start at once.

    The inputs are read only a little ahead of the consumer, so they may be endless. The workers are kept for
    the next call. With the backend "auto", the first calls run on a thread of this process while they are
    measured, for some 10 ms; then the rest goes where that promises to be fastest (from Python 3.14 on that
    can be "interpreters"). The iterator's `choice` says what was chosen, and why.

    A coroutine function runs on an event loop of plait's own, which is what "auto" means for it, or with the
    backend "processes" on one in each worker. Closing or dropping the iterator cancels what runs there.

    Args:
        fn: The function, or a coroutine function.
        iterables: Its arguments, item by item; the shortest ends it. With "asyncio" they may be asynchronous.
        backend: "auto" (the default), "processes", "threads", "interpreters" (from Python 3.14 on), "serial"
            or "asyncio"; "dask" or "ray" for a cluster on this machine; "dask://host:port", a
            `distributed.Client` or "ray://host:port" for one that is there.
        workers: How many; by default as measured, or a process for each core, or as many threads as the
            stdlib starts.
        chunksize: Items sent to a worker process together; by default chosen from how long they take.
        buffersize: The most items read ahead of the results that were taken; by default as many as keep the
            workers busy.
        timeout: Seconds that each call may take from its start; one that takes longer is stopped (on threads:
            abandoned; a coroutine: cancelled) and raises `plait.TaskTimeout`. Not on the serial backend.
        retries: Extra tries of a call after an exception, a timeout, or the death of its worker. With it, or
            with `timeout`, items go to the worker processes one by one.
        concurrency: The most coroutines at a time, on processes in each worker; by default found by climbing
            while more of them raise the rate, up to some thousands. Coroutine functions only.
        ordered: Whether results come in the order of the inputs, or as they come.
        errors: What becomes of an exception of a call: "raise" (the default) ends the map with it, "return"
            yields it in the result's place, "skip" leaves it out. What an input raises ends the map.
        progress: True for a bar on stderr, or in the notebook; or what to call with a `plait.Progress`, ten
            times a second at most. If that raises, a warning says so, and it is called no more.
        checkpoint: The path of a file that keeps results: where it exists, the map goes on from there.
            It is as trusted as code. What a worker raised is not kept, and tried again.
        seed: An integer that makes the random numbers of calls the same in each run, whatever the workers,
            chunks and tries: each call draws from a stream of its own, by its place among the items. It is
            that of `random` and of NumPy's global functions, so the calls run on processes, which "auto"
            means then, or on the serial backend.
        capture_output: Keep what each call prints: the iterator's `stdout` and `stderr` are those of the
            result that came last, or of the exception that was raised. It does not appear then. Not with
            "auto" (but for coroutine functions), nor with `checkpoint`.

    Raises:
        plait.CheckpointError: the file is of another function, of other items or in use, or cannot be
            written. In the latter case results that are there are yielded first.
        ValueError: no such backend, a number below 1, or a limit that makes no sense.
        TypeError: a coroutine function on threads or the serial backend, or a plain one on "asyncio".
        MemoryError: there is no room for what a worker process is to be sent, and waiting would not help.
        Exception: what `fn` or an input raised, where its result would have come; what came before is yielded
            first.

    """
    place = check_backend(backend)
    check_counts(workers=workers, chunksize=chunksize, buffersize=buffersize, concurrency=concurrency)
    check_limits(timeout, retries)
    if not callable(fn):
        raise TypeError(
            f"map needs a function, not {type(fn).__name__}: plait.map(fn, items), without calling fn"
        )
    if not iterables:
        raise TypeError("map needs at least one iterable")
    if capture_output:
        from plait import _captured

        given: dict[str, Any] = {"workers": workers, "chunksize": chunksize, "buffersize": buffersize}
        given |= {"timeout": timeout, "retries": retries, "concurrency": concurrency, "backend": backend}
        given |= {"ordered": ordered, "errors": errors, "progress": progress, "checkpoint": checkpoint}
        _captured.check_map(capture_output, is_coroutine_function(fn), **given)
        return _captured.Results(map(_captured.wrapped(fn), *iterables, **given, seed=seed))
    limits = (timeout, retries)
    if place is not None:
        from plait._cluster import start as cluster
        from plait._long import wishes

        refuse_concurrency(concurrency)
        fn, iterables, _ = _seed.mapped(fn, iterables, seed, place.engine, is_coroutine_function(fn))
        wanted = wishes.wishes(errors, ordered, progress, checkpoint)
        return cluster.start(place, fn, iterables, wanted, (workers, chunksize, buffersize), limits)
    assert isinstance(backend, str)
    is_coroutine = backend == "asyncio" or is_coroutine_function(fn)
    if is_coroutine and backend not in ("asyncio", "auto", "processes"):
        refuse_coroutines(fn, backend)
    fn, iterables, backend = _seed.mapped(fn, iterables, seed, backend, is_coroutine)
    if not is_coroutine:
        refuse_concurrency(concurrency)
        refuse_async_inputs(iterables, backend)
    if not (ordered is True and errors == "raise" and not progress and checkpoint is None):
        from plait._long import start as long
        from plait._long import wishes

        wanted = wishes.wishes(errors, ordered, progress, checkpoint)
        if wanted.any and backend == "interpreters":
            named = "ordered=False, errors, progress and checkpoint"
            raise ValueError(f"{named} are not there on backend 'interpreters': use 'processes'")
        if wanted.any:
            counts = (workers, chunksize, buffersize)
            if is_coroutine and backend == "processes":
                from plait._asyncio.start import start_long_on_processes

                return start_long_on_processes(
                    fn, iterables, wanted, workers, chunksize, concurrency, buffersize, limits
                )
            if is_coroutine:
                from plait._asyncio.start import check_long

                check_long(fn, iterables, workers)
                backend, counts = "asyncio", (concurrency, None, buffersize)
            return long.start(fn, iterables, wanted, backend, counts, limits, pool_of, is_warm)
    if is_coroutine:
        from plait._asyncio import start

        if backend == "processes":
            return start.start_on_processes(
                fn, iterables, workers, chunksize, concurrency, buffersize, limits
            )
        return start.start(fn, iterables, workers, concurrency, buffersize, limits)
    if backend == "auto":
        from plait._auto import deciding, run

        limited = timeout is not None or retries
        # A call in an interpreter cannot be stopped, and no further try follows a crash.
        backends = ("threads", "processes") if limited else deciding.ANYWHERE
        bounds = deciding.Bounds(workers, chunksize, backends)
        return run.start(fn, iterables, bounds, buffersize, limits, process_pool, is_warm)
    if backend == "serial":
        if timeout is not None or retries:
            from plait._serial import SerialExecutor

            executor = SerialExecutor(timeout=timeout, retries=retries)
            return submit_ahead(executor.submit, fn, zip(*iterables), buffersize or 1, None)
        star = len(iterables) > 1
        return _core.SerialMap(fn, zip(*iterables) if star else iter(iterables[0]), star)
    if backend == "interpreters":
        from plait._interpreters import start as interpreters

        return interpreters.start(fn, iterables, workers, chunksize, buffersize, limits)
    if backend == "threads":
        pool = pool_of("threads", workers or min(32, _core.cpu_count() + 4))
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

    pool = pool_of("processes", workers or default_workers())
    return start_map(
        pool, fn, iterables, pool._max_workers, chunksize, buffersize or 0, None, timeout, retries
    )


def check_counts(**numbers: int | None) -> None:
    """Raise a ValueError for what is no number of workers or items."""
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < 1):
            raise ValueError(f"{name} must be an integer of at least 1, not {number!r}")
