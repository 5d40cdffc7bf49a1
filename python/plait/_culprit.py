"""Finds what in a value cannot be pickled, and says so. Runs only after pickling failed.

Descends from the value into the first part that does not pickle on its own, until all parts of what
it reached do.
"""

import functools
import io
import types

from plait._byvalue import pickled
from plait._errors import NotPicklable

# Deeper than people nest by hand; a structure deeper than that is named down to here.
_DEPTH = 40
# Longer sequences are searched by halves, each pickled as one list.
_HALVE_FROM = 16


def explain(value, root: str, error: Exception) -> NotPicklable:
    """Makes the error that names the path to the culprit, and the remedy."""
    try:
        path, culprit, reason = _find(value, root, error)
    except Exception:
        # The search must not hide what went wrong in the first place.
        path, culprit, reason = _ROOTS.get(root, root), value, error
    explained = NotPicklable(f"{path}: {_message(reason)}; {_remedy(culprit, reason)}")
    explained.path = path
    return explained


_ROOTS = {"call": "args", "direct": "args"}


def _find(value, root, error):
    if root == "call" and isinstance(value, tuple):
        parts = _call_parts(value, {})
    elif root == "call":
        parts = _call_parts(*value)
    elif root == "direct":
        function, args, kwargs = value
        parts = [("fn", function), *_call_parts(args, kwargs or {})]
    elif root == "items":
        parts = [(f"items[{index}]", item) for index, item in enumerate(value)]
    else:
        parts = [(root, value)]
    failing = _first_failing(parts)
    if failing is None:
        return _ROOTS.get(root, root), value, error
    label, culprit, reason = failing
    path, seen = label, {id(culprit)}
    for _ in range(_DEPTH):
        if _too_deep(reason):
            break
        failing = _first_failing([part for part in _parts(culprit) if id(part[1]) not in seen])
        if failing is None:
            break
        label, culprit, reason = failing
        seen.add(id(culprit))
        path += label
    return path, culprit, reason


def _call_parts(args, kwargs):
    return [(f"args[{index}]", arg) for index, arg in enumerate(args)] + [
        (f"kwargs[{name!r}]", value) for name, value in kwargs.items()
    ]


def _first_failing(parts):
    """The first part that does not pickle on its own, with the reason, or None."""
    if len(parts) > _HALVE_FROM:
        middle = len(parts) // 2
        if _failure([part for _, part in parts[:middle]]) is not None:
            found = _first_failing(parts[:middle])
            if found is not None:
                return found
        return _first_failing(parts[middle:])
    for label, part in parts:
        reason = _failure(part)
        if reason is not None:
            return label, part, reason
    return None


def _failure(value):
    try:
        pickled(value)
    except Exception as error:
        return error
    return None


def _parts(value):
    """What a value is made of, each part with what it adds to the path: `[0]`, `.<closure>.name`."""
    if isinstance(value, dict):
        yield from ((f"[{_short(key)}]", part) for key, part in list(value.items()))
        yield from ((f".<key {_short(key)}>", key) for key in list(value))
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((f".<element {_short(part)}>", part) for part in value)
    elif isinstance(value, types.FunctionType):
        yield from _function_parts(value)
        return
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
        yield ".__func__", value.__func__
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
        yield from ((f".keywords[{name!r}]", part) for name, part in value.keywords.items())
    if isinstance(value, BaseException):
        yield from ((f".args[{index}]", part) for index, part in enumerate(value.args))
    if isinstance(value, type):
        yield from (
            (f".{name}", part) for name, part in list(vars(value).items()) if not name.startswith("__")
        )
        return
    yield from ((f".{name}", part) for name, part in _attributes(value).items())


def _function_parts(function):
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or ()):
        try:
            yield f".<closure>.{name}", cell.cell_contents
        except ValueError:  # an empty cell
            continue
    defaults = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount][code.co_argcount - len(defaults) :]
    yield from ((f".<default>.{name}", part) for name, part in zip(names, defaults))
    yield from ((f".<default>.{name}", part) for name, part in (function.__kwdefaults__ or {}).items())
    names = dict.fromkeys(_global_names(code))
    yield from (
        (f".<globals>.{name}", function.__globals__[name]) for name in names if name in function.__globals__
    )
    yield from ((f".{name}", part) for name, part in vars(function).items())


def _global_names(code):
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from _global_names(const)


def _attributes(value) -> dict:
    """The attributes that pickling sends: what `__getstate__` says, else `__dict__` and slots."""
    try:
        state = value.__getstate__()
    except Exception:
        state = getattr(value, "__dict__", None)
    if isinstance(state, tuple) and len(state) == 2:
        state = {
            **(state[0] if isinstance(state[0], dict) else {}),
            **(state[1] if isinstance(state[1], dict) else {}),
        }
    return (
        {name: part for name, part in state.items() if isinstance(name, str)}
        if isinstance(state, dict)
        else {}
    )


def _short(value) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 40 else text[:37] + "..."


def _too_deep(reason: BaseException | None) -> bool:
    return isinstance(reason, RecursionError) or isinstance(
        getattr(reason, "__cause__", None), RecursionError
    )


def _message(reason: Exception) -> str:
    if _too_deep(reason):
        return "nested too deeply to be pickled"
    return str(reason) or type(reason).__name__


def _remedy(culprit, reason: Exception) -> str:
    if _too_deep(reason):
        return "send a flatter structure (lists instead of long chains of objects)"
    kind = type(culprit)
    module = kind.__module__
    if isinstance(culprit, io.IOBase):
        return "send the path and open the file inside the function"
    if isinstance(culprit, types.GeneratorType) or hasattr(culprit, "__next__"):
        return "send a list of its items, or make it inside the function"
    if module in ("_thread", "threading") or "lock" in kind.__name__.lower():
        return "make it inside the function, use plait's own locks, or leave it out with __getstate__"
    if module in ("socket", "ssl", "_ssl", "sqlite3") or "onnection" in kind.__name__:
        return "open the connection inside the function or in the executor's initializer"
    return "make it inside the function, or leave it out with __getstate__"
