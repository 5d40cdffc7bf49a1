"""Whether calls may go to sub-interpreters by choice: what can be said of it before one is started.

A program that names the backend knows what it does. Where plait chooses, calls go there only if nothing is
lost by it: only what is Python code or the standard library's, and nothing that shows in this process alone.
What is not seen here is seen there: a function that does not load goes elsewhere before a call of it was
made. Nothing of the user's is run, and no module is loaded.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextvars import Context
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType
from typing import Any

from plait import _depth, _own, _state
from plait._auto import priors
from plait._state.safe import PLAIN, member, module_of

# Seconds for a function to be loaded there; one that takes longer has not begun then, and goes elsewhere.
PATIENCE = 0.25

# Modules that are looked through, at most.
_MODULES = 200

# Functions whose verdict is remembered; the oldest is forgotten first.
_MOST = 512

# What a call does that shows in the program, or that a part of it can take back, by names in the code.
_TELLING = {
    "it prints": ("print", "stdout", "stderr", "input", "breakpoint", "set_trace"),
    "it warns": ("warn", "warn_explicit"),
    "it may change what belongs to the whole process": (
        *("chdir", "fchdir", "environ", "putenv", "unsetenv", "umask", "setlocale", "setrlimit", "signal"),
    ),
}
_NAMES = {name: why for why, names in _TELLING.items() for name in names}

_lock = threading.Lock()
_verdicts: dict[Hashable, str | None] = {}


def pool_state(context: Context) -> str | None:
    """Whether there are interpreters: "warm", "cold", or None where calls of this program cannot go there."""
    if sys.version_info < (3, 14) or _depth.depth or _own.current() is not None:
        return None
    # Neither context variables nor log records find their way.
    if _is_logged() or _has_variables(context):
        return None
    from plait._kept import is_warm

    return "warm" if is_warm("interpreters") else "cold"


def _is_logged() -> bool:
    """Whether somebody may want the log records of calls."""
    if "logging" not in sys.modules:
        return False
    from plait import _logs

    return _logs.of_program() is not None


def _has_variables(context: Context) -> bool:
    if not len(context):
        return False
    from plait import _context

    return _context.goes(context)


def why_not(fn: Callable[..., Any], look: Any, calls: list[Any], results: list[Any]) -> str | None:
    """Why the function is not to go there, or None; asked once for each function in a program.

    `look` is what was seen of it, if something was; `calls` and `results` are those that were measured.
    """
    key = priors.key_of(fn)
    with _lock:
        if key in _verdicts:
            return _verdicts[key]
    try:
        found = _found(fn, look or _state.look(fn), calls, results)
    except Exception as error:
        found = f"it could not be looked at ({type(error).__name__}: {error})"
    keep(fn, found)
    return found


def keep(fn: Callable[..., Any], verdict: str | None) -> None:
    """Remember what was found, here or by loading it."""
    with _lock:
        key = priors.key_of(fn)
        _verdicts.pop(key, None)
        _verdicts[key] = verdict
        if len(_verdicts) > _MOST:
            del _verdicts[next(iter(_verdicts))]


def _found(fn: Callable[..., Any], look: Any, calls: list[Any], results: list[Any]) -> str | None:
    names: set[str] = set()
    values: list[Any] = [fn, getattr(fn, "__self__", None)]
    for function in look.functions:
        names |= function.code.names
        values += function.values()
    for name in sorted(names):
        if name in _NAMES:
            return f"{_NAMES[name]} (`{name}`)"
    if any(_home(value).partition(".")[0] == "plait" for value in values):
        return "it uses plait, whose core refuses to be loaded there"
    # What calls import has been imported by now.
    begin = {_home(value) for value in values} | {name for name in names if name in sys.modules}
    for arguments in calls[: _state.CALLS]:
        begin |= set(map(_home, arguments))
    begin |= set(map(_home, results[: _state.CALLS]))
    return _refusing(begin)


def _refusing(begin: Iterable[str]) -> str | None:
    """The nearest of these modules, and of those that they import, that is not Python code."""
    seen: set[str] = set()
    ahead = deque(sorted(begin))
    while ahead:
        name = ahead.popleft()
        if name in seen or name.partition(".")[0] in (*sys.stdlib_module_names, "plait", ""):
            continue
        seen.add(name)
        if len(seen) > _MODULES:
            return f"it needs more than {_MODULES} modules, which each interpreter would have to load"
        module = sys.modules.get(name)
        if not isinstance(module, ModuleType):
            continue
        spec = vars(module).get("__spec__")
        origin = getattr(spec, "origin", None) or vars(module).get("__file__") or ""
        if str(origin).endswith(tuple(EXTENSION_SUFFIXES)):
            return f"it needs {name}, which is compiled, and a fault of it would end the program"
        ahead.append(name.rpartition(".")[0])
        # A script's own names go with those of its functions that ask for them.
        if name not in ("__main__", "__mp_main__"):
            ahead += sorted({_home(value) for value in list(vars(module).values())} - seen)
    return None


def _home(value: Any) -> str:
    """The module that a value is, or is made by."""
    kind = type(value)
    if id(kind) in PLAIN:
        return ""
    if issubclass(kind, ModuleType):
        name = member(ModuleType, "__dict__", value).get("__name__")
    elif issubclass(kind, type):
        name = module_of(value)
    elif module_of(kind) == "builtins":
        # Functions say where they are from.
        name = getattr(value, "__module__", None)
    else:
        name = module_of(kind)
    return name if type(name) is str else ""


def _forget_lock() -> None:
    # Another thread of the parent's may have held it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)
