"""Which functions are coroutine functions, and which inputs are asynchronous. Every map asks, so this loads
nothing."""

import functools
from types import FunctionType, MethodType
from typing import Any, NoReturn

_CO_COROUTINE = 0x80

# So many wrappers are seen through; more are a circle.
_DEEPEST = 50


def is_coroutine_function(fn: Any) -> bool:
    """Whether calls of `fn` give coroutines: as `inspect` says, and through `plait.task` and `__call__`."""
    for _ in range(_DEEPEST):
        kind = type(fn)
        if kind is FunctionType:
            return bool(fn.__code__.co_flags & _CO_COROUTINE) or _is_marked(fn)
        if kind is MethodType:
            fn = fn.__func__
        elif isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, type):
            return False
        elif kind.__module__ == "plait._task" and kind.__name__ == "Task":
            fn = fn.__dict__["__wrapped__"]
        else:
            call = vars(kind).get("__call__") or getattr(kind, "__call__", None)  # noqa: B004
            return _is_marked(fn) or (type(call) is FunctionType and is_coroutine_function(call))
    return False


def _is_marked(fn: Any) -> bool:
    """Whether a plain function was said to be one, by `inspect.markcoroutinefunction` or as mocks do it."""
    try:
        names = vars(fn)
    except TypeError:
        return False
    if "_is_coroutine_marker" not in names and "_is_coroutine" not in names:
        return False
    import inspect

    if inspect.iscoroutinefunction(fn):
        return True
    from asyncio import coroutines

    marker = getattr(coroutines, "_is_coroutine", None)
    return marker is not None and names.get("_is_coroutine") is marker


def name_of(fn: Any) -> str:
    """What to call a function in a message."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__qualname__", None) or type(fn).__qualname__
    return str(name)


def is_async(iterable: Any) -> bool:
    """Whether an input can be read by `async for` alone."""
    kind = type(iterable)
    return hasattr(kind, "__aiter__") and not hasattr(kind, "__iter__")


def refuse_coroutines(fn: Any, backend: str) -> NoReturn:
    """Raise the TypeError that says that `backend` runs no coroutine functions, of which `fn` is one."""
    raise TypeError(
        f"{name_of(fn)} is a coroutine function, which backend {backend!r} does not run here; "
        "take backend='asyncio', or plait.map with backend='processes' for an event loop in each worker"
    )


def refuse_plain(fn: Any) -> None:
    """Raise a TypeError unless `fn` is a coroutine function."""
    if not callable(fn):
        raise TypeError(f"a map needs a function, not {type(fn).__name__}")
    if not is_coroutine_function(fn):
        raise TypeError(
            f"{name_of(fn)} is no coroutine function (async def), which backend 'asyncio' needs; "
            "take backend='threads' for a plain function"
        )


def refuse_async_inputs(iterables: tuple[Any, ...], backend: str) -> None:
    """Raise a TypeError for an asynchronous input, which is read on an event loop."""
    for iterable in iterables:
        if is_async(iterable):
            raise TypeError(
                f"an async iterable ({type(iterable).__name__}) cannot be read by backend {backend!r}; "
                "take a coroutine function with backend='asyncio', or plait.amap"
            )


def refuse_concurrency(concurrency: int | None) -> None:
    """Raise a ValueError where a number of coroutines was asked for, and there are none."""
    if concurrency is not None:
        raise ValueError("concurrency is for coroutine functions (async def); workers is for plain ones")
