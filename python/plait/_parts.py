"""What a value is made of, each part with the step that leads to it: `[0]`, `.name`, `.<closure>.name`."""

import functools
import reprlib
import types

from plait._interrupt import is_interrupt

# What always pickles, and has no parts.
ATOMS = frozenset((str, int, float, bool, bytes, complex, type(None)))

_reprs = reprlib.Repr()
_reprs.maxstring = _reprs.maxother = _reprs.maxlong = 40
_reprs.maxlevel = 2


def parts_of(value) -> list:
    """The parts of a value, in the order in which they are pickled; none when it cannot be asked."""
    try:
        return list(_parts(value))
    except BaseException as error:
        if is_interrupt(error):
            raise
        return []


def last_met(value, met: list, ids: set):
    """The part of `value` that a pickler met last, with its step; None when it met none.

    `met` is what it met, `ids` the ids of what may be such a part.
    """
    # Of large containers only the step that is taken is named. Their items are pickled in order.
    if type(value) in (list, tuple):
        for part in reversed(value):
            if id(part) in ids:
                return next((f"[{index}]", item) for index, item in enumerate(value) if item is part)
        return None
    if type(value) is dict:
        for key, part in reversed(value.items()):
            if id(part) in ids:
                return f"[{_short(key)}]", part
            if id(key) in ids:
                return f".<key {_short(key)}>", key
        return None
    return last_step([step for step in parts_of(value) if id(step[1]) in ids], met)


def last_step(steps: list, met: list):
    """Of some steps the one to what a pickler met last."""
    there = {}
    for step in steps:
        there.setdefault(id(step[1]), step)
    return next((there[id(thing)] for thing in reversed(met) if id(thing) in there), None)


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
    except BaseException as error:
        if is_interrupt(error):
            raise
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
        return _reprs.repr(value)
    except BaseException as error:
        if is_interrupt(error):
            raise
        return f"<{type(value).__name__}>"
