"""`plait.ThreadPool`."""

import multiprocessing.pool
import threading
from collections.abc import Callable, Iterable
from typing import Any

from plait import _core
from plait._pool.engines import ThreadEngine
from plait._pool.face import RUN, BasePool


class ThreadPool(BasePool, multiprocessing.pool.ThreadPool):
    """Worker threads with the interface of `multiprocessing.pool.ThreadPool`.

    Args:
        processes: How many threads; by default `plait.cpu_count()`. They start when they are needed, and with
            an initializer at once.
        initializer: Called in each thread as it starts. If it raises, the pool is broken, and calls say so.
        initargs: Its arguments.

    Raises:
        ValueError: `processes` is below 1.
        TypeError: `initializer` cannot be called.

    """

    __module__ = "plait"

    _engine: ThreadEngine

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None:
        """See the class."""
        workers = self._open(processes, _core.cpu_count())
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._initializer = initializer
        self._initargs = initargs
        self._engine = ThreadEngine(workers, initializer, tuple(initargs))
        self._state = RUN

    @property
    def _pool(self) -> list[threading.Thread]:
        return self._engine.started()
