"""Maps of coroutine functions, as `plait.map` starts them: the backends "asyncio" and "processes"."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from operator import length_hint
from typing import TYPE_CHECKING, Any

from plait._ahead import held
from plait._asyncio.group import Limits
from plait._asyncio.kind import (
    is_async,
    is_coroutine_function,
    refuse_async_inputs,
    refuse_plain,
)

if TYPE_CHECKING:
    from plait._asyncio.stream import How
    from plait._long.wishes import Wishes

_NO_WORKERS = (
    "workers counts threads and processes, of which backend 'asyncio' has none; "
    "concurrency says how many coroutines there may be at a time"
)


def check_long(fn: Callable[..., Any], iterables: tuple[Iterable[Any], ...], workers: int | None) -> None:
    """Raise what says why errors=, ordered=, progress= and checkpoint= cannot be had here, if so."""
    check(fn, workers)
    refuse_async_long(iterables)


def refuse_async_long(iterables: tuple[Iterable[Any], ...]) -> None:
    """Raise what says that inputs are read by a plain loop, if one of them cannot be."""
    if any(map(is_async, iterables)):
        raise TypeError(
            "plait.map has errors=, ordered=, progress= and checkpoint= for inputs that are read by a plain "
            "for loop; take plait.amap, which has them for asynchronous ones, too"
        )


def start(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    workers: int | None,
    concurrency: int | None,
    buffersize: int | None,
    limits: Limits,
) -> Iterator[Any]:
    """Start a map on a loop of plait's own.

    Raises:
        TypeError: a plain function, or an input that is not iterable.
        ValueError: a number of workers.

    """
    check(fn, workers)
    from plait._asyncio.home import home
    from plait._asyncio.results import Results

    is_asynchronous = any(is_async(iterable) for iterable in iterables)
    return Results(home(), fn, iterables, concurrency, buffersize, limits, is_asynchronous)


def check(fn: Callable[..., Any], workers: int | None) -> None:
    """Raise what is wrong with a map on the backend "asyncio"."""
    refuse_plain(fn)
    if workers is not None:
        raise ValueError(_NO_WORKERS)


def start_on_processes(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    workers: int | None,
    chunksize: int | None,
    concurrency: int | None,
    buffersize: int | None,
    limits: Limits,
) -> Iterator[Any]:
    """Start a map whose coroutines run on event loops of worker processes.

    Raises:
        TypeError: an input that is asynchronous, or not iterable.

    """
    refuse_async_inputs(iterables, "processes")
    from plait._asyncio.chunks import ChunkResults, cut

    calls = zip(*iterables)
    pool = processes(workers)
    call, size, ahead = plan(fn, iterables, pool, chunksize, concurrency, buffersize, limits)
    # A worker's death is what the pool tries again; all else the worker's own loop does.
    return ChunkResults(submit_of(pool, (None, limits[1])), call, cut(calls, size), ahead)


def start_long_on_processes(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    wishes: "Wishes",
    workers: int | None,
    chunksize: int | None,
    concurrency: int | None,
    buffersize: int | None,
    limits: Limits,
) -> Iterator[Any]:
    """Start the same with errors, an order, progress or a checkpoint of its own.

    Raises:
        TypeError: an input that is asynchronous, or not iterable.
        plait.CheckpointError: the checkpoint cannot be used.

    """
    refuse_async_long(iterables)
    from plait import _own
    from plait._asyncio.lanes import ChunkLanes, OwnChunkLanes
    from plait._long import start as long

    pool = processes(workers)
    lanes = OwnChunkLanes if workers is None and _own.current() is not None else ChunkLanes
    call, size, ahead = plan(fn, iterables, pool, chunksize, concurrency, buffersize, limits)
    submit = submit_of(pool, (None, limits[1]))
    most = pool._max_workers
    return long.begin(
        fn, iterables, wishes, lambda run: lanes(submit, fn, call, most, size, ahead, run.arrived), buffersize
    )


def maker(fn: Callable[..., Any], concurrency: int | None) -> Any:
    """Give what makes the group of a map of coroutines in a running loop."""
    from plait._asyncio.group import Group, Width

    return lambda loop, tell: Group(loop, fn, Width(concurrency), tell)


def stream_on_processes(
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    calls: Any,
    workers: int | None,
    chunksize: int | None,
    concurrency: int | None,
    buffersize: int | None,
    limits: Limits,
) -> AsyncGenerator[Any, None]:
    """Start a map on processes for a running loop; `calls` are the zipped `iterables`."""
    how, ahead = on_processes(fn, iterables, workers, chunksize, concurrency, buffersize, limits)
    return streamed(how, ahead, calls, buffersize)


def streamed(how: "How", ahead: int, calls: Any, buffersize: int | None) -> AsyncGenerator[Any, None]:
    """Start a map whose calls are made so, for a running loop."""
    from plait._asyncio.chunks import cut, cut_async
    from plait._asyncio.stream import stream

    if how.unpack is not None:
        calls = cut_async(calls, how.size) if isinstance(calls, AsyncIterator) else cut(calls, how.size)
        buffersize = ahead
    return stream(how.make, calls, how.limits, buffersize, how.unpack)


def on_processes(
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    workers: int | None,
    chunksize: int | None,
    concurrency: int | None,
    buffersize: int | None,
    limits: Limits,
    goes_on: bool = False,
) -> "tuple[How, int]":
    """How calls are made on worker processes for a running loop, and how many go ahead; see `on_pool`."""
    pool = processes(workers)
    if not is_coroutine_function(fn):
        return on_pool(pool, fn, chunksize, buffersize, limits, goes_on)
    from plait._asyncio.chunks import arrived

    call, size, ahead = plan(fn, iterables, pool, chunksize, concurrency, buffersize, limits)
    return _how(pool, fn, call, ahead, (None, limits[1]), size, arrived), ahead


def on_pool(
    pool: Any,
    fn: Callable[..., Any],
    chunksize: int | None,
    buffersize: int | None,
    limits: Limits,
    goes_on: bool,
) -> "tuple[How, int]":
    """How calls of a plain function are made on a pool for a running loop, and how many go ahead.

    `goes_on`: a call that raises does not keep the others of its chunk from being made.
    """
    from plait._asyncio.chunks import PlainChunk, arrived
    from plait._asyncio.futures import ahead_of

    size, ahead = chunksize or 1, ahead_of(pool)
    if limits != (None, 0) or size == 1:
        # Calls with limits go one by one.
        return _how(pool, fn, fn, ahead, limits, 1, None), ahead
    ahead = max(1, buffersize // size) if buffersize is not None else ahead
    return _how(pool, fn, PlainChunk(fn, goes_on), ahead, limits, size, arrived), ahead


def _how(
    pool: Any,
    fn: Callable[..., Any],
    call: Callable[..., Any],
    ahead: int,
    limits: Limits,
    size: int,
    unpack: Any,
) -> "How":
    from plait._asyncio.futures import Futures
    from plait._asyncio.stream import How

    submit = submit_of(pool, limits)
    make = lambda loop, tell: Futures(loop, submit, call, ahead, None, tell)  # noqa: E731
    return How(make, limits, size, unpack, pool._max_workers, fn)


def plan(
    fn: Callable[..., Any],
    iterables: tuple[Any, ...],
    pool: Any,
    chunksize: int | None,
    concurrency: int | None,
    buffersize: int | None,
    limits: Limits,
) -> tuple[Any, int, int]:
    """What workers are to call, with how many calls at a time, and how many of those go ahead."""
    from plait._asyncio.chunks import Chunk, sizes

    hints = [length_hint(it, -1) for it in iterables]
    left = min((hint for hint in hints if hint >= 0), default=None)
    size, ahead = sizes(pool._max_workers, left, chunksize, concurrency, buffersize)
    return Chunk(fn, concurrency, limits), size, ahead


def processes(workers: int | None) -> Any:
    """The worker processes that `map` keeps; within one of them, the pool that it belongs to."""
    from plait import _own
    from plait._kept import process_pool

    own = _own.current() if workers is None else None
    return process_pool(workers) if own is None else own


def submit_of(pool: Any, limits: Limits) -> Callable[..., Any]:
    """How calls are submitted to `pool`: with these limits whatever its own are, in the context of now."""
    timeout, retries = limits

    def submit(call: Callable[..., Any], *args: Any) -> Any:
        return pool._submit_with(timeout, retries, call, args, {})

    return held(submit)
