"""Debuggers of many processes and threads, which share the program's one terminal.

`breakpoint()`, `pdb.set_trace()` and whatever else is made of `pdb.Pdb` open in a worker as they do in the
program: on its terminal, or, where it has none, with what its standard input brings. Promises: one debugger
has the terminal at a time, in workers, in their workers, and in the program's own threads; the others say who
they are and wait in line. At a worker's prompt Ctrl-C belongs to the debugger, which goes on; the rest of the
program does not hear it. A call's time stands still while its debugger is open. A death gives the turn up.

Who is next is decided in the program's process, by `plait._core`.
"""

import functools
import importlib
import io
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any

from plait import _core, _inherit, _one_debugger, _output

_NO_INPUT = (
    "breakpoint() in a worker process found no terminal, and nothing on the program's standard input, to "
    'take commands from: run the program in a terminal, or make the call with backend="serial", where '
    "breakpoint() and, after a failure, pdb.pm() are at home"
)

_here = threading.local()
_loop: "_core.WorkerLoop | None" = None
_name = ""

# The prompts of this process that are open or waited for.
_prompts: set["_Prompt"] = set()
# How much of a call's time was used when it began to stand still, in nanoseconds.
_used: int | None = None
_shared = False


def share() -> None:
    """Have debuggers of this program's process wait for their turn, as those of its workers do."""
    global _shared
    if not _shared:
        _shared = True
        if sys.__stdin__ is None:
            _core.without_stdin()
        _inherit.when_imported("pdb", _adopt)


def open_in_worker(loop: "_core.WorkerLoop", name: str) -> None:
    """In a new worker, called `name`: have its debuggers open on the program's terminal."""
    global _loop, _name
    _loop, _name = loop, name
    share()
    if sys.breakpointhook is sys.__breakpointhook__:
        # No function of Python's: debuggers look for the caller's frame.
        sys.breakpointhook = functools.partial(_core.breakpoint_after, _offer_input)


def after_call() -> None:
    """After a call of a worker that had a debugger open, or printed the beginning of a line: end both."""
    _output.flush()
    if type(sys.stdin) is _Asking:
        sys.stdin = sys.__stdin__
    seat = getattr(_here, "seat", None)
    if seat is None:
        return
    _stop_stepping()
    _one_debugger.leave()
    seat.leave()


def _stop_stepping() -> None:
    """Have a debugger that was left in the middle of its steps go no further: into the next call."""
    bdb = sys.modules.get("bdb")
    if bdb is not None and isinstance(getattr(sys.gettrace(), "__self__", None), bdb.Bdb):
        sys.settrace(None)
    last: Any = getattr(getattr(sys.modules.get("pdb"), "Pdb", None), "_last_pdb_instance", None)
    tracer = getattr(last, "monitoring_tracer", None)
    if tracer and getattr(tracer._tracing_thread, "_ident", 0) == threading.get_ident():
        tracer._tracing_thread = None
        last.stop_trace()


