"""What an exception takes along to another process beside itself: where its frames were, and what led to it.

Workers load this with their first exception, perhaps in the moment that a call which is stopped has left: it
imports next to nothing. What is made of it stands in `_frames.py`.

Promises: nothing of a frame's values leaves the worker; stacks and chains are of bounded length.
"""

import itertools
import marshal
from types import TracebackType
from typing import Any

from plait._errors import is_remote_traceback

# Of longer stacks so many frames at each end.
_ENDS = 100
# Exceptions that go along with one, at most.
_MOST = 100
# Where a worker notes on an exception what its call printed.
PRINTED = "_plait_printed"

# What is read here is read past whatever a class says instead.
_own = BaseException.__dict__
_traceback, _cause, _context = _own["__traceback__"], _own["__cause__"], _own["__context__"]
_suppressed, _dict = _own["__suppress_context__"], _own["__dict__"]
_members = BaseExceptionGroup.__dict__["exceptions"]

# File, name, qualified name, first line, line, last line, columns, and the name of the module.
Place = tuple[str, str, str, int, int, int, int, int, str]


def packed(exception: BaseException) -> bytes:
    """Give everything about an exception that `restore` puts back."""
    printed = _dict.__get__(exception).pop(PRINTED, None)
    return marshal.dumps((_Packer(exception).entries, printed))


def restore(exception: BaseException, text: str | None, lineage: bytes) -> None:
    """Where it arrives: put back what `packed` gave; see `plait._frames.restore`."""
    from plait import _frames

    entries, printed = marshal.loads(lineage)
    if printed is not None:
        _dict.__get__(exception)[PRINTED] = printed
    _frames.restore(exception, text, entries)


class _Packer:
    """An exception and those that led to it, as a table; each entry names others by their place in it."""

    def __init__(self, exception: BaseException) -> None:
        self.entries: list[tuple[Any, ...]] = []
        self._found: list[tuple[BaseException, Any]] = [(exception, None)]
        self._places = {id(exception): 0}
        # What is found is appended meanwhile.
        for one, origin in self._found:
            self.entries.append(self._entry(one, origin))

    def _entry(self, one: BaseException, origin: Any) -> tuple[Any, ...]:
        if isinstance(one, BaseExceptionGroup):
            for place, member in enumerate(_members.__get__(one)):
                self._place(member, (len(self.entries), place))
        if type(origin) is not tuple and origin is not None:
            origin = _sent(one)
        return (
            origin,
            _places(_traceback.__get__(one)),
            self._place(_cause.__get__(one)),
            self._place(_context.__get__(one)),
            _suppressed.__get__(one),
        )

    def _place(self, one: BaseException | None, origin: Any = True) -> int | None:
        if one is None or is_remote_traceback(one):
            return None
        place = self._places.get(id(one))
        if place is None and len(self._found) < _MOST:
            place = self._places[id(one)] = len(self._found)
            self._found.append((one, origin))
        return place


def _sent(exception: BaseException) -> Any:
    """How a cause goes: pickled, or as the list of texts that a stand-in is made of."""
    from plait._rebuild import pickled

    try:
        return pickled(exception)
    except Exception:
        from plait._remote import describe

        return list(describe(exception))


def _places(frames: TracebackType | None) -> list[Place]:
    # Only the ends are kept, however many there are.
    first: list[TracebackType] = []
    last: dict[int, TracebackType] = {}
    count = 0
    while frames is not None:
        if count < _ENDS:
            first.append(frames)
        else:
            last[count] = frames
            last.pop(count - _ENDS, None)
        frames, count = frames.tb_next, count + 1
    return [_place_of(frame) for frame in (*first, *last.values())]


def _place_of(at: TracebackType) -> Place:
    code, line = at.tb_frame.f_code, at.tb_lineno
    found = (
        next(itertools.islice(code.co_positions(), at.tb_lasti // 2, None), None)
        if at.tb_lasti >= 0
        else None
    )
    end, left, right = line, -1, -1
    if found is not None and found[0] == line and None not in found:
        _, end, left, right = found  # type: ignore[assignment]
    module = at.tb_frame.f_globals.get("__name__")
    return (
        code.co_filename,
        code.co_name,
        code.co_qualname,
        code.co_firstlineno,
        line,
        end,
        left,
        right,
        module if type(module) is str else "",
    )
