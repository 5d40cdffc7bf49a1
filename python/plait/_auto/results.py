"""Lists of results that are emptied as they are handed out: nothing here keeps what the consumer has."""

from collections.abc import Iterator
from typing import Any

_END = object()


def drain(results: list[Any]) -> Iterator[Any]:
    """Iterate over the results while emptying the list, without Python's help."""
    results.append(_END)
    results.reverse()
    return iter(results.pop, _END)


def forget(results: list[Any]) -> None:
    """End an iteration that `drain` has begun."""
    results[:] = [_END]