def _adopt(pdb: ModuleType) -> None:
    """Have each prompt of `pdb.Pdb` wait for its turn."""
    kind = pdb.Pdb
    interaction = kind.interaction

    @functools.wraps(interaction)
    def interact(self: Any, frame: FrameType | None, *args: Any, **kwargs: Any) -> Any:
        if _loop is not None:
            # Its handler, which stays after `continue`, would take the Ctrl-C that ends the program.
            self.nosigint = True
            # Behind the last line of a call there is nothing to see.
            self.skip = {*(self.skip or ()), "plait", "plait.*"}
        with _Prompt(frame or _raised_in(*args, **kwargs), self):
            return interaction(self, frame, *args, **kwargs)

    def leaving(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def leave(self: Any) -> Any:
            try:
                return method(self)
            finally:
                seat = getattr(_here, "seat", None)
                if seat is not None:
                    seat.leave()
                _one_debugger.leave()

        return leave

    def quitting(method: Callable[..., Any]) -> Callable[..., Any]:
        def quit(self: Any, arg: str) -> Any:
            # Since Python 3.14 it asks whether to kill the process. In a worker it ends the call, as before.
            self.mode = None
            return method(self, arg)

        return functools.wraps(method)(quit)

    kind.interaction = interact
    if hasattr(kind, "_last_pdb_instance"):
        kind.set_trace = _one_debugger.in_turns(kind.set_trace, lambda frame: _Prompt(frame)._wait())
        if _loop is not None:
            kind.do_quit = kind.do_q = kind.do_exit = quitting(kind.do_quit)
    kind.set_continue = leaving(kind.set_continue)
    kind.set_quit = leaving(kind.set_quit)


def _raised_in(raised: Any = None, *_: Any, **__: Any) -> FrameType:
    """Where an exception was raised, which is given as such or as its traceback."""
    traceback = getattr(raised, "__traceback__", raised)
    while getattr(traceback, "tb_next", None) is not None:
        traceback = traceback.tb_next
    found: FrameType = getattr(traceback, "tb_frame", None) or sys._getframe(1)
    return found


class _Seat:
    """A thread's place in the line for the terminal, from its first prompt until its debugger is left."""

    def __init__(self) -> None:
        import socket

        self._socket, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        self._socket.setblocking(True)
        with theirs:
            _core.ask_terminal(theirs.fileno())
        self.process = os.getpid()
        self.is_new = True
        self.at_prompt = False
        self._is_left = False
        if _loop is not None and (used := _loop.stop_clock()) is not None:
            global _used
            _used = used

    def take(self, wait: Callable[[], object]) -> int:
        """Wait for the terminal; give a descriptor of the standard input, or -1.

        `wait` is called if another has it.
        """
        import socket

        self._socket.send(b"h" if _loop is None else b"p")
        while True:
            word, fds, *_ = socket.recv_fds(self._socket, 1, 1, socket.MSG_CMSG_CLOEXEC)
            if word == b"y":
                self.at_prompt = True
                return fds[0] if fds else -1
            if word != b"w":
                raise RuntimeError(
                    "the debugger cannot have the terminal: the process that gives it has ended, or may "
                    'start no thread; debug the call with backend="serial"'
                )
            self.is_new = True
            wait()

    def give_back(self) -> None:
        """Say that the prompt is over."""
        self.at_prompt = self.is_new = False
        try:
            self._socket.send(b"d")
            # From then on Ctrl-C is the program's again.
            heard = self._socket.recv(1)
        except OSError:
            heard = b""
        except BaseException:
            self.close()
            raise
        if self._is_left or not heard:
            self.close()

    def leave(self) -> None:
        """Leave the line, when the prompt is over."""
        self._is_left = True
        if not self.at_prompt:
            self.close()

    def close(self) -> None:
        """Leave the line at once."""
        self._socket.close()
        global _used
        if _loop is not None and _used is not None and not _prompts:
            _loop.start_clock(_used)
            _used = None
        if getattr(_here, "seat", None) is self:
            del _here.seat


class _Prompt:
    """The terminal, or what there is instead, as this process's standard streams, for one prompt."""

    def __init__(self, frame: FrameType, debugger: Any = None) -> None:
        """`debugger`: what Ctrl-C asks whether it may raise."""
        self._frame = frame
        self._debugger = debugger
        self._seat: _Seat | None = None
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> None:
        seat: _Seat | None = getattr(_here, "seat", None)
        if seat is not None and seat.process != os.getpid():
            # That of the process that this one was forked from.
            seat = None
        if seat is not None and seat.at_prompt:
            # A debugger in a debugger.
            return
        _prompts.add(self)
        try:
            if seat is None:
                seat = _here.seat = _Seat()
            self._seat = seat
            given = seat.take(self._wait)
        except (OSError, RuntimeError):
            self.__exit__()
            if _loop is not None:
                raise
            # The program's own debugger opens whatever happens.
            return
        except BaseException:
            self.__exit__()
            raise
        try:
            if _loop is not None:
                _loop.keep(b"", True)
                self._connect(given, seat.is_new)
                if seat.is_new:
                    print(f"plait: debugger in {self._who()}", flush=True)
        except BaseException:
            seat.leave()
            self.__exit__()
            raise
        finally:
            if given >= 0:
                os.close(given)

    def __exit__(self, *_: object) -> None:
        while self._undo:
            self._undo.pop()()
        _prompts.discard(self)
        if self._seat is not None and self._seat.at_prompt:
            self._seat.give_back()
        elif self._seat is not None:
            self._seat.close()

    def _wait(self) -> None:
        print(f"plait: {self._who()} waits for the terminal, which another debugger has", file=sys.stderr)

    def _who(self) -> str:
        """Which worker, which task, and where."""
        if _loop is None:
            worker = f"thread {threading.current_thread().name}"
        else:
            process = sys.modules.get("multiprocessing.process")
            name = _name if process is None else process.current_process().name
            worker = f"{name} (process {os.getpid()})"
        task: FrameType = self._frame
        while (caller := task.f_back) is not None:
            if str(caller.f_globals.get("__name__")).partition(".")[0] in ("plait", "threading"):
                break
            task = caller
        at = f"{self._frame.f_code.co_filename}:{self._frame.f_lineno}"
        return f"{worker}, in {task.f_code.co_qualname}, at {at}"

    def _connect(self, given: int, is_new: bool) -> None:
        """Make the terminal the standard streams; where there is none, `given` the input."""
        _output.flush()
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            terminal = -1
        if terminal < 0 and os.isatty(given):
            terminal = os.dup(given)
        if terminal < 0:
            if given < 0 or (is_new and _is_at_end(given)):
                raise RuntimeError(_NO_INPUT)
            source: Any = _Lines(os.dup(given))
        else:
            with os.fdopen(terminal, "rb", buffering=0):
                self._put(terminal, 0)
                for fd in (1, 2):
                    if not os.isatty(fd):
                        self._put(terminal, fd)
            # By this number the interpreter knows that lines can be edited.
            source = open(0, closefd=False)  # noqa: SIM115
        self._undo.append(source.close)
        self._undo.append(functools.partial(setattr, sys, "stdin", sys.stdin))
        sys.stdin = source
        if threading.current_thread() is threading.main_thread():
            import signal

            before = signal.signal(signal.SIGINT, self._on_interrupt)
            self._undo.append(functools.partial(signal.signal, signal.SIGINT, before))

    def _put(self, terminal: int, fd: int) -> None:
        """Have the terminal under this number."""
        try:
            before = os.dup(fd)
        except OSError:
            self._undo.append(functools.partial(os.close, fd))
        else:

            def restore() -> None:
                os.dup2(before, fd)
                os.close(before)

            self._undo.append(restore)
        os.dup2(terminal, fd)

    def _on_interrupt(self, *_: object) -> None:
        """Do about Ctrl-C what pdb does."""
        if getattr(self._debugger, "allow_kbdint", True):
            raise KeyboardInterrupt


def _is_at_end(fd: int) -> bool:
    """Whether there is nothing to read from it, and never will be."""
    import select
    import stat

    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode):
        return os.lseek(fd, 0, os.SEEK_CUR) >= status.st_size
    if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)):
        # Such as /dev/null.
        return True
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(not event & select.POLLIN for _, event in poll.poll(0))


class _Lines(io.TextIOBase):
    """Lines of a descriptor that others read as well: not a byte more is taken than is asked for."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        line = bytearray()
        while not line.endswith(b"\n") and len(line) != size:
            byte = self._file.read(1)
            if not byte:
                break
            line += byte
        return line.decode(errors="replace")

    def close(self) -> None:
        self._file.close()
        super().close()


class _Asking(io.TextIOBase):
    """The standard input for debuggers that are not made of `pdb.Pdb`: each line has a turn of its own."""

    def readable(self) -> bool:
        return True

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        with _Prompt(sys._getframe(1)):
            return sys.stdin.readline(size)


def _offer_input() -> None:
    """`breakpoint()` is about to call whatever the user wants it to."""
    named = os.environ.get("PYTHONBREAKPOINT")
    if _loop is None or named == "0":
        return
    if named and named != "pdb.set_trace":
        sys.stdin = _Asking()
        _loop.keep(b"", True)
    elif "pdb" not in sys.modules and not _prompts and (used := _loop.stop_clock()) is not None:
        try:
            importlib.import_module("pdb")
        finally:
            _loop.start_clock(used)
