"""Attributes of the stdlib's executors that programs read although they are not documented.

`_max_workers`, `_threads`, `_processes`, `_work_queue` and `_pending_work_items` are read to see how busy a
pool is, and `_processes` to end its workers. What stands here answers that, and nothing more.
"""

import os
import select
import signal
from collections.abc import Callable


class Backlog:
    """What waits in a pool, counted with `qsize()` and `empty()` of a queue, or `len()` of a dict."""

    def __init__(self, count: Callable[[], int]) -> None:
        """Asks `count` each time."""
        self._count = count

    def qsize(self) -> int:
        """How many there are."""
        return self._count()

    def empty(self) -> bool:
        """Whether there are none."""
        return not self._count()

    def __len__(self) -> int:
        """How many there are."""
        return self._count()


class WorkerProcess:
    """A worker process, with what a `multiprocessing.Process` is asked once it runs.

    It is no child of this process, so its exit code is not known here: `exitcode` is None. The error of the
    call that it ran has it.
    """

    exitcode = None
    daemon = False

    def __init__(self, pid: int) -> None:
        """Refers to a process that may end at any time, and to no later one with its number."""
        self.pid = self.ident = pid
        self.name = f"plait-worker-{pid}"
        self._file: int | None
        try:
            self._file = os.pidfd_open(pid)
        except ProcessLookupError:
            self._file = None

    @property
    def sentinel(self) -> int:
        """A descriptor that is readable when the process has ended.

        Raises ValueError if it had before anybody looked.
        """
        if self._file is None:
            raise ValueError(f"the process {self.pid} has ended")
        return self._file

    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return not self._wait(0)

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, up to `timeout` seconds."""
        self._wait(timeout)

    def terminate(self) -> None:
        """Send it SIGTERM; the call that it runs fails with `plait.WorkerDied`, and the pool heals."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """The same with SIGKILL."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._file is not None:
            try:
                signal.pidfd_send_signal(self._file, number)
            except ProcessLookupError:
                pass

    def _wait(self, timeout: float | None) -> bool:
        if self._file is None:
            return True
        poll = select.poll()
        poll.register(self._file, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0, int(timeout * 1000 + 0.5))))

    def __repr__(self) -> str:
        """Names it."""
        return f"<{type(self).__name__} pid={self.pid} {'started' if self.is_alive() else 'stopped'}>"

    def __del__(self) -> None:
        """Let go of it."""
        if getattr(self, "_file", None) is not None:
            os.close(self._file)  # type: ignore[arg-type]
