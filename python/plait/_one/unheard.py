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


class Failure:
    """What one thread or process has raised."""

    def __init__(self, tell: Callable[[], object], awaited: Callable[[], bool] = lambda: False) -> None:
        """Have `tell` called, unless it is heard of before, or is about to be, which `awaited` says."""
        self._tell = tell
        self._awaited = awaited
        self._timer = threading.Timer(PATIENCE, self._late)
        self._timer.daemon = True
        self._timer.name = "plait-unheard"
        _waiting.add(self)
        try:
            self._timer.start()
        except RuntimeError:
            # There are no more threads, or the program is ending: then that is when it is told.
            pass

    def heard(self) -> None:
        """Somebody has joined."""
        _waiting.discard(self)
        self._timer.cancel()

    def tell(self) -> None:
        """Tell, if nobody has heard or told of it."""
        try:
            _waiting.remove(self)
        except KeyError:
            return
        self._timer.cancel()
        self._tell()

    def _late(self) -> None:
        if not self._awaited():
            self.tell()


_waiting: set[Failure] = set()


def tell_all() -> None:
    """Tell what nobody has heard of; when the program ends."""
    for failure in list(_waiting):
        failure.tell()


atexit.register(tell_all)
# They are the parent's to tell.
os.register_at_fork(after_in_child=_waiting.clear)
