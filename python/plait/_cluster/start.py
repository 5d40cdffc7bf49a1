"""Beginning maps on a cluster."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

from plait._asyncio.kind import is_coroutine_function, refuse_async_inputs, refuse_coroutines
from plait._cluster.executor import ClusterExecutor, refuse_seeded_timeout
from plait._cluster.kept import executor_of
from plait._cluster.lanes import ClusterLanes
from plait._cluster.place import Place
from plait._long import start as long
from plait._long.iterator import LongMap
from plait._long.run import Run
from plait._long.wishes import Wishes

Limits = tuple[float | None, int]


def start(
    place: Place,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    wishes: Wishes,
    counts: tuple[int | None, int | None, int | None],
    limits: Limits,
) -> LongMap:
    """Start the calls; `counts`: workers, chunksize, buffersize; see `plait.map`."""
    if is_coroutine_function(fn):
        refuse_coroutines(fn, place.engine)
    refuse_async_inputs(iterables, place.engine)
    is_seeded = _is_seeded(fn, limits)
    workers, chunksize, buffersize = counts
    executor = executor_of(place, workers)
    if is_seeded:
        executor.refuse_seeds_on_threads()
    return start_on(executor, fn, iterables, wishes, (chunksize, buffersize), limits)


def start_on(
    executor: ClusterExecutor,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    wishes: Wishes,
    counts: tuple[int | None, int | None],
    limits: Limits,
) -> LongMap:
    """Start the calls on this executor; `counts`: chunksize, buffersize."""
    chunksize, buffersize = counts

    def decide(run: Run) -> ClusterLanes:
        return ClusterLanes(
            executor, fn, chunksize, run.goes_on, limits, run.arrived, lambda: run.source.left
        )

    return long.begin(fn, iterables, wishes, decide, buffersize, bare=True)


def _is_seeded(fn: Callable[..., Any], limits: Limits) -> bool:
    if not getattr(fn, "plait_numbered", False):
        return False
    refuse_seeded_timeout(limits[0])
    return True


def stream(
    place: Place,
    fn: Callable[..., Any],
    calls: Any,
    iterables: tuple[Any, ...],
    wishes: Wishes | None,
    counts: tuple[int | None, int | None, int | None],
    limits: Limits,
) -> AsyncGenerator[Any, None]:
    """Start a map for a running loop; `counts`: workers, chunksize, buffersize; see `plait.amap`.

    Raises:
        TypeError: a coroutine function.
        ValueError: a seed with a timeout.

    """
    if is_coroutine_function(fn):
        refuse_coroutines(fn, place.engine)
    _is_seeded(fn, limits)
    return _stream(place, fn, calls, iterables, wishes, counts, limits)


async def _stream(
    place: Place,
    fn: Callable[..., Any],
    calls: Any,
    iterables: tuple[Any, ...],
    wishes: Wishes | None,
    counts: tuple[int | None, int | None, int | None],
    limits: Limits,
) -> AsyncGenerator[Any, None]:
    from plait import _exit
    from plait._asyncio.start import on_pool, streamed

    workers, chunksize, buffersize = counts
    pools: list[Any] = []
    # It takes up to some seconds, which the loop has better uses for.
    await _exit.apart(lambda: pools.append(executor_of(place, workers)))
    goes_on = wishes is not None and wishes.errors != "raise"
    if _is_seeded(fn, limits):
        pools[0].refuse_seeds_on_threads()
    how, ahead = on_pool(pools[0], fn, chunksize, buffersize, limits, goes_on)
    if wishes is None:
        begun = streamed(how, ahead, calls, buffersize)
    else:
        from plait._long import awaited

        begun = awaited.stream(fn, how, calls, iterables, wishes, buffersize)
    async with aclosing(begun) as results:
        async for result in results:
            yield result
