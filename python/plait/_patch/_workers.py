"""The worker processes of a served pool, for programs that look at a pool's private list of them."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class Handle:
    """One worker, as much of it as `multiprocessing.Process` tells of its own."""

    exitcode = None
    daemon = True

    def __init__(self, pid: int) -> None:
        """Of the process with this id."""
        self.pid = self.ident = pid
        self.name = f"plait-worker-{pid}"

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)

    def join(self, timeout: float | None = None) -> None:
        """Wait for its end, up to `timeout` seconds."""
        import select

        try:
            process = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            select.select([process], [], [], timeout)
        finally:
            os.close(process)

    def _signal(self, number: int) -> None:
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass


def _pids(engine: Any) -> list[int]:
    return list(engine._stats()["pids"])


class ByPid(Mapping[int, Handle]):
    """The workers of an executor by process id, as they are when it is looked at."""

    def __init__(self, engine: Any) -> None:
        """Of this engine."""
        self._engine = engine

    def __getitem__(self, pid: int) -> Handle:
        """The worker with this id."""
        if pid not in _pids(self._engine):
            raise KeyError(pid)
        return Handle(pid)

    def __iter__(self) -> Iterator[int]:
        """Over their ids."""
        return iter(_pids(self._engine))

    def __len__(self) -> int:
        """How many there are."""
        return len(_pids(self._engine))


class Listed(Sequence[Handle]):
    """The workers of a `Pool`, as they are when it is looked at."""

    def __init__(self, engine: Any) -> None:
        """Of this engine."""
        self._engine = engine

    def __getitem__(self, index: Any) -> Any:
        """One of them, or several."""
        return [Handle(pid) for pid in _pids(self._engine)][index]

    def __len__(self) -> int:
        """How many there are."""
        return len(_pids(self._engine))
