"""One executor for every backend."""

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypeVar, overload

from plait import _own, _seed
from plait._options import PoolMixin, check_limits

if TYPE_CHECKING:
    from plait._asyncio.executor import AsyncioExecutor
    from plait._auto.executor import AutoExecutor
    from plait._choice import Choice
    from plait._cluster.executor import ClusterExecutor
    from plait._cluster.place import Backend, Place
    from plait._future import Future
    from plait._process import ProcessPoolExecutor
    from plait._serial import SerialExecutor
    from plait._stats import Stats
    from plait._thread import ThreadPoolExecutor

    Inner: TypeAlias = (
        AutoExecutor
        | ProcessPoolExecutor
        | ThreadPoolExecutor
        | SerialExecutor
        | AsyncioExecutor
        | ClusterExecutor
    )

P = ParamSpec("P")
T = TypeVar("T")

BACKENDS = ("auto", "serial", "threads", "processes", "interpreters", "asyncio")


def check_backend(backend: object) -> "Place | None":
    """Give the cluster that `backend` names; None for one of `BACKENDS`.

    Raises:
        ValueError: it is neither, or an address that is none, or not on this Python; it says what there is.

    """
    if isinstance(backend, str) and backend in BACKENDS:
        if backend == "interpreters":
            from plait._interpreters import check_version

            check_version()
        return None
    from plait._cluster.place import ENGINES, place_of

    if (place := place_of(backend)) is not None:
        return place
    known = ", ".join(repr(name) for name in (*BACKENDS, *ENGINES))
    if backend == "ray-local":
        raise ValueError(
            "backend 'ray-local' would be Ray's local mode, which Ray has given up; 'serial' makes calls in "
            "this process, and 'ray' in processes of this machine"
        )
    raise ValueError(f"no backend {backend!r}; there are {known}")


