"""The one debugger that the threads of a process share since Python 3.14, one after the other.

`pdb` forgets a `breakpoint()` that a thread meets while another is at its prompt. Here it waits until that
one has been left, by `continue` or `quit`, or by the end of its thread.
"""

import functools
import os
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

# Seconds between two looks at whether the thread that has it has ended, or has come out of it.
_LOOK = 0.05
_SHORT_LOOK = 0.001

_changed = threading.Condition()
_has_it: threading.Thread | None = None


def in_turns(set_trace: Callable[..., Any], wait: Callable[[FrameType], object]) -> Callable[..., Any]:
    """`pdb.Pdb.set_trace` that has it first; `wait` is called once if another thread has it."""

    @functools.wraps(set_trace)
    def in_turn(self: Any, frame: FrameType | None = None, **kwargs: Any) -> Any:
        caller = frame or sys._getframe(1)
        _take(self, lambda: wait(caller))
        return set_trace(self, caller, **kwargs)

    return in_turn


def _take(debugger: Any, wait: Callable[[], object]) -> None:
    global _has_it
    me = threading.current_thread()
    is_told = False
    while True:
        with _changed:
            if _has_it is me:
                return
            if _has_it is None or not _has_it.is_alive():
                if debugger.enterframe is not None:
                    # Another thread has left it, and is still on its way out.
                    _changed.wait(_SHORT_LOOK)
                    continue
                _has_it = me
                return
            if is_told:
                _changed.wait(_LOOK)
                continue
        is_told = True
        wait()


def leave() -> None:
    """Let another thread have it, if this one does."""
    global _has_it
    with _changed:
        if _has_it is threading.current_thread():
            _has_it = None
            _changed.notify()


def _forget() -> None:
    # Another thread of the parent's may have held it.
    global _changed
    _changed = threading.Condition()


os.register_at_fork(after_in_child=_forget)
