"""How a `plait.Process` starts, and what the parent knows of it from then on.

Each has a worker of its own: a private pool of one, closed once the call of its target is under way. So the
process ends with the call, and what the engine promises of workers holds for it: it dies with its parent, its
output is in whole lines, what it logs is the parent's to handle, its death is told.
"""

import atexit
import os
import signal
import sys
import threading
import time
import weakref
from typing import Any

from plait import _depth, _exit
from plait._attributes import WorkerProcess
from plait._errors import NotPicklable, WorkerDied, is_remote_traceback
from plait._one import child, luggage
from plait._one.unheard import Failure
from plait._process import MAX_DEPTH, ProcessPoolExecutor

# What every process needs, once, in a nursery of its own.
_PRELOAD = ("plait._one.child", "plait._one.process", "multiprocessing.connection")

# Seconds in which the news of a process's end should follow its end.
_NEWS = 30.0

# Seconds that a process has to end by itself after SIGTERM, or after Ctrl-C, when the program ends.
_GRACE = 0.5


class _Worker(WorkerProcess):
    """The process of a call, whose sentinel can be had even if it has ended before anybody looked."""

    def __init__(self, pid: int) -> None:
        """Refers to it."""
        super().__init__(pid)
        if self._file is None:
            # Readable, as that of a process that has ended is.
            self._file = os.eventfd(1, os.EFD_CLOEXEC)


class Popen:
    """A process as multiprocessing handles it: see `multiprocessing.popen_fork.Popen`.

    Raises:
        plait.NotPicklable: the process object, its target or arguments cannot be sent.
        RuntimeError: processes are nested more than five deep.

    """

    method = "plait"

    def __init__(self, process: Any) -> None:
        """Start it."""
        if _depth.depth >= MAX_DEPTH:
            raise RuntimeError(
                f"processes are nested {_depth.depth} deep, and each of them may start more; use threads here"
            )
        self.returncode: int | None = None
        self.name, self.daemon = process.name, process.daemon
        self.task = _name_of(child.named(process))
        # What this program has sent it.
        self._sent: set[int] = set()
        self._failure: Failure | None = None
        self._learnt, self._learning = False, threading.Lock()
        # The threads that wait for its end.
        self._waiting: set[int] = set()
        bags = luggage.Luggage()
        try:
            self._pool = _Pool(1, preload=_PRELOAD)
            self._begin(process, bags)
        finally:
            bags.close()
        _running.add(self)
        # Which also has what it logs and returns taken from it, when nobody waits.
        self._future.add_done_callback(lambda _: self.learn())

    def _begin(self, process: Any, bags: luggage.Luggage) -> None:
        try:
            with bags:
                arguments = bags.ticket(), luggage.tracker(), process
                self._future = self._pool.submit(child.live, *arguments)
            self._pool._shutdown(False)
            # From here on it is this process that the call is for: no other could take it over.
            pid = bags.meet(self._future)
            if pid is None:
                raise _reason(self._future.exception())
            self.pid = pid
            self._worker = _Worker(pid)
            self.sentinel = self._worker.sentinel
        except BaseException:
            self._pool._abort()
            raise

    def __reduce__(self) -> Any:
        """Go, within an object that has processes, as what others may know of one."""
        return Elsewhere, (self.pid,)

    def poll(self, _flags: int = 0) -> int | None:
        """Give the exit code, or None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait up to `timeout` seconds; give the exit code, or None."""
        if self.returncode is None:
            me = threading.get_ident()
            self._waiting.add(me)
            try:
                if self._worker._wait(timeout):
                    self.returncode = self._exit_code()
            finally:
                self._waiting.discard(me)
        return self.returncode

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._send(signal.SIGKILL)

    def interrupt(self) -> None:
        """Send SIGINT, which raises KeyboardInterrupt in it."""
        self._send(signal.SIGINT)

    def close(self) -> None:
        """Forget it; once it has ended."""
        if self._failure is not None:
            self._failure.tell()
        self._pool._join()

    def error(self) -> BaseException | None:
        """Once it has ended: give what `join` is to raise. From then on somebody has heard of it."""
        if not self._future.done() or self._future.cancelled():
            # The program is ending, and has given it up.
            return None
        self.learn()
        error = self._future.exception()
        if error is None or not self._is_failure(error):
            return None
        if self._failure is not None:
            self._failure.heard()
        return error

    def result(self) -> Any:
        """Once it has ended: give what the target returned, or None."""
        done = self._future.done() and not self._future.cancelled()
        return self._future.result() if done and self._future.exception() is None else None

    def tell(self) -> None:
        """Print what the process has raised as the stdlib does."""
        error = self._future.exception()
        if error is None or sys.stderr is None:
            return
        cause = error.__cause__
        if cause is not None and is_remote_traceback(cause):
            text = str(cause).strip().strip('"').strip("\n")
        else:
            text = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
        # At once, so that no other line comes between.
        print(f"Process {self.name}:\n{text}", file=sys.stderr, flush=True)

    def give_up(self) -> None:
        """End it, whatever it does."""
        self._sent.add(signal.SIGKILL)
        self._pool._abort()

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            self._sent.add(number)
            self._worker._send(number)

    def learn(self) -> None:
        """Once the call has ended, and once in all: see to what it has raised."""
        with self._learning:
            if self._learnt or not self._future.done() or self._future.cancelled():
                return
            self._learnt = True
            error = self._future.exception()
            if isinstance(error, WorkerDied):
                self._explain(error)
            if error is not None and self._is_failure(error):
                self._failure = Failure(self.tell, lambda: bool(self._waiting))

    def _is_failure(self, error: BaseException) -> bool:
        """Whether `join` is to raise it: not an exit, and not what this program has asked for."""
        if isinstance(error, child.Exited):
            return False
        return not (
            isinstance(error, WorkerDied) and (error.exitcode == 0 or self._our_signal(error) is not None)
        )

    def _our_signal(self, error: WorkerDied) -> int | None:
        """Give the signal of this program's that it died of, if it did."""
        if error.exitcode is None and self._sent:
            # Nobody can tell, since the nursery has died as well; SIGKILL nothing withstands.
            return max(self._sent, key=lambda number: (number == signal.SIGKILL, number))
        return error.signal if error.signal in self._sent else None

    def _exit_code(self) -> int:
        try:
            error = self._future.exception(_NEWS)
        except (TimeoutError, _cancelled()):
            return child.UNKNOWN
        if error is None:
            return 0
        if isinstance(error, child.Exited):
            return error.code
        if isinstance(error, WorkerDied):
            ours = self._our_signal(error)
            if ours is not None:
                return -ours
            return child.UNKNOWN if error.exitcode is None else error.exitcode
        return 1

    def _explain(self, error: WorkerDied) -> None:
        """Have the error name the process and its target, and not the worker and plait's own function."""
        mine = error.task
        if mine is not None and error.args and isinstance(error.args[0], str):
            text = error.args[0].replace(mine, self.task)
            named = text.replace(f"the worker process {self.pid}", f"{self.name} (process {self.pid})", 1)
            error.args = (named, *error.args[1:])
        error.task = self.task


