"""The process pool."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from plait import (
    _breakpoint,
    _core,
    _depth,
    _exit,
    _inherit,
    _logs,
    _native_threads,
    _own,
    _pending,
    _seed,
    _warned,
)
from plait._attributes import ProcessAttributes
from plait._mapping import check_chunksize
from plait._options import PoolMixin, check_limits, parse_size

if TYPE_CHECKING:
    from plait._stats import Stats

T = TypeVar("T")

# Worker ids are a byte in the claim ring, some of them spare.
MAX_WORKERS = 192

# Pools in workers of pools in workers …: each level multiplies the processes, so a program that needs more is
# mistaken.
MAX_DEPTH = 5

# Seconds in which a call that is stopped can tidy up: so that its worker is free within a tenth of a second.
GRACE = 0.05

# Iterables that never raise.
_UNFAILING = frozenset([list, tuple, range, str, bytes, set, frozenset, dict])

# A program, its arguments, and variables of its environment.
Program = tuple[str, list[str], list[tuple[str, str]]]

_launch_lock = threading.Lock()
_launches: dict[tuple[str, ...], Program] = {}


class ProcessPoolExecutor(_core.ProcessEngine, ProcessAttributes, PoolMixin):
    """Run calls in worker processes. A drop-in for `concurrent.futures.ProcessPoolExecutor`.

    Workers are forked from a clean helper process in about a millisecond, never import or re-run the main
    script, and take lambdas, closures and functions typed into a notebook. A worker that dies fails only the
    call it ran, with `plait.WorkerDied`; the pool heals.

    Large data in arguments and results is copied once, and what lies in shared memory (`plait.zeros`,
    `plait.share`) not at all. While more of it is on its way than `PLAIT_MEMORY_BUDGET` allows, `submit`
    waits; where waiting would not help, it raises `MemoryError`.

    Args:
        max_workers: The most worker processes; by default `plait.cpu_count()` or the physical cores, if they
            are fewer, and in a worker its share of that. They start as work comes in.
        mp_context: Accepted so that calls written for the stdlib work; plait has one way to start workers.
        initializer: Called in each worker as it starts. If it raises, the pool is broken.
        initargs: Its arguments.
        max_tasks_per_child: Calls after which a worker is replaced; by default never.
        preload: Names of modules to import once, in the helper process, so that every worker has them from
            the start. A module that starts threads cannot be preloaded; then a warning says so, and workers
            import it themselves.
        timeout: Seconds that each call may take from its start. One that takes longer is stopped and fails
            with `plait.TaskTimeout`; the rest goes on.
        retries: Extra tries of a call after an exception, a timeout, or the death of its worker.
        memory_limit: The most private memory of a worker, in bytes or as "1.5GiB"; what lies in memory shared
            with others does not count. A worker over it is killed; its call fails with `plait.WorkerDied`.
        max_memory_growth: A worker whose private memory has grown by more than this since its first call is
            replaced, between two calls, when its replacement is ready. In bytes or as "300MB".
        grace: Seconds that a call which is stopped has, after the exception in its main thread, before its
            process is killed.
        max_pending: The most calls that are pending; `submit` waits until there are fewer. It never waits in
            a callback of a future, or in a call that the pool itself runs. By default there is no bound.
        seed: An integer that makes the random numbers of calls the same in each run: each draws from a stream
            of its own, by its number among the pool's calls, whichever worker it comes to. It is that of
            `random` and of NumPy's global functions.
        capture_output: Keep what each call prints with its future, as `future.stdout` and `future.stderr`;
            it does not appear then. See `plait.Executor`.

    Raises:
        ValueError: `max_workers` is below 1 or above 192, `max_tasks_per_child` is below 1, or a limit makes
            no sense.
        RuntimeError: pools are nested more than five deep.
        TypeError: `initializer` cannot be called, or `max_tasks_per_child` is no integer.

    """

    __module__ = "plait"

    _numbering: _seed.Numbering | None = None

    def __init__(
        self,
        max_workers: int | None = None,
        mp_context: object = None,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        max_tasks_per_child: int | None = None,
        preload: Iterable[str] = (),
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | str | None = None,
        max_memory_growth: int | str | None = None,
        grace: float = GRACE,
        max_pending: int | None = None,
        seed: int | None = None,
        capture_output: bool = False,
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
        check_limits(timeout, retries)
        memory = parse_size("memory_limit", memory_limit)
        growth = parse_size("max_memory_growth", max_memory_growth)
        if not 0 <= grace < 1e9:
            raise ValueError(f"grace must be 0 seconds or more, not {grace!r}")
        if seed is not None:
            _seed.check(seed, "processes")
            self._numbering = _seed.Numbering(self, seed)
        _pending.bound(self, max_pending)
        self._max_workers = max_workers
        self._max_tasks_per_child = max_tasks_per_child
        self._context = mp_context
        self._limits = (timeout, retries)
        _exit.at_exit(self)
        _breakpoint.share()
        self._id = _own.new_id()
        _own.register(self._id, self)
        pool = {"pool": self._id, "workers": max_workers, "limits": self._limits}
        pool["warnings"] = self._filters()
        self._initializer, self._initargs = initializer, initargs
        self._lent = _inherit.Lent()
        setup, given = _setup(pool, initializer, initargs, growth is not None, self._lent)
        origin = self._origin(tuple(preload))
        self._open(
            max_workers, max_tasks_per_child, setup, given, origin, timeout, retries, memory, growth, grace
        )
        if capture_output:
            self._capture(capture_output, "processes")

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        check_chunksize(chunksize)
        own = vars(self).get("submit")
        if self._numbering is not None:
            fn, iterables = self._numbering.map(fn, iterables)
            own = None if own == self._numbering.submit else own
        if own is not None or type(self).submit is not _core.ProcessEngine.submit:
            # Somebody's own `submit`, which as in the stdlib is to see all calls.
            from plait._ahead import submit_chunks

            return submit_chunks(self.submit, fn, zip(*iterables), chunksize, buffersize, timeout)
        failure: list[BaseException] = []
        if buffersize is None:
            # All is read before this returns: what fails is raised here, and not where its result would come.
            iterables = tuple(it if type(it) in _UNFAILING else _read(it, failure) for it in iterables)
        results = start_map(
            self, fn, iterables, self._max_workers, chunksize, buffersize, timeout, *self._limits
        )
        if failure:
            raise failure.pop()
        return results

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Arrive in one of its own workers as a handle on the pool, for tasks that submit further ones."""
        return _own.arrive, (self._id, False)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish the pending ones, or cancel those not begun with `cancel_futures`.

        With `wait`, return when every worker has ended.
        """
        self._shutdown(cancel_futures)
        if wait:
            self._join()

    def _tell_stats(self) -> "Stats":
        from plait._stats import of_processes

        return of_processes(self._figures())

    def _origin(self, preload: tuple[str, ...]) -> Program | int:
        """How the nursery is started that this pool's workers come from, or a socket to one that runs."""
        return _launch(preload)

    def _filters(self) -> tuple[Any, ...] | None:
        """By which filters its workers warn; None: by their own, and themselves."""
        return _warned.of_program()

    def terminate_workers(self) -> None:
        """Send all workers SIGTERM, cancel what was not begun, and take no more calls.

        The calls that run fail with `plait.WorkerDied`. As in Python 3.14.
        """
        self._give_up(politely=True)

    def kill_workers(self) -> None:
        """Kill all workers, cancel what was not begun, and take no more calls. As in Python 3.14."""
        self._give_up()

    def _abort(self) -> None:
        """Give up: cancel what was not begun, end the workers, wait a moment for that."""
        # Who has a handler for it can save something first, as coverage.py does if it is told to.
        self._give_up(politely=True)
        if not self._join(_exit.MOMENT / 2):
            self._give_up()
            self._join(_exit.MOMENT / 2)


