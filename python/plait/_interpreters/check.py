"""What cannot be loaded in a sub-interpreter, told before any call is made there."""

import sys
import weakref
from collections.abc import Callable
from typing import Any

from plait._asyncio.kind import name_of
from plait._interpreters import check_version, inside
from plait._interpreters.byvalue import dumped
from plait._interpreters.executor import made, opened

# Functions that were loaded in one.
_loaded: "weakref.WeakSet[Any]" = weakref.WeakSet()


def check(fn: Callable[..., Any]) -> None:
    """Load a function in a sub-interpreter of its own, with the modules that it names, and end that.

    Modules that only a call imports are met by that call, which fails with the same error.

    Raises:
        ImportError: a module refuses; `name` is which.
        plait.NotPicklable: the function cannot be sent.
        ValueError: Python is older than 3.14.

    """
    check_version()
    try:
        if fn in _loaded:
            return
    except TypeError:
        pass
    from plait import _core

    try:
        function = dumped(fn)
    except Exception:
        # It says which part is in the way.
        _core.codec.encode_direct(fn, ())
        raise
    interpreter = made(list(sys.path))
    try:
        opened(interpreter.call(inside.load, function), name_of(fn))
    finally:
        interpreter.close()
    try:
        _loaded.add(fn)
    except TypeError:
        pass
