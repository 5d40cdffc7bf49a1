"""`plait.patch`: the standard library's pools, and joblib's, become plait's in a program that stays as it is.

What is changed are methods of four classes, in place: `ThreadPoolExecutor` and `ProcessPoolExecutor` of
`concurrent.futures`, `Pool` and `ThreadPool` of `multiprocessing.pool`. Everything that makes pools goes
through them (`multiprocessing.Pool`, `get_context(...).Pool`, `multiprocessing.dummy.Pool`, asyncio's
default executor), under whatever name a module has imported them.
"""

import os
import sys
from _thread import RLock

from plait._patch import _install
from plait._patch._install import Changed, Finder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType

_depth = 0
_changed: dict[str, Changed] = {}
_finder: Finder | None = None


class Patch:
    """What `plait.patch` did, and how to undo it: by `undo`, or at the end of a `with` block."""

    __module__ = "plait"

    def __init__(self) -> None:
        """Made by `plait.patch`."""
        self._done = True

    def undo(self) -> None:
        """Take this patch back. New pools are the standard library's again once the last one is taken back.

        Pools that exist stay what they are. Doing it twice does nothing.
        """
        with _install._lock:
            if not self._done:
                return
            self._done = False
            _count(-1)

    def report(self) -> str:
        """What was served so far and what was left alone, and why: a text of several lines."""
        from plait._patch._ledger import report

        return report()

    def __enter__(self) -> "Patch":
        """Return itself."""
        return self

    def __exit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: "BaseException | None",
        trace: "TracebackType | None",
    ) -> None:
        """Undo it."""
        self.undo()

    def __repr__(self) -> str:
        """Say whether it holds."""
        return f"<plait.patch(), {'in place' if self._done else 'undone'}>"


def patch() -> Patch:
    """Have plait serve the pools that this program makes from now on by the standard library and joblib.

        with plait.patch():
            multiprocessing.Pool(4).map(work, items)

    Safe to call again, and from any thread. Names that were imported before are served too. A pool that
    plait cannot serve as the standard library would is left to it; `report()` of what this returns says
    which and why.

    Returns:
        A context manager with `undo()` and `report()`.

    """
    with _install._lock:
        _count(1)
    return Patch()


def unpatch() -> None:
    """Take back every `plait.patch()` of this program."""
    global _depth
    with _install._lock:
        if _depth:
            _depth = 1
            _count(-1)


def is_on() -> bool:
    """Whether pools that are made now are to be served."""
    return _depth > 0


def _count(change: int) -> None:
    """Count patches; the first and the last one do and undo it."""
    global _depth, _finder
    # After `unpatch` there is nothing left for the others to undo.
    _depth = max(0, _depth + change)
    if change > 0 and _depth == 1:
        waiting = {}
        for name, action in _ACTIONS.items():
            module = sys.modules.get(name)
            if module is not None and not _is_loading(module):
                action(module)
            else:
                waiting[name] = action
        _finder = Finder(waiting)
        sys.meta_path.insert(0, _finder)
        _joblib(True)
    elif change < 0 and _depth == 0 and _finder is not None:
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        _finder = None
        for changed in _changed.values():
            changed.restore_if_idle()
        _joblib(False)


def _is_loading(module: "ModuleType") -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def _begin(cls: type) -> Changed | None:
    """The class's record; None where its methods are in place."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    changed = _changed.get(name)
    if changed is None or changed.cls is not cls:
        changed = _changed[name] = Changed(cls, is_on)
    return None if changed.in_place else changed


def _threads(module: "ModuleType") -> None:
    with _install._lock:
        cls = module.ThreadPoolExecutor
        changed = _begin(cls) if is_on() else None
        if changed is None:
            return
        from plait._patch import _executors as made

        submit, shutdown = made.submit(cls), made.shutdown(cls)
        init = made.init(cls, "ThreadPoolExecutor", made.ServedThreads, is_on, changed.born)
        changed.replace("submit", submit)
        changed.replace("shutdown", shutdown)
        changed.replace("_broken", made.Broken())
        changed.replace("__init__", init)


def _processes(module: "ModuleType") -> None:
    with _install._lock:
        cls = module.ProcessPoolExecutor
        changed = _begin(cls) if is_on() else None
        if changed is None:
            return
        from plait._patch import _executors as made

        submit = made.submit(cls)
        replacements: dict[str, object] = {
            "submit": submit,
            "map": made.map_processes(cls, submit),
            "shutdown": made.shutdown(cls),
            "_broken": made.Broken(),
        }
        for name in ("terminate_workers", "kill_workers"):
            if hasattr(cls, name):
                replacements[name] = made.stop_workers(cls, name)
        kind = made.ServedProcesses
        replacements["__init__"] = made.init(cls, "ProcessPoolExecutor", kind, is_on, changed.born)
        for name, method in replacements.items():
            changed.replace(name, method)


def _pools(module: "ModuleType") -> None:
    with _install._lock:
        for cls in (module.Pool, module.ThreadPool):
            changed = _begin(cls) if is_on() else None
            if changed is None:
                continue
            from plait._patch._pools import init

            changed.replace("__init__", init(cls, is_on))


def _backend(module: "ModuleType") -> None:
    from plait._patch._parallel import count

    count(module, is_on)


def _joblib(on: bool) -> None:
    try:
        from plait import _joblib
    except ImportError:
        return
    _joblib.watch()
    # Not for its "multiprocessing", whose workers are forks that have the program's globals: those of plait's
    # backend are not.
    _joblib.stand_in(("loky",) if on else ())


_ACTIONS = {
    "concurrent.futures.thread": _threads,
    "concurrent.futures.process": _processes,
    "multiprocessing.pool": _pools,
    "plait._joblib.backend": _backend,
}


def _forget_lock() -> None:
    # Another thread of the parent's may have held it.
    _install._lock = RLock()


os.register_at_fork(after_in_child=_forget_lock)
