"""Attributes of the stdlib's executors that programs read although they are not documented.

`_max_workers`, `_threads`, `_processes`, `_work_queue` and `_pending_work_items` are read to see how busy a
pool is, and `_processes` to end its workers. What stands here answers that, and nothing more.
"""

import concurrent.futures
import functools
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any


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


# Seconds in which a worker should be there.
_BIRTH = 5.0


class ProcessAttributes:
    """Those of a process pool."""

    _stats: Callable[[], dict[str, Any]]
    _context: Any
    _max_tasks_per_child: int | None
    _handles: dict[int, WorkerProcess] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """What `isinstance` goes by: the stdlib's class counts too, once somebody can ask for it."""
        # Deriving from it would import multiprocessing for everybody.
        made: Any = type(self)
        return _stdlib_like(made) if "concurrent.futures.process" in sys.modules else made

    @property
    def _processes(self) -> dict[int, WorkerProcess]:
        """The workers of the moment, by process id; as in the stdlib not documented, but read by programs."""
        stats = self._stats()
        patience = time.monotonic() + _BIRTH
        while not stats["pids"] and (stats["pending"] or stats["expected"]) and time.monotonic() < patience:
            # In the stdlib there is a worker when the first `submit` returns; here it is on its way. It may
            # even have answered before the nursery has told of it.
            time.sleep(0.001)
            stats = self._stats()
        before, self._handles = self._handles or {}, {}
        for pid in stats["pids"]:
            self._handles[pid] = before.get(pid) or WorkerProcess(pid)
        return dict(self._handles)

    @property
    def _pending_work_items(self) -> Backlog:
        """What was submitted and has not ended, to be counted."""
        return Backlog(lambda: self._stats()["pending"])

    @property
    def _broken(self) -> str | bool:
        """Why it takes no more calls; False while it does."""
        return self._stats()["broken"] or False

    @property
    def _mp_context(self) -> Any:
        """The context that was given, or that the stdlib would use; plait needs none."""
        if self._context is None:
            import multiprocessing

            method = None if self._max_tasks_per_child is None else "spawn"
            self._context = multiprocessing.get_context(method)
        return self._context


@functools.cache
def _stdlib_like(cls: type) -> type:
    """A class that derives from `cls` and from the stdlib's, even where plait's has taken its name."""
    for base in concurrent.futures.Executor.__subclasses__():
        if base.__module__ == "concurrent.futures.process" and not issubclass(cls, base):
            return type(cls.__name__, (cls, base), {"__module__": cls.__module__})
    return cls
