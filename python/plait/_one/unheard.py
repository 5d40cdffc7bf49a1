"""Failures of threads and processes until somebody has joined them.

`join` raises what a thread or a process has raised, so to print it as well would say it twice. But nobody may
ever join. So a failure is printed, once, as the stdlib prints it, if it was not joined within `PATIENCE` of
its end, and at the latest when the program ends. A later `join` raises it all the same.
"""

import atexit
import os
import threading
from collections.abc import Callable

# Seconds that a failure waits for a `join`: long enough for one that follows, and no time for who looks on.
PATIENCE = 1.0


def _never() -> bool:
    return False


class Failure:
    """What one thread or process has raised."""

    def __init__(self, tell: Callable[[], object], awaited: Callable[[], bool] = _never) -> None:
        """Have `tell` called, unless it is heard of before, or is about to be, which `awaited` says."""
        self._tell: Callable[[], object] | None = tell
        self._awaited = awaited
        self._over = threading.Event()
        _waiting.add(self)
        # Not a `Timer`: that asks for the current thread, of which the stdlib keeps an object for good where
        # it did not start it, as here.
        late = threading.Thread(target=self._late, args=(PATIENCE,), name="plait-unheard", daemon=True)
        try:
            late.start()
        except RuntimeError:
            # There are no more threads, or the program is ending: then that is when it is told.
            pass

    def heard(self) -> None:
        """Somebody has joined."""
        self._settle()

    def tell(self) -> None:
        """Tell, if nobody has heard or told of it."""
        tell = self._settle()
        if tell is not None:
            tell()

    def _late(self, seconds: float) -> None:
        if not self._over.wait(seconds) and not self._awaited():
            self.tell()

    def _settle(self) -> Callable[[], object] | None:
        """Be over; gives to the first who comes what there is to call."""
        try:
            _waiting.remove(self)
        except KeyError:
            return None
        tell = self._tell
        # They lead back here.
        self._tell, self._awaited = None, _never
        self._over.set()
        return tell


_waiting: set[Failure] = set()


def tell_all() -> None:
    """Tell what nobody has heard of; when the program ends."""
    for failure in list(_waiting):
        failure.tell()


atexit.register(tell_all)
# They are the parent's to tell.
os.register_at_fork(after_in_child=_waiting.clear)
