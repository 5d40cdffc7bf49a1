"""`plait.watch_gil`: hear of it when a call keeps the GIL while other threads wait.

Looking is done by a native thread (plait-observe), which goes on while no Python can run. A thread of
Python's tells what it found. C functions are named by a child process, for no process can stop a thread of
its own.
"""

import atexit
import math
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from plait import _core

if TYPE_CHECKING:
    import subprocess


@dataclass(frozen=True)
class GilHeld:
    """A thread kept the GIL in one native call while others waited for it.

    Attributes:
        thread: The name of the thread.
        thread_id: Its number in the system, as `threading.get_native_id()` gives it.
        seconds: For how long it kept the GIL.
        waiters: How many threads waited for it, at most.
        function: The C function that Python called, or "garbage collection"; None where that is not known.
        stack: The Python calls, the innermost first, each as `file:line function`.
        unnamed: Why `function` is None, in one line.

    """

    __module__ = "plait"

    thread: str
    thread_id: int
    seconds: float
    waiters: int
    function: str | None
    stack: tuple[str, ...]
    unnamed: str | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        inside = f" in {self.function}" if self.function else ""
        at = f" at {self.stack[0]}" if self.stack else ""
        # Where the call is in a library, the line that went there is of more use.
        if (own := _own_call(self.stack)) not in (None, *self.stack[:1]):
            at += f", called from {own},"
        who = f"{self.waiters} thread{'s' * (self.waiters != 1)}"
        return f"{self.thread} held the GIL for {_span(self.seconds)}{inside}{at} while {who} waited"


def watch_gil(
    limit: float = 0.1,
    callback: Callable[[GilHeld], object] | None = None,
    *,
    name_functions: bool = True,
) -> "GilWatch":
    """Tell when native code held the GIL for longer than `limit` seconds while other threads waited.

    Every hold is told once, when it is over: nothing else can run before. Python code lets go of the GIL when
    others wait, so it is never told, however long it runs; native code that holds the GIL while nobody wants
    it is not told either.

    Args:
        limit: Seconds that others may be kept waiting. Below four switch intervals
            (`sys.getswitchinterval()`, so 0.02 by default) it counts as that.
        callback: Called with each hold, in a thread of plait's. What it raises is logged. Without one, each
            hold is a warning of the logger "plait".
        name_functions: Keep a small child process that names the C function. Without it the line of Python is
            told alone.

    Returns:
        A handle: `stop()` ends it, and so does leaving it as a context manager.

    Raises:
        ValueError: `limit` is not above 0.
        TypeError: `limit` is no number, or `callback` cannot be called.
        plait.PlaitError: The GIL cannot be read here, or there is none; the message says why.

    """
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise TypeError(f"limit must be a number of seconds, not {type(limit).__name__}")
    if not 0 < limit < math.inf:
        raise ValueError(f"limit must be above 0 seconds, not {limit}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, and {type(callback).__name__} is not")
    watch = GilWatch(float(limit), callback)
    _begin(watch, name_functions)
    return watch


class GilWatch:
    """What `plait.watch_gil` returns: watches until `stop()`, or until its `with` block ends."""

    __module__ = "plait"

    def __init__(self, limit: float, callback: Callable[[GilHeld], object] | None) -> None:
        """Nothing happens yet; `plait.watch_gil` begins."""
        self.limit = limit
        self._callback = callback

    def stop(self) -> None:
        """End it. A callback that runs just now goes on, and no other begins.

        Without effect when it was called before, and in a process that was forked since.
        """
        _end(self)

    def __enter__(self) -> "GilWatch":
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()

    def _tell(self, held: GilHeld) -> None:
        try:
            if self._callback is not None:
                self._callback(held)
            else:
                _logger().warning("%s", held)
        except BaseException:
            # Nobody else would hear of it, and the next hold is to be told all the same.
            _logger().exception("the callback of plait.watch_gil failed for: %s", held)


