"""One look at the stack of a loop's thread: where the callback that runs is, and what it calls there."""

import ast
import linecache
import os
from functools import lru_cache
from itertools import islice
from traceback import FrameSummary, StackSummary
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

from plait._watch_loop.handle import Place


class Spot(NamedTuple):
    """Where one call of Python was at that moment."""

    code: CodeType
    line: int
    instruction: int
    names: dict[str, Any]

    @property
    def module(self) -> str:
        """The module that the code is in."""
        return str(self.names.get("__name__", ""))

    def in_words(self) -> str:
        """Say it as `file:line function`."""
        return f"{self.code.co_filename}:{self.line} {self.code.co_qualname}"

    def summary(self) -> FrameSummary:
        """Give it as the module `traceback` has it; the source is read when somebody asks."""
        position = self._position()
        if position is None:
            return FrameSummary(self.code.co_filename, self.line, self.code.co_name, lookup_line=False)
        line, last, begin, end = position
        return FrameSummary(
            self.code.co_filename,
            line,
            self.code.co_name,
            lookup_line=False,
            end_lineno=last,
            colno=begin,
            end_colno=end,
        )

    def call(self) -> str | None:
        """Say what is called, as it is written; None where nothing is, or the source cannot be read."""
        position = self._position()
        return None if position is None else _written(self.code.co_filename, *position)

    def function(self) -> str | None:
        """Say what is called by its own name, with its module; as it is written where that is not known."""
        written = self.call()
        if written is None:
            return None
        first, *others = written.split(".")
        code = self.code
        if first in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            return written
        found = self.names.get(first) or _of(self.names.get("__builtins__"), first)
        for name in others:
            # Anything but a module may run code of the user's when it is asked for an attribute.
            found = vars(found).get(name) if isinstance(found, ModuleType) else None
        return name_of(found) or written

    def _position(self) -> tuple[int, int, int, int] | None:
        found = next(islice(self.code.co_positions(), self.instruction // 2, None), None)
        if found is None or None in found:
            return None
        return found  # type: ignore[return-value]


class Sight:
    """What a look found: the whole stack, and how much of it belongs to the callback that runs."""

    def __init__(self, frames: list[FrameType], inner: int) -> None:
        """`frames` from the innermost outwards, of which the first `inner` are the callback's."""
        self.spots = [
            Spot(frame.f_code, frame.f_lineno or 0, frame.f_lasti, frame.f_globals) for frame in frames
        ]
        self.inner = self.spots[:inner]

    @property
    def own(self) -> Spot:
        """The innermost call that is in no library, or else the innermost of all."""
        # A callback that is no Python function leaves no call of its own.
        inner = self.inner or self.spots[:1]
        return next((spot for spot in inner if not _in_library(spot.code.co_filename)), inner[0])

    @property
    def place(self) -> Place:
        """The file, line and function of that call."""
        own = self.own
        return own.code.co_filename, own.line, own.code.co_qualname

    @property
    def outermost(self) -> str | None:
        """The function that the loop called."""
        return self.inner[-1].code.co_qualname if self.inner else None

    def in_words(self) -> tuple[str, ...]:
        """Say the whole stack, the innermost first."""
        return tuple(spot.in_words() for spot in self.spots)

    def summary(self) -> StackSummary:
        """Give the whole stack as the module `traceback` has it."""
        return StackSummary(spot.summary() for spot in reversed(self.spots))


def name_of(called: Any) -> str | None:
    """Say the name of a function, with its module; None where it has none."""
    module, name = getattr(called, "__module__", None), getattr(called, "__qualname__", None)
    return f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else None


def _of(names: Any, name: str) -> Any:
    """Look among the builtins, which are a module in the main script and a dict elsewhere."""
    return (names if isinstance(names, dict) else getattr(names, "__dict__", {})).get(name)


# Where libraries are; other people's packages are told by the folders' names, wherever they lie.
_LIBRARIES = (os.path.dirname(os.__file__) + os.sep, os.path.dirname(os.path.dirname(__file__)) + os.sep)
_PACKAGES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@lru_cache(1024)
def _in_library(file: str) -> bool:
    return file.startswith(("<frozen ", *_LIBRARIES)) or any(folder in file for folder in _PACKAGES)


def _written(file: str, line: int, last: int, begin: int, end: int) -> str | None:
    lines = [linecache.getline(file, number).encode() for number in range(line, last + 1)]
    if not lines or not lines[0]:
        return None
    # Columns count bytes.
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][begin:]
    try:
        tree = ast.parse(b"".join(lines).decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if isinstance(tree, ast.Await):
        tree = tree.value
    return ast.unparse(tree.func) if isinstance(tree, ast.Call) else None
