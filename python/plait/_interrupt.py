"""Tells a signal that arrived while foreign code ran from that code's own misbehaviour.

Pickling and unpickling run the code of the objects at hand. A `SystemExit` of theirs fails the one call they
belong to; Ctrl-C, or a handler that exits, must get through. Loaded when one of the two has happened.
"""

import opcode
import signal
import threading

from plait._errors import CallStopped

_RAISES = {opcode.opmap[name] for name in ("RAISE_VARARGS", "RERAISE")}

# Whatever a class says about itself.
_traceback_of = BaseException.__dict__["__traceback__"].__get__


def is_interrupt(error: BaseException) -> bool:
    """Whether a signal's handler raised it, rather than the code that the signal interrupted."""
    kind = type(error)
    # Asked in a thread that Python did not start, `current_thread` makes an object that stays in its lists.
    if threading.get_ident() != threading.main_thread().ident:
        return False
    traceback = _traceback_of(error)
    # Without one it was not raised here, but came from another process as a value.
    if traceback is not None and issubclass(kind, CallStopped):
        return True
    frame, at = None, -1
    handlers = _handlers()
    while traceback is not None:
        frame, at = traceback.tb_frame, traceback.tb_lasti
        if id(frame.f_code) in handlers:
            return True
        traceback = traceback.tb_next
    if frame is None or not issubclass(kind, KeyboardInterrupt):
        return False
    # Python's own handler leaves no frame: it strikes between instructions, where nothing is raised by name.
    return (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
        and frame.f_code.co_code[at] not in _RAISES
    )


def _handlers() -> set[int]:
    """The code objects, by id, of the handlers that are installed."""
    found = set()
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        code = getattr(getattr(handler, "__func__", handler), "__code__", None)
        if code is not None:
            found.add(id(code))
    return found
