"""Waits that Ctrl-C ends, whenever it comes.

Python looks for signals before a thread begins to wait for a lock, and a signal that comes while the thread
waits wakes it. One that comes between the two does neither, and without a timeout the wait goes on as if it
had never come. So these waits look again every `_SLICE` seconds, as those of the core do.
"""

import concurrent.futures
import time
from typing import Protocol, TypeVar

T = TypeVar("T")

_SLICE = 0.05


class _Lock(Protocol):
    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool: ...


def acquire(lock: _Lock) -> None:
    """Acquire a lock of `threading`."""
    while not lock.acquire(timeout=_SLICE):
        pass


def result(future: "concurrent.futures.Future[T]", seconds: float | None) -> T:
    """The result of a future of the standard library.

    Raises:
        TimeoutError: there was none within `seconds`.

    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while not future.done():
        left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        if left <= 0:
            raise TimeoutError
        concurrent.futures.wait([future], left)
    return future.result()
