"""The functions and arguments that every contender runs: small enough that what is measured is the way to a
worker.

Importable by name from the parent and from every kind of worker, so that no contender pays for sending them
by value.
"""

from dataclasses import dataclass


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
