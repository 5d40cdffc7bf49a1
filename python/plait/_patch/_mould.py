"""The mould: a process forked from the program when it makes a pool, of which the pool's workers are forks.

The standard library's fork pools give their workers all that the program had at that moment: changed
globals of any module, locks and queues of multiprocessing, open descriptors, an initializer that no pickle
could hold. So do these. To the engine the mould is a nursery like any other, which somebody else has started.

Promises: the program is forked once for each pool, in the thread that makes it, and the child goes on with
one thread; the mould is gone when the pool is, or the program.
"""

import atexit
import itertools
import os
import select
import signal
import socket
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import NoReturn

# Seconds between two looks whether the pool is over, when there is nothing to do.
GLANCE = 0.5

_living: "weakref.WeakSet[Mould]" = weakref.WeakSet()


class Mould:
    """The program's end of a mould.

    `work` is called in each worker, in the mould's child, with the nursery's server and the worker's number,
    counted from 0; it must not return.
    """

    def __init__(self, work: Callable[[object, int], NoReturn]) -> None:
        """Fork. Raises the OSError of a fork that the system refuses."""
        self._socket, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        # They block, whatever `socket.setdefaulttimeout` says.
        self._socket.setblocking(True)
        watched, self._held = os.pipe()
        _flush()
        try:
            with warnings.catch_warnings():
                # Of other threads of the program, and of those of plait's engine, which are prepared for it.
                warnings.simplefilter("ignore", DeprecationWarning)
                self.pid = os.fork()
        except OSError:
            self._socket.close()
            theirs.close()
            os.close(watched)
            os.close(self._held)
            raise
        if self.pid == 0:
            _live(theirs, watched, [self._socket.fileno(), self._held], work)
        theirs.close()
        os.close(watched)
        self._process = os.pidfd_open(self.pid)
        self._owner = os.getpid()
        self._lock = threading.Lock()
        _living.add(self)

    def fileno(self) -> int:
        """The socket to it, for the engine to make its own; until `opened` is called."""
        return self._socket.fileno()

    def opened(self) -> None:
        """The engine has the socket."""
        self._socket.close()

    def let_go(self) -> None:
        """Have it end when its last worker has; nobody waits for that."""
        if self._close():
            threading.Thread(target=self._reap, name="plait-mould", daemon=True).start()

    def end(self) -> None:
        """End it now. Its workers have ended."""
        first = self._close()
        with self._lock:
            if self._process >= 0 and os.getpid() == self._owner:
                try:
                    signal.pidfd_send_signal(self._process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if first:
            self._reap()

    def _close(self) -> bool:
        """Let go of the pipe that it watches; whether this was the first time, in who forked it."""
        if os.getpid() != self._owner:
            return False
        with self._lock:
            held, self._held = self._held, -1
        if held < 0:
            return False
        os.close(held)
        return True

    def _reap(self) -> None:
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            # The program has waited for all its children.
            pass
        with self._lock:
            os.close(self._process)
            self._process = -1

    def _forget(self) -> None:
        """In a child of the program: the mould is not its own."""
        self._lock = threading.Lock()
        held, self._held = self._held, -1
        if held >= 0:
            os.close(held)


def _forget_all() -> None:
    for mould in list(_living):
        mould._forget()
    _living.clear()


os.register_at_fork(after_in_child=_forget_all)


def _flush() -> None:
    """What the program has printed is its own to write, once."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass


def _live(theirs: socket.socket, watched: int, others: list[int], work: Callable) -> NoReturn:
    """The life of the mould, which is just forked."""
    code = 1
    try:
        for fd in others:
            os.close(fd)
        # Those are the program's. What a fork registers in its child is a worker's own.
        atexit._clear()
        code = _serve(theirs, watched, work)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _unheard(*_: object) -> None:
    """What to do about Ctrl-C at the terminal is the program's business."""


def _serve(theirs: socket.socket, watched: int, work: Callable) -> int:
    # An event loop of the program must not hear of the mould's signals, nor any handler of it.
    try:
        signal.set_wakeup_fd(-1)
    except ValueError:
        pass
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _unheard)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGCHLD)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)

    from plait._core import NurseryServer

    try:
        server = NurseryServer(theirs.detach())
    except SystemExit:
        # The program has given the pool up.
        return 0
    children: list[int] = []
    for number in itertools.count():
        while (order := server.next_order(GLANCE)) == "idle":
            children = [pid for pid in children if _lives(pid)]
            if not children and _is_closed(watched):
                return 0
        if order == "over":
            return 0
        try:
            pid = os.fork()
        except OSError as error:
            server.failed(error.errno or 11)
            continue
        if pid == 0:
            os.close(watched)
            for signum, handler in before.items():
                if handler is not None:
                    signal.signal(signum, handler)
            work(server, number)
        children.append(pid)
        server.forked(pid)
    raise AssertionError("itertools.count has no end")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_closed(fd: int) -> bool:
    # Nobody ever writes to it: there is something to read when the other end is closed.
    return bool(select.select([fd], [], [], 0)[0])
