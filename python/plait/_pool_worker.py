"""What a pool's worker process does beside its calls: looking like a worker of `multiprocessing`.

Loads next to nothing. The worker's number is there as soon as something imports `multiprocessing`: programs
number their workers by `current_process()._identity`.
"""

import fcntl
import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from plait import _inherit


def begin(numbers: str, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
    """Start a worker. `numbers`: the file in which the program counts its workers."""

    def dress(module: ModuleType) -> None:
        process = module.current_process()
        number = _next_number(numbers)
        process._identity = (number,)
        process._name = f"PoolWorker-{number}"
        process._config["daemon"] = True

    _inherit.when_imported("multiprocessing.process", dress)
    if initializer is not None:
        initializer(*initargs)


def nothing() -> None:
    """Be a call, so that there is a worker for it."""


def _next_number(numbers: str) -> int:
    """Count this worker; by its process id where the program's count cannot be reached."""
    try:
        file = os.open(numbers, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return os.getpid()
    try:
        fcntl.lockf(file, fcntl.LOCK_EX)
        number = int.from_bytes(os.pread(file, 8, 0), "little") + 1
        os.pwrite(file, number.to_bytes(8, "little"), 0)
    finally:
        # Closing it gives the lock back.
        os.close(file)
    return number
