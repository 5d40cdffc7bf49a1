"""What runs in the workers of a comparison: calls, timed where they run, and the meeting before them.

Needs no core, which sub-interpreters do not have. Both travel as ordinary calls, so they work on every
executor there is.
"""

import os
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

# How often someone who came early to a meeting looks who else is there, and for how long.
_LOOK_SECONDS = 0.0001
_PATIENCE_SECONDS = 60.0


class Meeting(NamedTuple):
    """An item that stands for no call: whoever gets it waits until `people` workers have one each.

    So each worker is there, has loaded the function, and has answered, before the clock of a round starts.
    `place` is the path of a file; each worker appends a byte to it.
    """

    place: str
    people: int

    def attend(self) -> None:
        """Wait for the others; where the place cannot be reached, nobody can be waited for."""
        try:
            there = os.open(self.place, os.O_WRONLY | os.O_APPEND)
        except OSError:
            return
        try:
            os.write(there, b".")
            patience = time.monotonic() + _PATIENCE_SECONDS
            while os.fstat(there).st_size < self.people and time.monotonic() < patience:
                time.sleep(_LOOK_SECONDS)
        finally:
            os.close(there)


# (result, start, seconds, (process, thread), failure or None). `start` is on the machine's own clock, which
# all processes share. Numbers and strings, since they cost the least to send.
Timed = tuple[Any, float, float, tuple[int, int], str | None]


def timed_call(fn: Callable[[Any], Any], item: Any) -> Timed:
    """Call `fn(item)`; what it raises is told, not raised, so that one failure does not hide the rest."""
    worker = (os.getpid(), threading.get_ident())
    if type(item) is Meeting:
        item.attend()
        return None, 0.0, 0.0, worker, None
    value, failure = None, None
    start = time.perf_counter()
    try:
        value = fn(item)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failure = described(error)
    return value, start, time.perf_counter() - start, worker, failure


def described(error: BaseException) -> str:
    """Return `ValueError: what it says`, on one line."""
    name = type(error).__qualname__
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    return f"{name}: {text}" if text else name


def timed_function(fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
    """Make what plait's backends are given: a function, since those are sent once per worker."""

    def timed(item: Any) -> Timed:
        return timed_call(fn, item)

    return timed


class TimedFunction:
    """The same for peers, whose pickle takes no nested functions."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        """Take the function."""
        self.fn = fn

    def __call__(self, item: Any) -> Timed:
        """Call it."""
        return timed_call(self.fn, item)
