"""`plait.amap`: the map of an event loop."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

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
    from plait._map import Awaited, Input


@overload
def amap(
    fn: Callable[[A], Coroutine[Any, Any, T]], it: "Input[A]", /, **how: "Unpack[Awaited]"
) -> AsyncGenerator[T, None]: ...


@overload
def amap(fn: Callable[[A], T], it: "Input[A]", /, **how: "Unpack[Awaited]") -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[[A, B], Coroutine[Any, Any, T]], a: "Input[A]", b: "Input[B]", /, **how: "Unpack[Awaited]"
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[[A, B], T], a: "Input[A]", b: "Input[B]", /, **how: "Unpack[Awaited]"
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[..., Coroutine[Any, Any, T]],
    a: "Input[Any]",
    b: "Input[Any]",
    c: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    **how: "Unpack[Awaited]",
) -> AsyncGenerator[T, None]: ...


@overload
def amap(
    fn: Callable[..., T],
    a: "Input[Any]",
    b: "Input[Any]",
    c: "Input[Any]",
    /,
    *iterables: "Input[Any]",
    **how: "Unpack[Awaited]",
) -> AsyncGenerator[T, None]: ...


def amap(
    fn: Callable[..., Any],
    *iterables: Any,
    backend: str = "auto",
    workers: int | None = None,
    chunksize: int | None = None,
    buffersize: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    concurrency: int | None = None,
    capture_output: bool = False,
) -> AsyncGenerator[Any, None]:
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
            one; "asyncio", "processes", "threads" or "serial", which blocks the loop.
        workers: How many threads or processes, as for `plait.map`.
        chunksize: Calls sent to a worker process together; 1 by default for plain functions.
        buffersize: The most items read ahead of the results that were taken.
        timeout: Seconds that each call may take from its start, as for `plait.map`.
        retries: Extra tries of a call, as for `plait.map`.
        concurrency: The most coroutines at a time, on processes in each worker; by default found by climbing.
            Coroutine functions only.
        capture_output: Keep what each call prints, as `stdout` and `stderr` of the iterator: see `plait.map`.

    Raises:
        ValueError: no such backend, a number below 1, or a limit that makes no sense.
        TypeError: a function that does not go with the backend, or an input that is not iterable.
        Exception: by the iterator: what `fn` or an input raised, where its result would have come.

    """
    check_backend(backend)
    check_counts(workers=workers, chunksize=chunksize, buffersize=buffersize, concurrency=concurrency)
    check_limits(timeout, retries)
    if not iterables:
        raise TypeError("amap needs at least one iterable")
    if capture_output:
        from plait import _captured

        given: dict[str, Any] = {"workers": workers, "chunksize": chunksize, "buffersize": buffersize}
        given |= {"timeout": timeout, "retries": retries, "concurrency": concurrency, "backend": backend}
        _captured.check_map(capture_output, is_coroutine_function(fn), **given)
        results: Any = _captured.AsyncResults(amap(_captured.wrapped(fn), *iterables, **given))
        return results  # type: ignore[no-any-return]
    limits = (timeout, retries)
    from plait._asyncio.inputs import zipped

    asynchronous = any(is_async(iterable) for iterable in iterables)
    calls: Any = zipped(iterables) if asynchronous else zip(*iterables)
    if backend == "asyncio":
        refuse_plain(fn)
    elif not is_coroutine_function(fn):
        refuse_concurrency(concurrency)
    elif backend in ("threads", "serial"):
        refuse_coroutines(fn, backend)
    from plait._asyncio import start, stream

    if backend == "processes":
        return start.stream_on_processes(
            fn, iterables, calls, workers, chunksize, concurrency, buffersize, limits
        )
    if is_coroutine_function(fn):
        start.check(fn, workers)
        return stream.stream(start.maker(fn, concurrency), calls, limits, buffersize, None)
    from plait._asyncio import futures

    if backend == "serial" and timeout is not None:
        raise ValueError("timeout: the serial backend cannot stop a call; use processes")
    return stream.stream(futures.maker(fn, backend, workers, limits), calls, limits, buffersize, None)
