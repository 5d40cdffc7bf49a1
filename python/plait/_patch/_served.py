"""`plait.Pool` and `plait.ThreadPool` in the place of multiprocessing's: counted, and with its workers."""

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

import plait._pool.engines as engines
from plait import _exit
from plait._future import Future
from plait._patch import _inside
from plait._patch._faithful import FaithfulPool, own_name
from plait._patch._ledger import Entry
from plait._pool import Pool, ThreadPool, calls
from plait._pool.engines import Engine
from plait._pool.face import RUN
from plait._pool.face import _submitting as submitting
from plait._process import MAX_WORKERS, default_workers


class ServedEngine(engines.ProcessEngine):
    """The workers of a served pool: of the kind that the standard library's would be."""

    def __init__(
        self,
        workers: int,
        context: Any,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        maxtasksperchild: int | None,
    ) -> None:
        """Raises `Unsuitable` where the pool must be left alone."""
        most = min(workers, MAX_WORKERS)
        start = initializer, initargs
        self._executor = FaithfulPool(  # type: ignore[assignment]
            most, context, "PoolWorker", True, *start, maxtasksperchild
        )
        # The end of the program does not wait for its calls.
        _exit._pools.discard(self._executor)
        Engine.__init__(self, workers)
        self.submit = self._executor.call  # type: ignore[attr-defined]
        if initializer is not None:
            self.start()

    def _close(self) -> None:
        super()._close()
        self._executor.close_mould(False)  # type: ignore[attr-defined]

    def _stop(self) -> None:
        super()._stop()
        self._executor.close_mould(True)  # type: ignore[attr-defined]

    def _wait(self) -> None:
        super()._wait()
        self._executor.close_mould(True)  # type: ignore[attr-defined]


class _Counting:
    """Counts the tasks of a pool for the report."""

    _entry: Entry

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> Any:
        """As the pool's."""
        self._entry.tasks += 1
        return super().apply(func, args, kwds)  # type: ignore[misc]

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[Any], object] | None = None,
    ) -> Any:
        """As the pool's."""
        self._entry.tasks += 1
        return super().apply_async(func, args, kwds, callback, error_callback)  # type: ignore[misc]

    def _submitting(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, star: bool
    ) -> Generator[Future, None, None]:
        items = iter(self._entry.counted(iterable))
        if chunksize > 1:
            return submitting(
                self._engine.submit,  # type: ignore[attr-defined]
                _inside.Each(func, self._name_of(func), star),
                calls.chunks(items, chunksize),
                False,
            )
        return submitting(self._engine.submit, func, items, star)  # type: ignore[attr-defined]

    def _name_of(self, func: Callable[..., Any]) -> tuple[str, str] | None:
        return None


class ServedPool(_Counting, Pool):
    """In the place of `multiprocessing.pool.Pool`."""

    __module__ = "multiprocessing.pool"
    __qualname__ = "Pool"

    def __init__(
        self,
        entry: Entry,
        processes: int | None,
        initializer: Callable[..., object] | None,
        initargs: Iterable[Any],
        maxtasksperchild: int | None,
        context: Any,
    ) -> None:
        """See `multiprocessing.pool.Pool`; what it refuses is refused."""
        self._entry = entry
        workers = self._open(processes, default_workers())
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._context = context
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        self._engine = ServedEngine(workers, context, initializer, tuple(initargs), maxtasksperchild)
        self._state = RUN

    def _name_of(self, func: Callable[..., Any]) -> tuple[str, str] | None:
        return own_name(func)


class ServedThreadPool(_Counting, ThreadPool):
    """In the place of `multiprocessing.pool.ThreadPool`."""

    __module__ = "multiprocessing.pool"
    __qualname__ = "ThreadPool"

    def __init__(self, entry: Entry, *args: Any, **kwargs: Any) -> None:
        """See `multiprocessing.pool.ThreadPool`."""
        self._entry = entry
        ThreadPool.__init__(self, *args, **kwargs)
