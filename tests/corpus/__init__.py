"""Small programs whose answer is known: what a look at each from outside must say, and must not say.

Each is a function that goes on for the seconds it is given; `python -m corpus NAME SECONDS` runs one. What
must be said of it stands above it, in the words of `plait_report::verdicts`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Program:
    """A program and its answer."""

    name: str
    run: Callable[[float], Any]
    #: One of these must be among the verdicts.
    answer: frozenset[str]
    #: These may be, too: they are true, if beside the point.
    also: frozenset[str]
    #: Part of the name of the C function that must be told, where there is one to tell; with a bar before
    #: those that it has elsewhere.
    native: str | None
    #: Modules it needs; where one is missing the program is left out.
    needs: tuple[str, ...]
    seconds: float


PROGRAMS: dict[str, Program] = {}


def answer(
    *words: str,
    also: tuple[str, ...] = (),
    native: str | None = None,
    needs: tuple[str, ...] = (),
    seconds: float = 2.0,
) -> Callable[[Callable[[float], Any]], Callable[[float], Any]]:
    """Put the function into the corpus."""

    def enter(run: Callable[[float], Any]) -> Callable[[float], Any]:
        name = run.__name__
        assert name not in PROGRAMS, name
        PROGRAMS[name] = Program(name, run, frozenset(words), frozenset(also), native, needs, seconds)
        return run

    return enter


def load() -> dict[str, Program]:
    """Return all programs by name."""
    from corpus import computing, contending, hogging, looping, native, pooling, waiting  # noqa: F401

    return PROGRAMS
