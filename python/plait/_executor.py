"""One executor for every backend."""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

BACKENDS = ("serial", "threads", "processes")

# Named in the design, not built yet: asking for one says so.
_NOT_YET = ("auto", "interpreters", "asyncio", "dask", "ray")


def check_backend(backend: object) -> None:
    """Raise a ValueError that says what there is, unless `backend` is one of `BACKENDS`."""
    if backend in BACKENDS:
        return
    known = ", ".join(repr(name) for name in BACKENDS)
    if isinstance(backend, str) and backend.split(":")[0] in _NOT_YET:
        raise ValueError(f"backend {backend!r} is not in this version of plait; there are {known}")
    raise ValueError(f"no backend {backend!r}; there are {known}")


class Executor(concurrent.futures.Executor):
    """A `concurrent.futures.Executor` over the backend of your choice.

    Args:
        backend: "processes" (the default), "threads" or "serial".
        max_workers: The most workers; by default `plait.cpu_count()` processes, or as many threads as the
            stdlib starts.
        initializer: Called in each worker as it starts.
        initargs: Its arguments.
        max_tasks_per_child: Calls after which a worker process is replaced; processes only.
        preload: Modules to import once for all worker processes; processes only.

    Raises:
        ValueError: no such backend, or an option that it does not have.

    """

    __module__ = "plait"

    def __init__(
        self,
        backend: str = "processes",
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        max_tasks_per_child: int | None = None,
        preload: Iterable[str] = (),
    ) -> None:
        """See the class."""
        check_backend(backend)
        preload = tuple(preload)
        if backend != "processes" and (max_tasks_per_child is not None or preload):
            name = "preload" if preload else "max_tasks_per_child"
            raise ValueError(f"{name} is an option of backend 'processes', not of {backend!r}")
        self.backend = backend
        inner: concurrent.futures.Executor
        if backend == "processes":
            from plait._process import ProcessPoolExecutor

            inner = ProcessPoolExecutor(
                max_workers,
                None,
                initializer,
                initargs,
                max_tasks_per_child=max_tasks_per_child,
                preload=preload,
            )
        elif backend == "threads":
            from plait._thread import ThreadPoolExecutor

            inner = ThreadPoolExecutor(max_workers, "", initializer, initargs)
        else:
            from plait._serial import SerialExecutor

            inner = SerialExecutor(initializer, initargs)
        self._inner = inner
        if type(self).submit is Executor.submit:
            # Straight to the engine: a call less for each task.
            self.submit = inner.submit  # type: ignore[method-assign]

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "concurrent.futures.Future[T]":
        """Schedule `fn(*args, **kwargs)` and return its future."""
        return self._inner.submit(fn, *args, **kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """As `concurrent.futures.Executor.map`."""
        return self._inner.map(fn, *iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize)  # type: ignore[call-arg]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `concurrent.futures.Executor.shutdown`."""
        self._inner.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, *exc: object) -> None:
        """Shut down as the backend does."""
        self._inner.__exit__(*exc)

    async def __aenter__(self) -> "Executor":
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut down without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.shutdown)
