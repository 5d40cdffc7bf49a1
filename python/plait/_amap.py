"""`plait.amap`: the map of an event loop."""

import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from plait import _seed
from plait._asyncio.kind import (
    is_async,
    is_coroutine_function,
    refuse_concurrency,
    refuse_coroutines,
    refuse_plain,
)
from plait._executor import check_backend
from plait._map import check_counts
from plait._options import check_limits

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

if TYPE_CHECKING:
    from plait._cluster.place import Backend
    from plait._long import Progress
    from plait._map import AsyncPrinting, Captured, Input, Options, Returning


@overload
def amap(
    fn: Callable[..., Coroutine[Any, Any, T]],
    it: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    capture_output: Literal[True],
    **how: "Unpack[Captured]",
) -> "AsyncPrinting[T]": ...


@overload
def amap(
    fn: Callable[..., T],
    it: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    capture_output: Literal[True],
    **how: "Unpack[Captured]",
) -> "AsyncPrinting[T]": ...


@overload
def amap(
    fn: Callable[[A], Coroutine[Any, Any, T]], it: "Input[A]", /, **how: "Unpack[Options]"
) -> AsyncGenerator[T, None]: ...


@overload
def amap(fn: Callable[[A], T], it: "Input[A]", /, **how: "Unpack[Options]") -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[[A, B], Coroutine[Any, Any, T]], a: "Input[A]", b: "Input[B]", /, **how: "Unpack[Options]"
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[[A, B], T], a: "Input[A]", b: "Input[B]", /, **how: "Unpack[Options]"
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[..., Coroutine[Any, Any, T]],
    a: "Input[Any]",
    b: "Input[Any]",
    c: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    **how: "Unpack[Options]",
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[..., T],
    a: "Input[Any]",
    b: "Input[Any]",
    c: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    **how: "Unpack[Options]",
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[[A], Coroutine[Any, Any, T]],
    it: "Input[A]",
    /,
    *,
    errors: Literal["return"],
    **how: "Unpack[Returning]",
) -> AsyncGenerator[T | Exception, None]: ...


@overload
def amap(
    fn: Callable[[A], T], it: "Input[A]", /, *, errors: Literal["return"], **how: "Unpack[Returning]"
) -> AsyncGenerator[T | Exception, None]: ...


@overload
def amap(
    fn: Callable[..., Coroutine[Any, Any, T]],
    a: "Input[Any]",
    b: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    errors: Literal["return"],
    **how: "Unpack[Returning]",
) -> AsyncGenerator[T | Exception, None]: ...


@overload
def amap(
    fn: Callable[..., T],
    a: "Input[Any]",
    b: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    errors: Literal["return"],
    **how: "Unpack[Returning]",
) -> AsyncGenerator[T | Exception, None]: ...


