"""How long threads and processes were ready to run, and waited for a processor: no fault of their calls."""

import os
from collections.abc import Iterable

# Threads that stand for all, where there are more.
_MOST = 32


def of_process(pid: int) -> float:
    """Seconds that a process's main thread has waited for a processor; 0 where the kernel does not tell."""
    return _read(f"/proc/{pid}/schedstat")


def of_threads(tids: Iterable[int | None]) -> dict[int, float]:
    """Seconds that each of these threads of this process has waited, some of them where there are many."""
    pid = os.getpid()
    some = [tid for tid in tids if tid is not None][:_MOST]
    return {tid: _read(f"/proc/{pid}/task/{tid}/schedstat") for tid in some}


def share(before: dict[int, float], after: dict[int, float], seconds: float, working: int) -> float:
    """The share of the time that threads have waited, those that were born meanwhile among them.

    `working`: how many of them had calls to make.
    """
    if not after or seconds <= 0:
        return 0.0
    waited = sum(now - before.get(tid, 0.0) for tid, now in after.items())
    return min(1.0, max(0.0, waited) / (seconds * max(1, min(len(after), working))))


def _read(path: str) -> float:
    try:
        with open(path) as file:
            return int(file.read().split()[1]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0
