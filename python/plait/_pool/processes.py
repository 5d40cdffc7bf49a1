"""`plait.Pool`."""

import multiprocessing
from collections.abc import Callable, Iterable
from typing import Any

from plait._attributes import WorkerProcess
from plait._pool.engines import ProcessEngine
from plait._pool.face import RUN, BasePool
from plait._process import default_workers


class Pool(BasePool):
    """Worker processes with the interface of `multiprocessing.Pool`.

        with plait.Pool(4) as pool:
            results = pool.map(work, items)

    Functions, arguments and results travel as with `plait.ProcessPoolExecutor`: lambdas and closures too, and
    no `if __name__ == "__main__":` is needed. A call whose worker dies raises `plait.WorkerDied`; all others
    go on.

    Args:
        processes: How many workers, of which 192 at most exist; by default `plait.cpu_count()`, or the
            physical cores if they are fewer. They start when they are needed, and with an initializer at
            once.
        initializer: Called in each worker as it starts. If it raises, the pool is broken, and calls say why.
        initargs: Its arguments.
        maxtasksperchild: Calls, or chunks of a map, after which a worker is replaced; by default never.
        context: Accepted so that calls written for the stdlib work; plait has one way to start workers.

    Raises:
        ValueError: `processes` is below 1, or `maxtasksperchild` is no positive integer.
        TypeError: `initializer` cannot be called.
        plait.NotPicklable: `initializer` or `initargs` cannot be sent to a worker.

    """

    __module__ = "plait"

    _engine: ProcessEngine

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: Any = None,
    ) -> None:
        """See the class."""
        workers = self._open(processes, default_workers())
        if maxtasksperchild is not None and (not isinstance(maxtasksperchild, int) or maxtasksperchild <= 0):
            raise ValueError("maxtasksperchild must be a positive int or None")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._context = context
        self._maxtasksperchild = maxtasksperchild
        self._initializer = initializer
        self._initargs = initargs
        self._engine = ProcessEngine(workers, initializer, tuple(initargs), maxtasksperchild)
        self._state = RUN

    @property
    def _ctx(self) -> Any:
        return self._context or multiprocessing.get_context()

    @property
    def _pool(self) -> list[WorkerProcess]:
        return self._engine.started()