def amap(
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
) -> Any:
    """Return an asynchronous iterator over the results of `fn`, in order, for use in an event loop.

        async for page in plait.amap(fetch, urls):
            ...

    A coroutine function runs in the caller's own loop; a plain one on threads or worker processes, and is
    waited for without blocking the loop and without its default executor. The calls start with the first
    `anext`. Inputs may be asynchronous, and are read a little ahead; the plain ones are read in the loop.

    When the iteration ends early, all that was begun is cancelled and awaited: when the consumer's task is
    cancelled or an exception is raised before that goes on, by `aclose()` before it returns, and after a mere
    `break` by the loop, soon; `contextlib.aclosing` settles it for a block. An asynchronous generator that is
    an input is closed as well.

    Args:
        fn: A coroutine function, or a plain one.
        iterables: Its arguments, item by item, plain or asynchronous; the shortest ends it.
        backend: "auto" (the default), which is "asyncio" for a coroutine function and is measured for a plain
            one; "asyncio", "processes", "threads" or "serial", which blocks the loop; or a cluster, as for
            `plait.map`.
        workers: How many threads or processes, as for `plait.map`.
        chunksize: Calls sent to a worker process together; 1 by default for plain functions.
        buffersize: The most items read ahead of the results that were taken.
        timeout: Seconds that each call may take from its start, as for `plait.map`.
        retries: Extra tries of a call, as for `plait.map`.
        concurrency: The most coroutines at a time, on processes in each worker; by default found by climbing.
            Coroutine functions only.
        ordered: As for `plait.map`.
        errors: As for `plait.map`.
        progress: As for `plait.map`; a callable is called in the loop.
        checkpoint: As for `plait.map`; the file is written in the loop's thread.
        seed: An integer that makes the random numbers of calls the same in each run, as for `plait.map`.
            Plain functions only.
        capture_output: Keep what each call prints, as `stdout` and `stderr` of the iterator: see `plait.map`.

    Raises:
        plait.CheckpointError: by the iterator: the file is of another function, of other items or in use, or
            cannot be written.
        ValueError: no such backend, a number below 1, or a limit that makes no sense.
        TypeError: a function that does not go with the backend, or an input that is not iterable.
        Exception: by the iterator: what `fn` or an input raised, where its result would have come.

    """
    place = check_backend(backend)
    if backend == "interpreters":
        raise ValueError("amap does not have backend 'interpreters': use 'processes', or plait.map")
    check_counts(workers=workers, chunksize=chunksize, buffersize=buffersize, concurrency=concurrency)
    check_limits(timeout, retries)
    if not callable(fn):
        raise TypeError(
            f"amap needs a function, not {type(fn).__name__}: plait.amap(fn, items), without calling fn"
        )
    if not iterables:
        raise TypeError("amap needs at least one iterable")
    if capture_output:
        from plait import _captured

        given: dict[str, Any] = {"workers": workers, "chunksize": chunksize, "buffersize": buffersize}
        given |= {"timeout": timeout, "retries": retries, "concurrency": concurrency, "backend": backend}
        given |= {"ordered": ordered, "errors": errors, "progress": progress, "checkpoint": checkpoint}
        _captured.check_map(capture_output, is_coroutine_function(fn), **given)
        results: Any = _captured.AsyncResults(amap(_captured.wrapped(fn), *iterables, **given, seed=seed))
        return results
    limits = (timeout, retries)
    wanted = None
    if not (ordered is True and errors == "raise" and not progress and checkpoint is None):
        from plait._long import wishes

        wanted = wishes.wishes(errors, ordered, progress, checkpoint)
    is_coroutine = is_coroutine_function(fn)
    if place is None:
        assert isinstance(backend, str)
        fn, iterables, backend = _seed.mapped(fn, iterables, seed, backend, is_coroutine)
    else:
        fn, iterables, _ = _seed.mapped(fn, iterables, seed, place.engine, is_coroutine)
    from plait._asyncio.inputs import zipped

    asynchronous = any(is_async(iterable) for iterable in iterables)
    calls: Any = zipped(iterables) if asynchronous else zip(*iterables)
    if place is not None:
        from plait._cluster import start as cluster

        refuse_concurrency(concurrency)
        return cluster.stream(place, fn, calls, iterables, wanted, (workers, chunksize, buffersize), limits)
    assert isinstance(backend, str)
    if backend == "asyncio":
        refuse_plain(fn)
    elif not is_coroutine:
        refuse_concurrency(concurrency)
    elif backend in ("threads", "serial"):
        refuse_coroutines(fn, backend)
    if backend == "serial" and timeout is not None:
        raise ValueError("timeout: the serial backend cannot stop a call; use processes")
    from plait._asyncio import start, stream

    if backend == "processes":
        counts = (workers, chunksize, concurrency, buffersize)
        if wanted is None:
            return start.stream_on_processes(fn, iterables, calls, *counts, limits)
        how, _ = start.on_processes(fn, iterables, *counts, limits, goes_on=errors != "raise")
    elif is_coroutine:
        start.check(fn, workers)
        how = stream.How(start.maker(fn, concurrency), limits)
    else:
        from plait._asyncio import futures

        how = stream.How(futures.maker(fn, backend, workers, limits), limits)
    if wanted is None:
        return stream.stream(how.make, calls, limits, buffersize, None)
    from plait._ahead import held
    from plait._long import awaited

    # In the context of now, as all maps.
    how = how._replace(make=held(how.make))
    return awaited.stream(fn, how, calls, iterables, wanted, buffersize)
