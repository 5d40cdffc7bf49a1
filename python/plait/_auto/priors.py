"""What earlier maps of a function have measured: the next one of it need not measure all that again.

A prior is never trusted blindly: the first call is made under measurement all the same, what cannot be sent
and what shares state is looked for, and the run is revised like any other.
"""

import functools
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

# Functions that are remembered; the oldest is forgotten first.
_MOST = 512

# What a call took then and takes now may differ by this factor.
_ALIKE = 3.0

# From fewer calls, or where one took so many times the mean, a first call that was slow cannot be told apart.
_FEWEST = 3
_UNEVEN = 5.0

# What does not depend on the arguments of one map.
_KEPT = (
    "wall",
    "longest",
    "cpu",
    "held",
    "wanted",
    "switches",
    "native",
    "memory",
    "calls",
    "delay",
    "gil",
    "width",
    "settled",
)

_lock = threading.Lock()
_known: dict[Hashable, dict[str, Any]] = {}


def key_of(fn: Callable[..., Any]) -> Hashable:
    """What calls of the same function have in common: its code, since closures are made anew."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)
    code: Hashable = getattr(fn, "__code__", None)
    if code is not None:
        return code
    try:
        return fn if hash(fn) is not None else None
    except TypeError:
        kind: Any = type(fn)
        return kind  # type: ignore[no-any-return]


def get(fn: Callable[..., Any]) -> dict[str, Any] | None:
    """Give the figures of this function's last map."""
    with _lock:
        return _known.get(key_of(fn))


def keep(fn: Callable[..., Any], figures: dict[str, Any]) -> None:
    """Remember the figures of a map that was measured, if they say what its calls are like."""
    if figures["calls"] >= _FEWEST and figures["longest"] <= _UNEVEN * figures["wall"]:
        _keep(fn, figures)


def keep_threads(fn: Callable[..., Any], first: dict[str, Any], later: dict[str, Any], segment: Any) -> None:
    """Remember how many threads a map came to, and what calls are like, if they were like the `first`."""
    if segment.found is None or later["calls"] < _FEWEST:
        return
    kept = first | {"width": segment.found}
    if first["calls"] < _FEWEST:
        # The first ones may have loaded things; and among others, calls wait for what all of them need.
        wall = min(later["wall"], segment.alone or later["wall"])
        kept |= {"wall": wall, "longest": wall} | {name: later[name] for name in ("calls", "cpu", "held")}
    if kept["wall"] < _ALIKE * later["wall"]:
        _keep(fn, kept)


def are_of_a_kind(first: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether later calls of a map compute about as much as the first ones did, or wait as much."""
    if not first["calls"] or not later or None in (first["cpu"], later["cpu"]):
        return True
    least = 0.05 * first["wall"]
    one, other = max(first["cpu"], least), max(later["cpu"], least)
    return bool(one < _ALIKE * other and other < _ALIKE * one)


def keep_settled(fn: Callable[..., Any], backend: str) -> None:
    """Remember where a map was moved to by what it measured."""
    with _lock:
        known = _known.get(key_of(fn))
        if known is not None:
            known["settled"] = backend


def _keep(fn: Callable[..., Any], figures: dict[str, Any]) -> None:
    kept = {name: figures[name] for name in _KEPT if name in figures} | {"unfinished": False}
    key = key_of(fn)
    with _lock:
        _known.pop(key, None)
        _known[key] = kept
        if len(_known) > _MOST:
            del _known[next(iter(_known))]


def are_alike(prior: dict[str, Any], figures: dict[str, Any]) -> bool:
    """Whether the first call says nothing else than the prior."""
    if figures["unfinished"]:
        return bool(figures["wall"] < _ALIKE * prior["wall"])
    return bool(prior["wall"] < _ALIKE * figures["wall"] and figures["wall"] < _ALIKE * prior["wall"])


def _forget_lock() -> None:
    # Another thread of the parent's may have held it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_lock)
