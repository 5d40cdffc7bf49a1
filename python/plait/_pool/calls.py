"""Several items as one call. What is made here goes to workers by value, once for each map."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def each(function: Callable[..., Any]) -> Callable[[tuple], list[Any]]:
    """Make a function of a tuple of items that gives the list of the results."""

    def call_each(items: tuple) -> list[Any]:
        from plait._core import Apart

        return [*map(Apart(function), items)]

    return _named(call_each, function)


def star_each(function: Callable[..., Any]) -> Callable[[tuple], list[Any]]:
    """The same for items that are the arguments of a call."""

    def star_call_each(items: tuple) -> list[Any]:
        from plait._core import Apart

        return [*itertools.starmap(Apart(function), items)]

    return _named(star_call_each, function)


def chunks(items: Iterable[Any], size: int) -> Iterator[tuple]:
    """Cut into tuples of `size` items; one that cannot be completed because the input raises is dropped."""
    rest = iter(items)
    while chunk := tuple(itertools.islice(rest, size)):
        yield chunk


def _named(caller: Callable[..., Any], function: Callable[..., Any]) -> Callable[..., Any]:
    """Have errors speak of the function itself."""
    for name in ("__module__", "__qualname__", "__name__"):
        value = getattr(function, name, None)
        if isinstance(value, str):
            setattr(caller, name, value)
    return caller