def _read(items: Iterable[T], failure: list[BaseException]) -> Iterator[T]:
    """Iterate over `items`, and note what they raise."""
    try:
        yield from items
    except Exception as error:
        failure.append(error)
        raise


def _forget_lock() -> None:
    # Another thread of the parent's may have held it.
    global _launch_lock
    _launch_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)


def default_workers() -> int:
    """As many as there are cores, a quota and memory for, or `PLAIT_MAX_WORKERS`; in a worker, its share."""
    return max(1, min(_core.default_workers() // _depth.siblings, MAX_WORKERS))


def all_workers() -> int:
    """As many as this process may use processors; in a worker, its share of them."""
    return max(1, min(_core.cpu_count() // _depth.siblings, MAX_WORKERS))


def start_map(
    engine: _core.ProcessEngine,
    fn: Callable[..., T],
    iterables: tuple[Iterable[Any], ...],
    workers: int,
    chunksize: int | None,
    ahead: int | None,
    timeout: float | None = None,
    item_timeout: float | None = None,
    retries: int = 0,
) -> Iterator[T]:
    """Start a map on a process pool. `ahead`: items read ahead; 0: as their duration suggests; None: all."""
    left: int | None = None
    try:
        left = min(len(it) for it in iterables)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        pass
    star = len(iterables) != 1
    source = zip(*iterables) if star else iter(iterables[0])
    return _core.process_map(
        engine, fn, source, star, workers, left, chunksize, ahead, timeout, item_timeout, retries
    )


def _setup(
    pool: dict[str, Any],
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    watch_growth: bool,
    lent: _inherit.Lent,
) -> tuple[bytes, list[_core.Buffer]]:
    """What each worker is told at its start, see `plait._worker`; and the shared memory this speaks of."""
    import pickle

    max_workers = pool["workers"]

    try:
        cwd = os.getcwd()
    except OSError:
        cwd = None
    first = None
    buffers: list[Any] = []
    if initializer is not None:
        with lent:
            _, first = _core.codec.encode_direct(initializer, tuple(initargs), None, buffers)
    tables = [_core.shared_table(buffer) for buffer in buffers]
    # What is not seen by all goes as a copy.
    beside = [
        bytearray(buffer) if table is None else table for buffer, table in zip(buffers, tables, strict=True)
    ]
    told = {
        **pool,
        "path": list(sys.path),
        "argv": list(sys.argv),
        "cwd": cwd,
        "environ": _native_threads.without_own(),
        "threads": _native_threads.share(max_workers),
        "initializer": first,
        "beside": beside,
        "watch_growth": watch_growth,
        "depth": _depth.depth + 1,
        "siblings": _depth.siblings * max_workers,
        "logging": _logs.of_program(),
        "program": os.getpid(),
        "key": _inherit.program_key(),
        "locks": _core.lock_address(),
    }
    given = [buffer for buffer, table in zip(buffers, tables, strict=True) if table is not None]
    return pickle.dumps(told, protocol=5), given


def _launch(preload: tuple[str, ...]) -> Program:
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
