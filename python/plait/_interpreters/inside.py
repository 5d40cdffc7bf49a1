"""What runs in a sub-interpreter: it gets calls as bytes and gives answers as bytes. Needs no core.

An answer is what was returned, or what was raised with its traceback as a text, or the module that could not
be loaded there. Each interpreter loads this file anew before its first call, so it imports no more than it
needs, and what only a failure needs when there is one.
"""

try:
    # The module around it is half as much again to load.
    from _pickle import dumps as dump
    from _pickle import loads
except ImportError:
    from pickle import dumps as dump
    from pickle import loads
from itertools import starmap
from time import perf_counter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What the interpreter says, and what modules made with PyO3 say.
_REFUSAL = r"module (\S+) does not support loading in subinterpreters"
_REFUSAL_OF_PYO3 = "PyO3 modules do not yet support subinterpreters"
# What else is not to be had there, as the interpreter says it.
_NOT_THERE = ("not supported for isolated subinterpreters", "daemon threads are disabled in this")

_functions: "dict[bytes, Any]" = {}
# Of more functions than this the oldest is loaded anew.
_MOST_FUNCTIONS = 64


def load(function: bytes) -> bytes:
    """Load a function, without a call; answer None."""
    return _answer(lambda: _loaded(function) and None)


def call(function: bytes, arguments: bytes) -> bytes:
    """Call a function."""

    def make() -> "Any":
        fn = _loaded(function)
        args, kwargs = loads(arguments)
        return fn(*args, **kwargs)

    return _answer(make)


def call_chunk(fn: "Callable[..., Any]", chunk: "tuple[tuple[Any, ...], ...]") -> "list[Any]":
    """Make several calls of a map as one."""
    return list(starmap(fn, chunk))


def make_calls(function: bytes, chunk: bytes) -> "tuple[bytes, bytes | None]":
    """Make the calls of a chunk, up to the first that fails.

    Gives the seconds that they took with the results, and how the one behind these failed: an answer as
    that of `call`, or `b"u"` with a text where an interpreter does not have what it needs.
    """
    values: list[Any] = []
    failed = None
    begun = perf_counter()
    try:
        fn, calls = _loaded(function), loads(chunk)
    except BaseException as error:
        return dumps((0.0, values)), b"u" + f"its arguments cannot be loaded there: {error}".encode()
    try:
        for args in calls:
            values.append(fn(*args))
    except BaseException as error:
        failed = _failure(error)
        if failed[:1] == b"m":
            module, _ = loads(memoryview(failed)[1:])
            failed = b"u" + f"{module}, which a call needs, refuses to be loaded there".encode()
        elif any(text in str(error) for text in _NOT_THERE):
            failed = b"u" + f"a call needs what is not there: {error}".encode()
    seconds = perf_counter() - begun
    try:
        return dumps((seconds, values)), failed
    except Exception:
        # One of them cannot be sent, and fails by that.
        for place, value in enumerate(values):
            try:
                dumps(value)
            except Exception as error:
                return dumps((seconds, values[:place])), _failure(error)
        raise


def rebuilt(data: bytes) -> "Callable[..., Any]":
    """Make a function of the script anew, with those that it leads to: see `byvalue.py`."""
    import sys
    from marshal import loads as code_of
    from types import CellType, FunctionType

    names, parts = loads(data)
    home: dict[str, Any] = {"__name__": "__main__", "__builtins__": __builtins__}
    made = []
    for code, name, qualname, doc, given, cells in parts:
        closure = tuple(CellType() for _ in cells)
        fn = FunctionType(code_of(code), home, name, None, closure or None)
        fn.__qualname__, fn.__doc__ = qualname, doc
        fn.__defaults__, fn.__kwdefaults__ = loads(given)
        made.append(fn)

    def value(kind: str, told: "Any") -> "Any":
        if kind == "f":
            return made[told]
        if kind == "m":
            for module in (told[0], *told[1]):
                __import__(module)
            return sys.modules[told[0]]
        return loads(told)

    home.update((name, value(*told)) for name, told in names.items())
    for fn, (*_, cells) in zip(made, parts, strict=True):
        for cell, told in zip(fn.__closure__ or (), cells, strict=True):
            cell.cell_contents = value(*told)
    return made[0]


def _loaded(function: bytes) -> "Any":
    fn = _functions.get(function)
    if fn is None:
        fn = loads(function)
        while len(_functions) >= _MOST_FUNCTIONS:
            del _functions[next(iter(_functions))]
        _functions[function] = fn
    return fn


def _answer(make: "Callable[[], object]") -> bytes:
    try:
        return b"r" + dumps(make())
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> bytes:
    import traceback

    # Without the frames of this file.
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    text = "".join(traceback.format_exception(type(error), error, tb))
    refusing = refused_by(error)
    if refusing is not None:
        return b"m" + dumps((refusing, text))
    return b"e" + _packed(error, text)


def _packed(error: BaseException, text: str) -> bytes:
    try:
        data = dumps((error, text))
        # What cannot be made anew is better known here, where there is a text of it.
        loads(data)
    except Exception as why:
        told = RuntimeError(f"{type(error).__qualname__}: {error} (which cannot be sent as it is: {why})")
        data = dumps((told, text))
    return data


def refused_by(error: BaseException) -> "str | None":
    """Give the module whose refusal to be loaded led to an error; None where there was none."""
    import re

    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, ImportError):
            if found := re.search(_REFUSAL, str(link)):
                return found[1]
            if _REFUSAL_OF_PYO3 in str(link):
                return link.name or "a module made with PyO3"
        link = link.__cause__ or link.__context__
    return None


def dumps(value: object) -> bytes:
    """Pickle a value, by value what cannot be imported."""
    try:
        data: bytes = dump(value, 5)
        if b"__main__" not in data:
            return data
    except Exception:
        pass
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(value, 5)
    return by_value
