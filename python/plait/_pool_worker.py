"""What a pool's worker process does beside its calls: looking like a worker of `multiprocessing`.

Loads next to nothing. The worker's process object, its number and its key are there as soon as something
imports `multiprocessing`: a manager's proxies need the key, and programs number their workers by
`current_process()._identity`.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

_MODULE = "multiprocessing.process"


def begin(
    key: bytes, numbers: str, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
) -> None:
    """Start a worker. `numbers`: the file in which the program counts its workers."""
    if _MODULE in sys.modules:
        _dress(sys.modules[_MODULE], key, numbers)
    else:
        sys.meta_path.insert(0, _Dresser(key, numbers))
    if initializer is not None:
        initializer(*initargs)


def nothing() -> None:
    """Be a call, so that there is a worker for it."""


class _Dresser:
    """Waits for the import of `multiprocessing.process`."""

    def __init__(self, key: bytes, numbers: str) -> None:
        self._told = (key, numbers)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """As every finder; it finds one module, once."""
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                self._run = spec.loader.exec_module
                spec.loader.exec_module = self._exec_module  # type: ignore[method-assign]
                return spec
        return None

    def _exec_module(self, module: Any) -> None:
        self._run(module)
        _dress(module, *self._told)


def _dress(module: Any, key: bytes, numbers: str) -> None:
    process = module.current_process()
    number = _next_number(numbers)
    process._identity = (number,)
    process._name = f"PoolWorker-{number}"
    process._config = {**process._config, "authkey": module.AuthenticationString(key), "daemon": True}


def _next_number(numbers: str) -> int:
    """Count this worker; by its process id where the program's count cannot be reached."""
    import fcntl

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