class Elsewhere:
    """A process that another one has started: there is nothing to do with it here but to name it."""

    returncode = None

    def __init__(self, pid: int) -> None:
        """Name it."""
        self.pid = pid

    def poll(self) -> None:
        """Give nothing: its end is its parent's to see."""


class _Pool(ProcessPoolExecutor):
    """The worker of one process. When the program ends, `finish` sees to it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _exit._pools.discard(self)


def _name_of(function: Any) -> str:
    """What errors call a function; not the function, which may be large, or hold the process."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if isinstance(module, str) else str(name)


def _cancelled() -> type[BaseException]:
    from concurrent.futures import CancelledError

    return CancelledError


_SENT = {"args[2]._target": "target", "args[2]._args": "args", "args[2]._kwargs": "kwargs", "args[2]": "self"}


def _reason(error: BaseException | None) -> BaseException:
    """What kept a process from starting, in the words of who made it."""
    if error is None:
        return RuntimeError("the process has ended before it began")
    path, text = getattr(error, "path", None), str(error)
    if not isinstance(error, NotPicklable) or path is None:
        return error
    for mine, theirs in _SENT.items():
        if path.startswith(mine):
            path, text = theirs + path[len(mine) :], text.replace(mine, theirs, 1)
            break
    again = NotPicklable(text.replace(_TO_EXECUTORS, ""))
    again.path = path
    again.__cause__ = error.__cause__
    return again


# How executors are to be given locks; here they are arguments.
_TO_EXECUTORS = ", and give it to the executor's initializer, in its initargs"


_running: "weakref.WeakSet[Popen]" = weakref.WeakSet()


def finish() -> None:
    """As multiprocessing does when a program ends: end daemons, wait for others. After Ctrl-C end all."""
    from multiprocessing import process

    running = [popen for popen in _running if popen.poll() is None]
    try:
        if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
            # At a terminal they have heard it themselves; twice would disturb who tidies up.
            _wait_for(running, _GRACE / 2)
            _end(running, signal.SIGINT)
        else:
            daemons = [popen for popen in running if popen.daemon]
            for popen in daemons:
                popen.terminate()
            for popen in running:
                if not popen.daemon:
                    popen.wait()
            _end(daemons, None)
    except BaseException:
        with _exit._Shield():
            _end(running, None)
        raise
    finally:
        for popen in list(_running):
            popen.learn()
        # Their `join`, which multiprocessing would call, may raise.
        mine: Any = process
        for one in [one for one in mine._children if isinstance(one._popen, Popen)]:
            mine._children.discard(one)


def _end(popens: list[Popen], number: signal.Signals | None) -> None:
    """End these, with a moment to do so by themselves."""
    if number is not None:
        for popen in popens:
            popen._send(number)
    for popen in _wait_for(popens, _GRACE):
        popen.give_up()


def _wait_for(popens: list[Popen], seconds: float) -> list[Popen]:
    """Give those that have not ended by then."""
    deadline = time.monotonic() + seconds
    return [popen for popen in popens if popen.wait(max(0.0, deadline - time.monotonic())) is None]


def _at_exit() -> None:
    if _depth.depth and (running := list(_running)):
        # A worker that ends has waited for what its calls have left behind as long as it may.
        _end(running, signal.SIGTERM)
    else:
        finish()


def _forget() -> None:
    # They are the parent's.
    from multiprocessing import process

    _running.clear()
    mine: Any = process
    for one in [one for one in mine._children if isinstance(one._popen, Popen)]:
        mine._children.discard(one)


# Runs before multiprocessing's own, which was registered when `child` was imported.
atexit.register(_at_exit)
os.register_at_fork(after_in_child=_forget)
