"""The functions and arguments that every contender runs: small enough that what is measured is the way to a
worker.

Importable by name from the parent and from every kind of worker, so that no contender pays for sending them
by value.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Point:
    """An argument that goes by pickle and names its class, as users' own types do."""

    x: int
    y: int


def bump(box: set[int]) -> set[int]:
    """Take and give a set: a small value that has no faster way than pickle, and is nothing to pickle."""
    (number,) = box
    return {number + 1}


def shift(point: Point) -> Point:
    """Take and give an instance of a class."""
    return Point(point.x + 1, point.y)


def step(number: int, text: str) -> int | str:
    """Take a number and a string, give the one or the other."""
    return text if number & 1 else number + 1


def successor(number: int) -> int:
    """Take and give one small number."""
    return number + 1


async def wait(number: int, seconds: float) -> int:
    """Give the next number, after so many seconds; let others have a turn in between, at least."""
    await asyncio.sleep(seconds)
    return number + 1


def total(array: Any, apart: int) -> float:
    """Add up the numbers of an array that stand so many bytes apart; all of them where that is 8."""
    return float(array[:: apart // 8].sum())


def ones(size: int) -> Any:
    """Give an array of so many bytes."""
    import numpy

    return numpy.ones(size // 8)


def attached(name: str, length: int, fn: Callable[..., float], *args: Any) -> float:
    """Call with an array of numbers that lies in a `SharedMemory` of this name, and let go of it."""
    from multiprocessing.shared_memory import SharedMemory

    import numpy

    block = SharedMemory(name=name)
    try:
        # The array must be gone before its memory is closed.
        return fn(numpy.ndarray(length, buffer=block.buf), *args)
    finally:
        block.close()
