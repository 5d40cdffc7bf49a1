"""Beginning a map that wants more than results: see `plait.map`."""

from collections.abc import Callable, Iterable
from operator import length_hint
from typing import Any

from plait import _core, _native_threads, _own
from plait._ahead import held
from plait._long.iterator import LongMap, iterate
from plait._long.lanes import CoroutineLanes, Lanes, OwnLanes, ProcessLanes, SerialLanes, ThreadLanes
from plait._long.run import Run
from plait._long.serial import SerialRun
from plait._long.source import Source
from plait._long.wishes import Wishes

Limits = tuple[float | None, int]


def start(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    wishes: Wishes,
    backend: str,
    counts: tuple[int | None, int | None, int | None],
    limits: Limits,
    pools: Callable[[str, int], Any],
    is_warm: Callable[[], bool],
) -> LongMap:
    """Start the calls; `counts`: workers or coroutines, chunksize, buffersize; `pools`: what maps keep.

    Raises:
        plait.CheckpointError: the checkpoint cannot be used.
        ValueError: the backend cannot hold calls to these limits.

    """
    workers, chunksize, buffersize = counts
    decide: Callable[[Run], Lanes]
    if backend == "serial":
        call = _serial_call(fn, limits)
        if wishes.checkpoint is None:
            return iterate(SerialRun(call, iterables, wishes))
        decide = lambda run: SerialLanes(call, run.goes_on, run.arrived)  # noqa: E731
    elif backend == "threads":
        most = min(length_hint(it, 1 << 20) for it in iterables)
        decide = lambda run: _threads(run, fn, workers, most, limits, pools)  # noqa: E731
    elif backend == "asyncio":
        decide = lambda run: _coroutines(run, fn, workers, limits)  # noqa: E731
    elif backend == "processes":
        decide = lambda run: _processes(run, fn, workers, chunksize, limits, pools)  # noqa: E731
    else:
        from plait._auto.deciding import Bounds
        from plait._long.deciding import Decider

        backends = ("threads", "processes") if limits != (None, 0) else ("serial", "threads", "processes")
        bounds = Bounds(workers, chunksize, backends)
        decide = Decider(fn, bounds, limits, lambda number: pools("processes", number), is_warm)
    return begin(fn, iterables, wishes, decide, buffersize, is_lazy=backend == "serial")


def begin(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    wishes: Wishes,
    decide: Callable[[Run], Lanes],
    buffersize: int | None,
    *,
    is_lazy: bool = False,
    bare: bool = False,
) -> LongMap:
    """Start the calls on the lanes that `decide` gives; see `start`, and for `bare` `Source`."""
    ledger = None
    if wishes.checkpoint is not None:
        from plait._long.identity import identity
        from plait._long.ledger import Ledger

        ledger = Ledger(wishes.checkpoint, identity(fn))
    try:
        source = Source(iterables, ledger, bare)
        run = Run(source, wishes, ledger, held(decide), buffersize, is_lazy=is_lazy)
    except BaseException:
        if ledger is not None:
            ledger.drop()
        raise
    return iterate(run)


def _serial_call(fn: Callable[..., Any], limits: Limits) -> Callable[..., Any]:
    if limits == (None, 0):
        return fn
    from plait._serial import SerialExecutor

    submit = SerialExecutor(timeout=limits[0], retries=limits[1]).submit
    return lambda *args: submit(fn, *args).result()


def _threads(
    run: Run,
    fn: Callable[..., Any],
    workers: int | None,
    items: int,
    limits: Limits,
    pools: Callable[[str, int], Any],
) -> Lanes:
    pool = pools("threads", workers or min(32, _core.cpu_count() + 4))
    most = pool._max_workers
    view = pool if limits == (None, 0) else pool.options(timeout=limits[0], retries=limits[1])
    held = _native_threads.limit(max(1, min(most, items)))
    return ThreadLanes(view.submit, held.wrap(fn), lambda: most, run.arrived, lambda idle: held.close())


def _coroutines(run: Run, fn: Callable[..., Any], concurrency: int | None, limits: Limits) -> Lanes:
    from plait._asyncio.executor import AsyncioExecutor

    return CoroutineLanes(AsyncioExecutor(concurrency, timeout=limits[0], retries=limits[1]), fn, run.arrived)


def _processes(
    run: Run,
    fn: Callable[..., Any],
    workers: int | None,
    chunksize: int | None,
    limits: Limits,
    pools: Callable[[str, int], Any],
) -> Lanes:
    own = _own.current() if workers is None else None
    if own is not None:
        # In a worker: no process is started for it, however deep maps are nested.
        return OwnLanes(own, fn, chunksize, run.goes_on, limits, run.arrived)
    from plait._process import default_workers

    pool = pools("processes", workers or default_workers())
    return ProcessLanes(pool, fn, chunksize, run.goes_on, limits, run.arrived)
