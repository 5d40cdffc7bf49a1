"""What programs find where they look behind a pool of `multiprocessing`: its workers, and what is pending."""

import os
import signal
import time
from typing import Any


class Pending:
    """How many calls have not ended: the `len` of a pool's cache, the `qsize` of its queue."""

    def __init__(self, engine: Any) -> None:
        """Looks at the engine whenever it is asked."""
        self._engine = engine

    def __len__(self) -> int:
        """How many."""
        return self._engine.pending()

    qsize = __len__

    def empty(self) -> bool:
        """Whether there is none."""
        return len(self) == 0


class Worker:
    """A worker process, as `multiprocessing.Process` shows one."""

    daemon = True

    def __init__(self, engine: Any, pid: int) -> None:
        """`pid`: of a worker that lives."""
        self._engine = engine
        self.pid = self.ident = pid
        self.name = f"PoolWorker-{pid}"

    def __repr__(self) -> str:
        """Name, and whether it lives."""
        return f"<{self.name} {'started' if self.is_alive() else 'stopped'} daemon>"

    def is_alive(self) -> bool:
        """Whether it is one of the pool's workers still."""
        return self.pid in self._engine.pids()

    @property
    def exitcode(self) -> int | None:
        """None as long as it lives, then 255, as `multiprocessing` says where it does not know."""
        return None if self.is_alive() else 255

    def terminate(self) -> None:
        """Send it SIGTERM; what it runs fails with `plait.WorkerDied`."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it; what it runs fails with `plait.WorkerDied`."""
        self._send(signal.SIGKILL)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, up to `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.is_alive() and (deadline is None or time.monotonic() < deadline):
            time.sleep(0.005)

    def _send(self, number: int) -> None:
        # One that the pool has buried may be somebody else's by now.
        if self.is_alive():
            os.kill(self.pid, number)
