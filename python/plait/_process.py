"""The process pool."""

import concurrent.futures
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from plait import _core, _depth, _exit

T = TypeVar("T")

# Worker ids are a byte in the claim ring, some of them spare.
MAX_WORKERS = 192

# Pools in workers of pools in workers …: each level multiplies the processes, so a program that needs more is
# mistaken.
MAX_DEPTH = 5

_launch_lock = threading.Lock()
_launches: dict[tuple[str, ...], tuple[str, list[str], list[tuple[str, str]]]] = {}


class ProcessPoolExecutor(_core.ProcessEngine, concurrent.futures.Executor):
    """Run calls in worker processes. A drop-in for `concurrent.futures.ProcessPoolExecutor`.

    Workers are forked from a clean helper process in about a millisecond, never import or re-run the main
    script, and take lambdas, closures and functions typed into a notebook. A worker that dies fails only the
    call it ran, with `plait.WorkerDied`; the pool heals.

    Args:
        max_workers: The most worker processes; by default `plait.cpu_count()`, in a worker its share of that.
            They start as work comes in.
        mp_context: Accepted so that calls written for the stdlib work; plait has one way to start workers.
        initializer: Called in each worker as it starts. If it raises, the pool is broken.
        initargs: Its arguments.
        max_tasks_per_child: Calls after which a worker is replaced; by default never.
        preload: Names of modules to import once, in the helper process, so that every worker has them from
            the start. A module that starts threads cannot be preloaded; then a warning says so, and workers
            import it themselves.

    Raises:
        ValueError: `max_workers` is below 1 or above 192, or `max_tasks_per_child` is below 1.
        RuntimeError: pools are nested more than five deep.
        TypeError: `initializer` cannot be called, or `max_tasks_per_child` is no integer.

    """

    __module__ = "plait"

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        preload: Iterable[str] = (),
    ) -> None:
        """See the class."""
        if _depth.depth >= MAX_DEPTH:
            raise RuntimeError(
                f"process pools are nested {_depth.depth} deep; use threads or a plain loop inside workers"
            )
        if max_workers is None:
            max_workers = default_workers()
        elif max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        elif max_workers > MAX_WORKERS:
            raise ValueError(f"max_workers must be at most {MAX_WORKERS}")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        if max_tasks_per_child is not None:
            if not isinstance(max_tasks_per_child, int):
                raise TypeError("max_tasks_per_child must be an integer")
            if max_tasks_per_child <= 0:
                raise ValueError("max_tasks_per_child must be >= 1")
        self._max_workers = max_workers
        _exit.at_exit(self)
        setup = _setup(max_workers, initializer, initargs)
        self._open(max_workers, max_tasks_per_child, setup, _launch(tuple(preload)))

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
            chunksize: Items sent to a worker together.
            buffersize: The most items read ahead of the results that were taken.

        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        check_buffersize(buffersize)
        return start_map(self, fn, iterables, self._max_workers, chunksize, buffersize, timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish the pending ones, or cancel those not begun with `cancel_futures`.

        With `wait`, return when every worker has ended.
        """
        self._shutdown(cancel_futures)
        if wait:
            self._join()

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Shut down; after Ctrl-C at once, whatever the workers are doing."""
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            self._abort()
        self.shutdown(wait=True)

    def _abort(self) -> None:
        """Give up: cancel what was not begun, kill the workers."""
        self._shutdown(True)
        self._kill()

    async def __aenter__(self) -> "ProcessPoolExecutor":
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut down without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.shutdown)


def default_workers() -> int:
    """As many as this process may use processors; in a worker, its share of them."""
    return max(1, min(_core.cpu_count() // _depth.siblings, MAX_WORKERS))


def check_buffersize(buffersize: int | None) -> None:
    """Raise what the stdlib raises for a bad `buffersize`."""
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def start_map(
    engine: _core.ProcessEngine,
    fn: Callable[..., T],
    iterables: tuple[Iterable[Any], ...],
    workers: int,
    chunksize: int | None,
    ahead: int | None,
    timeout: float | None = None,
) -> Iterator[T]:
    """Start a map on a process pool. `ahead`: items read ahead; 0: as their duration suggests; None: all."""
    left: int | None = None
    try:
        left = min(len(it) for it in iterables)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    star = len(iterables) != 1
    source = zip(*iterables) if star else iter(iterables[0])
    return _core.process_map(engine, fn, source, star, workers, left, chunksize, ahead, timeout)


def _setup(max_workers: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> bytes:
    """What each worker is told at its start; see `plait._worker`."""
    import pickle

    try:
        cwd = os.getcwd()
    except OSError:
        cwd = None
    first = None
    if initializer is not None:
        _, first = _core.codec.encode_direct(initializer, tuple(initargs))
    told = {
        "path": list(sys.path),
        "argv": list(sys.argv),
        "cwd": cwd,
        "environ": dict(os.environ),
        "threads": max(1, _core.cpu_count() // max_workers),
        "initializer": first,
        "depth": _depth.depth + 1,
        "siblings": _depth.siblings * max_workers,
    }
    return pickle.dumps(told, protocol=5)


def _launch(preload: tuple[str, ...]) -> tuple[str, list[str], list[tuple[str, str]]]:
    """How the nursery is started: the same for all pools of a program that preload the same."""
    with _launch_lock:
        if preload not in _launches:
            from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

            if not sys.executable:
                raise RuntimeError("the interpreter does not know its own path (sys.executable is empty)")
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; from plait._nursery import main; main({preload!r})"
            )
            _launches[preload] = (sys.executable, [*_args_from_interpreter_flags(), "-c", code], [])
        return _launches[preload]
