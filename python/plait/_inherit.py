"""What multiprocessing gives to the processes that it starts: its key, and what is shared by inheritance.

A worker of plait's is no child of multiprocessing's, but programs treat it as one: they send it managers'
proxies, which need the program's key, hand locks and queues to its initializer, and ask it for
`parent_process()`. Nothing here imports multiprocessing; whoever does, in the program or in a worker, finds
things as they should be.
"""

import fcntl
import os
import stat
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_MODULE = "multiprocessing.process"
_key: bytes | None = None


def program_key() -> bytes:
    """The key that processes of this program prove to each other that they belong together by."""
    global _key
    process = sys.modules.get(_MODULE)
    if process is not None:
        return bytes(process.current_process().authkey)
    if _key is None:
        _key = os.urandom(32)
        _when_imported(_take_key)
    return _key


def be_child(key: bytes, program: int, name: str) -> None:
    """Make this worker what multiprocessing would call a child, named `name`, of the process `program`."""

    def adopt(process: ModuleType) -> None:
        current = process.current_process()
        current.authkey = key
        current.name = name
        try:
            ends = os.pidfd_open(program)
        except OSError:
            # It has gone, and this process goes too.
            return
        process._parent_process = process._ParentProcess("MainProcess", program, ends)  # type: ignore[attr-defined]

    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        adopt(loaded)
    else:
        _when_imported(adopt)


def _take_key(process: ModuleType) -> None:
    process.current_process().authkey = _key


class _Importing:
    """A finder that finds nothing; it sees a module come, and does something to it then."""

    def __init__(self, name: str, then: Callable[[ModuleType], None]) -> None:
        self._name = name
        self._then = then

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See `importlib.abc.MetaPathFinder`."""
        if name != self._name:
            return None
        from importlib.util import find_spec

        try:
            sys.meta_path.remove(self)
        except ValueError:
            return None
        spec = find_spec(name)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._then(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _when_imported(then: Callable[[ModuleType], None], name: str = _MODULE) -> None:
    sys.meta_path.insert(0, _Importing(name, then))


class Lent:
    """Lets multiprocessing's locks, queues and pipes be pickled, as a context around it, for workers to come.

    It keeps the descriptors among them open as long as it lives.
    """

    def __init__(self) -> None:
        """Nothing is lent yet."""
        self._files: list[int] = []
        self._before: Any = None

    def __enter__(self) -> "Lent":
        """From now on this thread pickles as if it started a process."""
        context = sys.modules.get("multiprocessing.context")
        if context is not None:
            self._before = context.get_spawning_popen()
            context.set_spawning_popen(self)
        return self

    def __exit__(self, *_: object) -> None:
        """From now on it does not."""
        context = sys.modules.get("multiprocessing.context")
        if context is not None:
            context.set_spawning_popen(self._before)

    def duplicate_for_child(self, file: int) -> int:
        """Keep a descriptor for the workers; what multiprocessing calls while it pickles one."""
        if stat.S_ISSOCK(os.fstat(file).st_mode):
            raise ValueError(
                "a socket, or a pipe that goes both ways, cannot be lent to workers; use Pipe(duplex=False)"
            )
        kept = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 3)
        self._files.append(kept)
        return kept

    def DupFd(self, file: int) -> "Descriptor":
        """Give what a descriptor is in a pickle."""
        return Descriptor(os.getpid(), file, fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE)

    def __del__(self) -> None:
        """Close what was kept."""
        for file in self._files:
            os.close(file)


class Descriptor:
    """A descriptor of another process of this user."""

    def __init__(self, pid: int, file: int, mode: int) -> None:
        """Names it."""
        self._named = (pid, file, mode)

    def detach(self) -> int:
        """Give a descriptor of this process for the same pipe or file."""
        pid, file, mode = self._named
        return os.open(f"/proc/{pid}/fd/{file}", mode | os.O_CLOEXEC)
