"""Process pools whose workers are what those of the standard library's pools would be.

With the start method "fork" they are forks of the program, by way of a mould; with "spawn" and "forkserver"
they come from plait's clean nursery and import the main script as `__mp_main__`. Functions, classes and
instances go by name, also those of `__main__`, since the workers have the same modules; what has no name,
such as a lambda, goes by value all the same.
"""

import contextlib
import pickle
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from plait import _byname, _core, _exit, _inherit, _process
from plait._patch import _inside
from plait._patch._mould import Mould


class Unsuitable(Exception):
    """Why such a pool must be left to the standard library."""


class FaithfulPool(_process.ProcessPoolExecutor):
    """A `plait.ProcessPoolExecutor` in the place of a pool of the standard library's.

    Args:
        max_workers: The most worker processes.
        context: The multiprocessing context that says how they start.
        kind: What their names say: "PoolWorker" or "Process".
        daemon: Whether they are daemonic.
        initializer: Called in each worker as it starts; inherited where they are forks.
        initargs: Its arguments.
        max_tasks_per_child: Calls after which a worker is replaced.

    Raises:
        Unsuitable: initializer or arguments go to a spawned process alone, such as multiprocessing's locks.
        OSError: the system refuses a process.

    """

    def __init__(
        self,
        max_workers: int,
        context: Any,
        kind: str,
        daemon: bool,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        max_tasks_per_child: int | None = None,
    ) -> None:
        """See the class."""
        from multiprocessing import process

        start = None if initializer is None else (initializer, tuple(initargs))
        numbers = [next(process._process_counter) for _ in range(max_workers)]
        child = _inside.Child(context, kind, daemon, numbers)
        self._mould: Mould | None = None
        self._work: Callable | None = None
        if context.get_start_method() == "fork":
            self._work = partial(_inside.work, child, start)
            super().__init__(max_workers, context, max_tasks_per_child=max_tasks_per_child)
            if self._mould is not None:
                self._mould.opened()
        else:
            args = self._spawned(child, context, start)
            super().__init__(
                max_workers, context, _inside.prepare, args, max_tasks_per_child=max_tasks_per_child
            )
        self._initializer, self._initargs = start or (None, ())

    def _origin(self, preload: tuple[str, ...]) -> _process.Program | int:
        if self._work is None:
            return super()._origin(preload)
        self._mould = mould = Mould(self._work)
        weakref.finalize(self, mould.let_go).atexit = False
        return mould.fileno()

    def _spawned(self, child: _inside.Child, context: Any, start: tuple | None) -> tuple:
        """What a worker of the clean nursery is to prepare itself with."""
        from multiprocessing import process, spawn
        from multiprocessing.reduction import ForkingPickler

        data = spawn.get_preparation_data("")
        del data["name"]
        data["authkey"] = bytes(process.current_process().authkey)
        data["start_method"] = context.get_start_method()
        # What is lent is kept open for workers to come.
        self._lent_at_start = _inherit.Lent()
        try:
            with self._lent_at_start:
                pickled = None if start is None else bytes(ForkingPickler.dumps(start))
        except Exception as error:
            what = f"{type(error).__name__}: {error}"
            raise Unsuitable(f"its initializer or initargs cannot be sent to a worker: {what}") from None
        return pickle.dumps(child), pickle.dumps(data), pickled

    def _filters(self) -> None:
        return None

    def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Submit a call of the program's."""
        name = own_name(fn)
        with _shared_modules():
            if name is not None:
                return self.submit(_inside.call, *name, *args, **kwargs)
            return self.submit(_named(fn), *args, **kwargs)

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **options: Any) -> Iterator[Any]:
        """As the executor's."""
        with _shared_modules():
            results = super().map(_named(fn), *iterables, **options)
        return _Results(results)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the executor's; after Ctrl-C nobody waits for what runs."""
        if wait and isinstance(sys.exc_info()[1], KeyboardInterrupt):
            _exit.give_up(self)
            return
        super().shutdown(wait, cancel_futures=cancel_futures)
        self.close_mould(wait)

    def close_mould(self, ended: bool) -> None:
        """There are no new workers any more; whether all have ended."""
        if self._mould is not None:
            if ended:
                self._mould.end()
            else:
                self._mould.let_go()

    def _abort(self) -> None:
        super()._abort()
        self.close_mould(False)


class _Results(Iterator[Any]):
    """The results of a map, which sends further items when it is asked for the next."""

    def __init__(self, results: Iterator[Any]) -> None:
        self._results = results

    def __next__(self) -> Any:
        with _shared_modules():
            return next(self._results)


@contextlib.contextmanager
def _shared_modules() -> Iterator[None]:
    workers = _byname.workers
    before, workers.share_modules = workers.share_modules, True
    # What was made of contexts for other workers names variables otherwise.
    _core.forget_contexts()
    try:
        yield
    finally:
        workers.share_modules = before


def _named(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, or what calls that of its name."""
    if type(fn) is partial:
        name = own_name(fn.func)
        return fn if name is None else partial(_inside.call, *name, *fn.args, **fn.keywords)
    name = own_name(fn)
    return fn if name is None else partial(_inside.call, *name)


def own_name(fn: Callable[..., Any]) -> tuple[str, str] | None:
    """Give module and name of a function that the engine would send by value, and a worker finds by them."""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if type(module) is not str or type(name) is not str or "<" in name or _core.codec.travels(module):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return (module, name) if found is fn else None
