"""Functions of the script on their way into a sub-interpreter, without cloudpickle where that is not needed.

To load cloudpickle takes an interpreter longer than to begin. A plain function is its code, and what its
names lead to: modules, values that can be pickled, other plain functions. Whatever is more than that (a
class, a decorator's work, a closure that is not filled yet) is left to `inside.dumps`.
"""

import marshal
import pickle
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from plait._interpreters import inside

_MAIN = ("__main__", "__mp_main__")


def dumped(fn: Callable[..., Any]) -> bytes:
    """Pickle a function.

    Raises:
        Exception: it cannot be pickled.

    """
    if type(fn) is FunctionType and fn.__module__ in _MAIN:
        try:
            return _Plain(fn).dumped()
        except _NotPlain:
            pass
    return inside.dumps(fn)


class _NotPlain(Exception):
    pass


class _Plain:
    """A function and those of the same script that it leads to."""

    def __init__(self, fn: FunctionType) -> None:
        self._home = fn.__globals__
        self._numbers: dict[int, int] = {}
        self._ahead = [fn]
        self._names: dict[str, tuple[str, Any]] = {}

    def dumped(self) -> bytes:
        self._number(self._ahead.pop())
        functions = []
        while self._ahead:
            functions.append(self._taken_apart(self._ahead.pop(0)))
        data = pickle.dumps((self._names, functions), 5)
        if b"__main__" in data or b"__mp_main__" in data:
            # An object of a class of the script's.
            raise _NotPlain
        return pickle.dumps(_Rebuilt(data), 5)

    def _number(self, fn: FunctionType) -> int:
        number = self._numbers.get(id(fn))
        if number is None:
            if fn.__globals__ is not self._home or fn.__module__ not in _MAIN or vars(fn):
                raise _NotPlain
            number = self._numbers[id(fn)] = len(self._numbers)
            self._ahead.append(fn)
        return number

    def _taken_apart(self, fn: FunctionType) -> tuple[Any, ...]:
        code = fn.__code__
        names = {name for each in _nested(code) for name in each.co_names}
        if "__annotations__" in names or getattr(fn, "__type_params__", False):
            raise _NotPlain
        for name in names & self._home.keys() - self._names.keys():
            # A name that leads to itself is there already.
            self._names[name] = ("v", None)
            self._names[name] = self._told(self._home[name], names)
        try:
            cells = [self._told(cell.cell_contents, names) for cell in fn.__closure__ or ()]
        except ValueError:
            raise _NotPlain from None
        defaults = self._value((fn.__defaults__, fn.__kwdefaults__))
        return marshal.dumps(code), fn.__name__, fn.__qualname__, fn.__doc__, defaults, cells

    def _told(self, value: Any, names: set[str]) -> tuple[str, Any]:
        if type(value) is FunctionType and value.__module__ in _MAIN:
            return "f", self._number(value)
        if type(value) is ModuleType:
            name = value.__name__
            if name in _MAIN or sys.modules.get(name) is not value:
                raise _NotPlain
            # Of a package, the modules that the code may ask it for.
            within = [each for each in list(sys.modules) if each.startswith(name + ".")]
            asked = [each for each in within if names.issuperset(each[len(name) + 1 :].split("."))]
            return "m", (name, asked)
        return "v", self._value(value)

    @staticmethod
    def _value(value: Any) -> bytes:
        try:
            return pickle.dumps(value, 5)
        except Exception:
            raise _NotPlain from None


class _Rebuilt:
    """Pickles as what makes a function anew."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return inside.rebuilt, (self._data,)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for const in code.co_consts:
        if type(const) is CodeType:
            yield from _nested(const)