class Executor(PoolMixin):
    """A `concurrent.futures.Executor` over the backend of your choice.

    Args:
        backend: "auto" (the default), "processes", "threads", "interpreters" (from Python 3.14 on), "serial"
            or "asyncio". With "auto" the first calls of each function run on a thread of this process while
            they are measured; then further calls of it go to threads or to worker processes, whichever
            promises to be faster. An option that only worker processes have decides for them. "asyncio" takes
            coroutine functions and runs them on an event loop in a thread of plait's own; cancelling a future
            cancels its coroutine. "dask" and "ray" start a cluster on this machine and close it;
            "dask://host:port", a `distributed.Client` or "ray://host:port" is one that is there.
        max_workers: The most workers; by default as measured, a process for each core, or as many threads as
            the stdlib starts. On "asyncio" the most coroutines at a time, by default found by climbing.
        initializer: Called in each worker as it starts; not on "asyncio", which has none, nor on a cluster.
        initargs: Its arguments.
        max_tasks_per_child: Calls after which a worker process is replaced; processes only.
        preload: Modules to import once for all worker processes; processes only.
        timeout: Seconds that each call may take from its start; one that takes longer fails with
            `plait.TaskTimeout`. On processes it is stopped. A thread cannot be stopped: there, and on a
            cluster, it is abandoned, and goes on unheard. A coroutine is cancelled. Not on "serial".
        retries: Extra tries of a call after an exception, a timeout, or the death of its worker.
        memory_limit: The most private memory of a worker process, in bytes or as "1.5GiB"; processes only.
        max_memory_growth: Growth of its private memory after which a worker process is replaced between two
            calls; processes only.
        grace: Seconds that a call which is stopped has before its process is killed; processes only.
        max_pending: The most calls that are pending; `submit` waits until there are fewer. It never waits in
            a callback of a future, or in a call that the pool itself runs. Threads and processes only.
        seed: An integer that makes the random numbers of calls the same in each run, however many workers
            there are: each call draws from a stream of its own. Processes, which "auto" means then, clusters
            and serial only.
        capture_output: Keep what each call prints with its future, as `future.stdout` and `future.stderr`,
            and as a note on what it raises; it does not appear then. What goes through Python's `sys.stdout`
            and `sys.stderr` counts, not what programs that the call starts write. Not on "auto".

    Raises:
        ValueError: no such backend, or an option that it does not have.
        ImportError, ConnectionError, plait.PlaitError: of a cluster: its package is missing, no scheduler
            answers, or the other end has other versions.

    """

    __module__ = "plait"

    def __init__(
        self,
        backend: "Backend" = "auto",
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        preload: Iterable[str] = (),
        timeout: float | None = None,
        retries: int = 0,
        memory_limit: int | str | None = None,
        max_memory_growth: int | str | None = None,
        grace: float | None = None,
        max_pending: int | None = None,
        seed: int | None = None,
        capture_output: bool = False,
    ) -> None:
        """See the class."""
        place = check_backend(backend)
        asked = repr(backend if place is None else str(place))
        check_limits(timeout, retries)
        options: dict[str, Any] = {
            "preload": tuple(preload) or None,
            "max_tasks_per_child": max_tasks_per_child,
            "memory_limit": memory_limit,
            "max_memory_growth": max_memory_growth,
            "grace": grace,
        }
        options = {name: value for name, value in options.items() if value is not None}
        if backend == "auto" and options:
            backend = "processes"
        if seed is not None and place is None:
            backend = _seed.check(seed, str(backend))
        if backend != "processes":
            for name in options:
                raise ValueError(f"{name} is an option of backend 'processes', not of {asked}")
        if max_pending is not None and backend not in ("threads", "processes", "interpreters"):
            raise ValueError(
                f"max_pending is an option of backends 'threads' and 'processes', not of {asked}"
            )
        if capture_output:
            from plait import _captured

            _captured.check(capture_output, backend)
        self.backend = backend
        self._limits = (timeout, retries)
        inner: Inner
        if place is not None:
            if initializer is not None:
                from plait._cluster.executor import refuse_initializer

                refuse_initializer(place)
            from plait._cluster.executor import ClusterExecutor

            inner = ClusterExecutor(place, max_workers, timeout=timeout, retries=retries, seed=seed)
        elif backend == "auto":
            from plait._auto.executor import AutoExecutor

            inner = AutoExecutor(max_workers, initializer, initargs, self._limits)
        elif backend == "processes":
            from plait._process import ProcessPoolExecutor

            inner = ProcessPoolExecutor(
                max_workers,
                None,
                initializer,
                initargs,
                timeout=timeout,
                retries=retries,
                max_pending=max_pending,
                seed=seed,
                capture_output=capture_output,
                **options,
            )
        elif backend == "asyncio":
            if initializer is not None:
                raise ValueError("initializer is for workers, of which backend 'asyncio' has none")
            from plait._asyncio.executor import AsyncioExecutor

            inner = AsyncioExecutor(
                max_workers, timeout=timeout, retries=retries, capture_output=capture_output
            )
        elif backend == "threads":
            from plait._thread import ThreadPoolExecutor

            inner = ThreadPoolExecutor(
                max_workers,
                "",
                initializer,
                initargs,
                timeout=timeout,
                retries=retries,
                max_pending=max_pending,
                capture_output=capture_output,
            )
        elif backend == "interpreters":
            from plait._interpreters.executor import InterpreterExecutor

            inner = InterpreterExecutor(
                max_workers,
                initializer=initializer,
                initargs=initargs,
                timeout=timeout,
                retries=retries,
                max_pending=max_pending,
            )
        else:
            from plait._serial import SerialExecutor

            inner = SerialExecutor(
                initializer,
                initargs,
                timeout=timeout,
                retries=retries,
                seed=seed,
                capture_output=capture_output,
            )
        self._inner = inner
        # Read by other libraries, as that of the stdlib's pools is.
        self._max_workers: int = inner._max_workers
        self._id: str | None = getattr(inner, "_id", None)
        if self._id is not None:
            _own.register(self._id, self, face=True)
        if type(self).submit is Executor.submit:
            # Straight to the engine: a call less for each task.
            self.submit = inner.submit  # type: ignore[assignment,method-assign]

    @property
    def choice(self) -> "Choice | None":
        """What backend "auto" has chosen last, and why; None while it measures, and with others."""
        return getattr(self._inner, "choice", None)

    @overload
    def submit(
        self, fn: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> "Future[T]": ...

    @overload
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]": ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Schedule `fn(*args, **kwargs)` and return its future."""
        return self._inner.submit(fn, *args, **kwargs)

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> "Future[T]":
        return self._inner._submit_with(timeout, retries, fn, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Arrive in one of its own workers as a handle on the pool, for tasks that submit further ones."""
        if self._id is None:
            return super().__reduce_ex__(protocol)
        return _own.arrive, (self._id, True)

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        return self._inner.map(fn, *iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize)

    def _tell_stats(self) -> "Stats":
        return self._inner.stats()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `concurrent.futures.Executor.shutdown`."""
        self._inner.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, exc_type: type[BaseException] | None, *exc: Any) -> None:
        """Shut down as the backend does."""
        self._inner.__exit__(exc_type, *exc)

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Shut down without blocking the event loop; at once if the block was cancelled."""
        from plait import _exit

        await _exit.leave(self._inner, exc_type)
