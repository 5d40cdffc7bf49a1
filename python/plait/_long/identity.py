"""Which function a checkpoint is of: its name, and a digest of what it does as far as its code says.

Seen are its code with all constants and the functions within, its defaults, and what it has captured; of a
partial, a method or an object that is called, what they hold as well. Not seen are the globals that it reads,
and the functions that it calls by name.
"""

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

from plait._long.digest import digest


class Identity(NamedTuple):
    """Module and qualified name of a function, the digest of its code, and the Python that compiled it."""

    module: str
    name: str
    code: str
    python: str


def identity(fn: Callable[..., Any]) -> Identity:
    """Give what the function is known by."""
    inner: Any = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    named: Any = inner if hasattr(inner, "__qualname__") else type(inner)
    module = getattr(named, "__module__", None) or "builtins"
    python = "{}.{}".format(*sys.version_info)
    return Identity(str(module), str(named.__qualname__), digest(described(fn)).hex(), python)


def described(fn: Any, above: tuple[Any, ...] = ()) -> tuple[Any, ...]:
    """Give a function as nested tuples of plain values; `above` are those within which it was met."""
    for depth, outer in enumerate(above):
        if outer is fn:
            return ("again", depth)
    above = (*above, fn)
    if isinstance(fn, types.FunctionType):
        cells = [_content(cell, above) for cell in fn.__closure__ or ()]
        defaults = [_held(each, above) for each in fn.__defaults__ or ()]
        named = [(name, _held(each, above)) for name, each in sorted((fn.__kwdefaults__ or {}).items())]
        return ("function", fn.__qualname__, _code(fn.__code__), defaults, named, cells)
    if isinstance(fn, functools.partial):
        args = [_held(each, above) for each in fn.args]
        named = [(name, _held(each, above)) for name, each in sorted(fn.keywords.items())]
        return ("partial", described(fn.func, above), args, named)
    if isinstance(fn, types.MethodType):
        return ("method", described(fn.__func__, above), _held(fn.__self__, above))
    if isinstance(fn, type):
        return _class(fn, ("__new__", "__init__"), above)
    wrapped = getattr(fn, "__wrapped__", None)
    if wrapped is not None:
        return ("wrapped", _name(type(fn)), described(wrapped, above))
    if isinstance(fn, (types.BuiltinFunctionType, types.MethodWrapperType, types.MethodDescriptorType)):
        return ("builtin", _name(fn), _held(getattr(fn, "__self__", None), above))
    return ("object", _class(type(fn), ("__call__",), above), _state(fn))


def _class(kind: type, methods: tuple[str, ...], above: tuple[Any, ...]) -> tuple[Any, ...]:
    found = [getattr(kind, name, None) for name in methods]
    own = [described(each, above) for each in found if isinstance(each, types.FunctionType)]
    return ("class", _name(kind), own)


def _code(code: types.CodeType) -> tuple[Any, ...]:
    consts = [_code(each) if isinstance(each, types.CodeType) else _constant(each) for each in code.co_consts]
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return ("code", code.co_code, consts, shape, names)


def _constant(value: Any) -> Any:
    # The ellipsis, and slices in newer Pythons.
    return value if isinstance(value, (tuple, frozenset, str, bytes, int, float, complex)) else repr(value)


def _content(cell: types.CellType, above: tuple[Any, ...]) -> Any:
    try:
        value = cell.cell_contents
    except ValueError:
        return "empty"
    return _held(value, above)


def _held(value: Any, above: tuple[Any, ...]) -> Any:
    """What a function holds: another function, a value, or of what cannot be pickled the type alone."""
    if isinstance(value, (types.FunctionType, functools.partial, types.MethodType, type)):
        return described(value, above)
    return _state(value)


def _state(value: Any) -> Any:
    if isinstance(value, types.ModuleType):
        return ("module", value.__name__)
    try:
        return digest(value)
    except Exception:
        return ("of type", _name(type(value)))


def _name(thing: Any) -> str:
    return f"{getattr(thing, '__module__', None)}.{getattr(thing, '__qualname__', thing)}"
