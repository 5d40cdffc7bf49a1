"""The process of a `plait.Process`, from inside."""

import itertools
import signal
import sys
import threading
from multiprocessing import process, util
from typing import Any

from plait import _core
from plait._one import luggage

# What an exit code is where nobody knows it, as for the stdlib's processes of a fork server.
UNKNOWN = 255


class Exited(BaseException):
    """The process has ended with this exit code, and neither result nor error."""

    def __init__(self, code: int) -> None:
        """Says so."""
        super().__init__(code)
        self.code = code


def live(_ticket: object, _tracker: object, me: process.BaseProcess) -> Any:
    """Be the process `me`: give what its `run` returns. All has connected and arrived by now."""
    luggage.settle()
    _become(me)
    try:
        try:
            return _core.call_as(named(me), me.run, ())
        finally:
            _finish()
    except SystemExit as error:
        raise Exited(_code(error)) from None
    except KeyboardInterrupt:
        raise Exited(1) from None
    finally:
        _hear_interrupts(False)


def named(me: Any) -> Any:
    """The function that stands for a process where tasks are shown."""
    return getattr(me, "_target", None) or type(me).run


def _become(me: Any) -> None:
    """Be, to multiprocessing, the process that the parent has made."""
    inside: Any = process
    inside._process_counter = itertools.count(1)
    inside._children = set()
    inside._current_process = me
    if inside._parent_process is not None:
        inside._parent_process._name = me._parent_name
    finalizers: Any = util
    finalizers._finalizer_registry.clear()
    finalizers._run_after_forkers()
    if (logs := sys.modules.get("plait._logs")) is not None:
        logs.name_process(me.name)
    _hear_interrupts(True)


def _hear_interrupts(hear: bool) -> None:
    """Whether Ctrl-C raises KeyboardInterrupt here, unless the program has said otherwise."""
    now = signal.getsignal(signal.SIGINT)
    if hear and now is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    elif not hear and now is signal.default_int_handler:
        signal.signal(signal.SIGINT, _unheard)


def _unheard(*_: object) -> None:
    """Do nothing about Ctrl-C: the process is ending."""


def _finish() -> None:
    """As every child of multiprocessing's: end daemons, wait for children and threads."""
    if (birth := sys.modules.get("plait._one.birth")) is not None:
        birth.finish()
    ends: Any = util
    ends._exit_function()
    while others := [thread for thread in threading.enumerate() if not _is_left(thread)]:
        for thread in others:
            # Not its own `join`, which may raise.
            threading.Thread.join(thread)


def _is_left(thread: threading.Thread) -> bool:
    return thread.daemon or thread is threading.current_thread() or thread is threading.main_thread()


def _code(error: SystemExit) -> int:
    code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        # As the system keeps it.
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1
