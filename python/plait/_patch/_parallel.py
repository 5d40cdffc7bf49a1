"""joblib's `Parallel`, as far as plait serves it: counted for the report."""

import functools
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from plait._patch._ledger import Entry, caller


def count(module: ModuleType, is_on: Callable[[], bool]) -> None:
    """Have the backend, which `module` defines, tell of each `Parallel` that it serves."""
    backend: Any = module.PlaitBackend
    configure, submit = backend.configure, backend.submit
    if hasattr(configure, "__wrapped__"):
        return

    @functools.wraps(configure)
    def configured(self: Any, *args: Any, **kwargs: Any) -> int:
        workers = configure(self, *args, **kwargs)
        self._entry = None
        if is_on():
            self._entry = entry = Entry("joblib.Parallel", _outside(caller()))
            entry.served(f"{workers} worker process{'' if workers == 1 else 'es'} at most, from the nursery")
        return workers

    @functools.wraps(submit)
    def submitted(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
        if self._entry is not None:
            # A batch of calls tells how many there are in it.
            self._entry.tasks += len(func) if hasattr(func, "__len__") else 1
        return submit(self, func, *args, **kwargs)

    backend.configure = configured
    backend.submit = backend.apply_async = submitted


def _outside(frame: FrameType | None) -> FrameType | None:
    """The first frame that is not joblib's."""
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "joblib":
        frame = frame.f_back
    return frame