class _Watcher:
    """What all handles share: the native thread, the one that tells, the process that names functions."""

    def __init__(self, limit: float) -> None:
        self.watches: list[GilWatch] = []
        self.holds = _core.GilHolds(limit)
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._is_over = False
        thread = threading.Thread(target=self._tell, name="plait-tell-gil", daemon=True)
        try:
            thread.start()
        except BaseException:
            self.holds.stop()
            raise

    def adjust(self) -> None:
        """The handles have changed."""
        self.holds.set_limit(min(watch.limit for watch in self.watches))

    def name_functions(self) -> None:
        """Start the process that does, unless there is one or none can be had: then lines are told alone."""
        with self._starting:
            if self._process is None and not self._is_over:
                self._process = _start_namer(self.holds)

    def end(self) -> None:
        """End all of it."""
        with self._starting:
            self._is_over = True
            self.holds.stop()
            if self._process is not None:
                _end_namer(self._process)

    def forget(self) -> None:
        """Nothing of it is in this process, which is a fork."""
        if self._process is not None:
            # Not our child: nobody is to wait for it.
            self._process.returncode = 0

    def _tell(self) -> None:
        self.holds.leave_out_this_thread()
        while (found := self.holds.next()) is not None:
            if found["missed"]:
                _logger().warning(
                    "%d holds of the GIL were not told: the callbacks take too long", found["missed"]
                )
            held = GilHeld(
                _name_of(found["thread_id"]),
                found["thread_id"],
                found["seconds"],
                found["waiters"],
                found["function"],
                tuple(found["stack"]),
                found["unnamed"],
            )
            for watch in tuple(self.watches):
                if held.seconds >= watch.limit and watch in self.watches:
                    watch._tell(held)


_lock = threading.Lock()
_watcher: _Watcher | None = None


def _begin(watch: GilWatch, name_functions: bool) -> None:
    global _watcher
    with _lock:
        if _watcher is None:
            _watcher = _Watcher(watch.limit)
        watcher = _watcher
        watcher.watches.append(watch)
        watcher.adjust()
    if name_functions:
        watcher.name_functions()


def _end(watch: GilWatch) -> None:
    global _watcher
    with _lock:
        watcher = _watcher
        if watcher is None or watch not in watcher.watches:
            return
        watcher.watches.remove(watch)
        if watcher.watches:
            watcher.adjust()
            return
        _watcher = None
    watcher.end()


@atexit.register
def _end_all() -> None:
    """At the end of the program, while threads still can be waited for."""
    global _watcher
    with _lock:
        watcher, _watcher = _watcher, None
    if watcher is not None:
        watcher.watches.clear()
        watcher.end()


def _in_child() -> None:
    global _lock, _watcher
    _lock = threading.Lock()
    if _watcher is not None:
        _watcher.forget()
        _watcher = None


os.register_at_fork(after_in_child=_in_child)


def _start_namer(holds: "_core.GilHolds") -> "subprocess.Popen[bytes] | None":
    """Start the process that names C functions; None where that is impossible."""
    import subprocess

    if not sys.executable:
        return None
    questions, answers = os.pipe(), os.pipe()
    code = (
        f"import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = {sys.path!r}; "
        f"from plait._core import name_functions; name_functions({os.getpid()}, {questions[0]}, {answers[1]})"
    )
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    nowhere = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            [sys.executable, *flags, "-S", "-c", code],
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
            pass_fds=(questions[0], answers[1]),
            # Ctrl-C at the terminal is not for it.
            process_group=0,
        )
    except OSError:
        os.close(questions[1])
        os.close(answers[0])
        return None
    finally:
        os.close(questions[0])
        os.close(answers[1])
    holds.name_by(process.pid, questions[1], answers[0])
    return process


def _end_namer(process: "subprocess.Popen[bytes]") -> None:
    """Wait for its end, which it was told by the native thread's last word."""
    import subprocess

    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# Seconds that the process which names functions has to end.
_PATIENCE = 2.0


def _own_call(stack: tuple[str, ...]) -> str | None:
    """The innermost call that is in no library."""
    libraries = (os.path.dirname(os.__file__), "<frozen ")
    return next((call for call in stack if not call.startswith(libraries)), None)


def _name_of(tid: int) -> str:
    """The name of a thread, as Python or the system knows it."""
    # One that has ended meanwhile is among the others, as long as somebody knows it.
    for thread in (*threading.enumerate(), *getattr(threading, "_dangling", ())):
        if thread.native_id == tid:
            return str(thread.name)
    try:
        with open(f"/proc/self/task/{tid}/comm") as file:
            return file.read().strip()
    except OSError:
        return f"thread {tid}"


def _logger() -> Any:
    import logging

    return logging.getLogger("plait")


def _span(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
