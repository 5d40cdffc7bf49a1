"""What runs in a sub-interpreter: it gets calls as bytes and gives answers as bytes. Needs no core.

An answer is what was returned, or what was raised with its traceback as a text, or the module that could not
be loaded there.
"""

import pickle
import re
import traceback
from collections.abc import Callable
from itertools import starmap
from typing import Any, TypeVar

T = TypeVar("T")

# What the interpreter says, and what modules made with PyO3 say.
_REFUSAL = re.compile(r"module (\S+) does not support loading in subinterpreters")
_REFUSAL_OF_PYO3 = "PyO3 modules do not yet support subinterpreters"

_functions: dict[bytes, Any] = {}
# Of more functions than this the oldest is loaded anew.
_MOST_FUNCTIONS = 64


def load(function: bytes) -> bytes:
    """Load a function, without a call; answer None."""
    return _answer(lambda: _loaded(function) and None)


def call(function: bytes, arguments: bytes) -> bytes:
    """Call a function."""

    def make() -> Any:
        fn = _loaded(function)
        args, kwargs = pickle.loads(arguments)
        return fn(*args, **kwargs)

    return _answer(make)


def call_chunk(fn: Callable[..., T], chunk: tuple[tuple[Any, ...], ...]) -> list[T]:
    """Make several calls of a map as one."""
    return list(starmap(fn, chunk))


def _loaded(function: bytes) -> Any:
    fn = _functions.get(function)
    if fn is None:
        fn = pickle.loads(function)
        while len(_functions) >= _MOST_FUNCTIONS:
            del _functions[next(iter(_functions))]
        _functions[function] = fn
    return fn


def _answer(make: Callable[[], object]) -> bytes:
    try:
        return b"r" + dumps(make())
    except BaseException as error:
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
        pickle.loads(data)
    except Exception as why:
        told = RuntimeError(f"{type(error).__qualname__}: {error} (which cannot be sent as it is: {why})")
        data = dumps((told, text))
    return data


def refused_by(error: BaseException) -> str | None:
    """Give the module whose refusal to be loaded led to an error; None where there was none."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if isinstance(link, ImportError):
            if found := _REFUSAL.search(str(link)):
                return found[1]
            if _REFUSAL_OF_PYO3 in str(link):
                return link.name or "a module made with PyO3"
        link = link.__cause__ or link.__context__
    return None


def dumps(value: object) -> bytes:
    """Pickle a value, by value what cannot be imported."""
    try:
        data = pickle.dumps(value, 5)
        if b"__main__" not in data:
            return data
    except Exception:
        pass
    import cloudpickle

    by_value: bytes = cloudpickle.dumps(value, 5)
    return by_value
