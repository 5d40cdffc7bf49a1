"""`plait.task`: what a program says of a function that plait cannot measure, and `said`, which reads it.

What is said lies in an attribute of the function itself, so that it is pickled, named and found as before.
What takes no attributes (a builtin function, an object with slots) is put into a `Task`, which stands for it.

Promises: reading runs nothing of the user's, and sees through `functools.partial`, bound methods and what
decorators wrap.
"""

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])

# Where a function keeps what was said of it.
_MARK = "__plait_task__"
# So many wrappers are seen through; more are a circle.
_DEEPEST = 50


@overload
def task(fn: F, /, *, shares_state: bool | None = None) -> F: ...


@overload
def task(fn: None = None, /, *, shares_state: bool | None = None) -> Callable[[F], F]: ...


def task(fn: Any = None, /, *, shares_state: bool | None = None) -> Any:
    """Say of a function what cannot be measured; a decorator, or a call that gives the function back.

        @plait.task(shares_state=False)
        def parse(line):
            ...

        plait.map(plait.task(handle, shares_state=True), items)

    Args:
        fn: Anything that can be called; left out in a decorator.
        shares_state: Whether calls must see what other calls, or the caller, do to the program's objects.
            True keeps the function in this process; False says that workers may have copies of what it uses,
            whatever plait sees it do; None takes back what was said.

    Returns:
        The same function. One that takes no attributes comes back within an object that calls it, pickles as
        it does, and has its name, its signature and its docstring.

    Raises:
        TypeError: `fn` cannot be called, or `shares_state` is none of the three.

    """
    if shares_state is not None and type(shares_state) is not bool:
        raise TypeError(f"shares_state must be True, False or None, not {shares_state!r}")
    if fn is None:
        return functools.partial(task, shares_state=shares_state)
    if not callable(fn):
        raise TypeError(f"task needs a function, not {type(fn).__name__}")
    try:
        setattr(fn, _MARK, shares_state)
    except (AttributeError, TypeError):
        return Task(fn, shares_state)
    # Some objects keep elsewhere what they are told, or do not keep it.
    return fn if _mark_of(fn) is shares_state else Task(fn, shares_state)


def said(fn: Any) -> bool | None:
    """What `plait.task` was told of the function, or of what it wraps; the outermost that was told of
    counts."""
    for _ in range(_DEEPEST):
        mark = _mark_of(fn)
        if mark is not None:
            return mark
        fn = _inner(fn)
        if fn is None:
            return None
    return None


def _mark_of(fn: Any) -> bool | None:
    from plait._state.safe import dict_of, namespace_of

    # A class's own, not that of a class that it derives from.
    names: Any = namespace_of(fn) if issubclass(type(fn), type) else dict_of(fn)
    mark = None if names is None else names.get(_MARK)
    return mark if type(mark) is bool else None


def _inner(fn: Any) -> Any:
    """What is called when this is: a method's function, what a partial or a decorator wraps, or None."""
    from plait._state.safe import dict_of, in_class, member

    kind = type(fn)
    if kind is types.MethodType:
        return fn.__func__
    if issubclass(kind, functools.partial):
        return member(functools.partial, "func", fn)
    wrapped = None if issubclass(kind, type) else (dict_of(fn) or {}).get("__wrapped__")
    if wrapped is None and kind is not types.FunctionType:
        call = in_class(kind, "__call__")
        return call if type(call) is types.FunctionType else None
    return wrapped


class Task:
    """A function that takes no attributes, with what was said of it; called, and pickled, it is the
    function."""

    def __init__(self, fn: Callable[..., Any], shares_state: bool | None) -> None:
        """`plait.task` does this."""
        # Its name, module and docstring; `inspect.signature` goes by `__wrapped__`, which is set, too.
        functools.update_wrapper(self, fn, updated=())
        self.__dict__[_MARK] = shares_state

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.__dict__["__wrapped__"](*args, **kwargs)

    def __reduce__(self) -> Any:
        """Go by name, where the name finds it; else what it was said of goes, which is all that a worker
        needs."""
        names = self.__dict__
        found: Any = sys.modules.get(names.get("__module__", ""))
        for name in str(names.get("__qualname__")).split("."):
            found = getattr(found, name, None)
        if found is self:
            return names["__qualname__"]
        return _itself, (names["__wrapped__"],)

    def __repr__(self) -> str:
        """Say what it stands for."""
        return f"plait.task({self.__dict__['__wrapped__']!r}, shares_state={self.__dict__[_MARK]})"


def _itself(fn: Any) -> Any:
    return fn
