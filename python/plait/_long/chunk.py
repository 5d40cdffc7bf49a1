"""Several calls as one task of a worker process."""

import time
from collections.abc import Callable
from typing import Any

from plait import _seed

# Seconds, results, the place and the pickled exception of each call that failed.
Answer = tuple[float, list[Any], dict[int, bytes]]

# What always goes.
_PLAIN = frozenset([type(None), bool, int, float, str, bytes])

# Seconds of work that a chunk should be, where its size is plait's to choose. As in a plain map: each chunk
# wakes who waits for it, and a processor that has slept takes a tenth of a millisecond to be what it was.
_SECONDS = 0.005

# How many times larger the next may be: the first items may be unlike the others.
_GROWTH = 8

_LONGEST = 1 << 12


class Failed:
    """The exception of a call, as the result that keeps its chunk from ending with it."""

    __slots__ = ("pickle",)

    def __init__(self, pickle: bytes) -> None:
        """Take an exception, encoded."""
        self.pickle = pickle

    def __reduce__(self) -> tuple[Any, ...]:
        """Go as what it was made of."""
        return Failed, (self.pickle,)


def catching(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function whose calls end well; it is sent once, as `fn` is."""

    def call(*args: Any) -> Any:
        try:
            return fn(*args)
        except Exception as raised:
            from plait import _core
            from plait._long.chunk import Failed

            return Failed(_core.codec.encode_exception(raised))

    return call


def bind(fn: Callable[..., Any], goes_on: bool) -> Callable[[list[tuple[Any, ...]]], Answer]:
    """Give a function of the arguments of several calls; it is sent once, as `fn` is.

    With `goes_on` a call that raises does not end the chunk.
    """

    def run(calls: list[tuple[Any, ...]]) -> Answer:
        from plait._long.chunk import call_all

        return call_all(fn, calls, goes_on)

    return _seed.numbered(run)


def call_all(fn: Callable[..., Any], calls: list[tuple[Any, ...]], goes_on: bool) -> Answer:
    """Make the calls of a chunk, all of them or up to the first that raises."""
    from plait import _core

    begun = time.perf_counter()
    values: list[Any] = []
    failures: dict[int, bytes] = {}
    call = _core.Apart(fn)
    for args in calls:
        try:
            value = call(*args)
            if type(value) not in _PLAIN:
                # One that cannot be sent is the failure of its own call, not of the chunk.
                _core.codec.encode(value, [])
        except Exception as raised:
            failures[len(values)] = _core.codec.encode_exception(raised)
            if not goes_on:
                break
            value = None
        values.append(value)
    return time.perf_counter() - begun, values, failures


class Sizer:
    """How many items go together: as given, or as their duration suggests."""

    def __init__(self, size: int | None) -> None:
        """`size` None: it follows what is measured."""
        self.is_fixed = size is not None
        self.size = size or 1

    def learn(self, seconds: float, items: int) -> None:
        """So many items took so long."""
        if not self.is_fixed and items:
            goal = int(_SECONDS / max(seconds / items, 1e-9))
            self.size = max(1, min(goal, _GROWTH * self.size, _LONGEST))
