"""What comes back with an exception of another process beside itself: its frames, and what led to it.

A traceback of frames cannot be pickled. So a worker tells of each frame where it was, and here frames are
made that say the same: with the file, the line, the columns and the name, which is what tracebacks and
debuggers read. They have no locals. Causes, contexts and the members of groups get theirs, too. Promises:
nothing of a frame's values leaves the worker; whatever cannot be read or made is left out; stacks and chains
are of bounded length.
"""

import functools
import itertools
import linecache
import marshal
import pickle
import sys
from types import CodeType, FunctionType, GeneratorType, TracebackType
from typing import Any

from plait._errors import RemoteError, is_remote_traceback, remote_traceback

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
_Place = tuple[str, str, str, int, int, int, int, int, str]


def packed(exception: BaseException) -> bytes:
    """In a worker: everything about an exception that `restore` puts back."""
    printed = _dict.__get__(exception).pop(PRINTED, None)
    return marshal.dumps((_Packer(exception).entries, printed))


def restore(exception: BaseException, text: str | None, lineage: bytes) -> None:
    """Put back what `packed` gave. `text`: the traceback, formatted, to be the cause if there is no other."""
    entries, printed = marshal.loads(lineage)
    if printed is not None:
        _dict.__get__(exception)[PRINTED] = printed
    made = _made(exception, entries)
    for one, (_, places, cause, context, suppressed) in zip(made, entries):
        _traceback.__set__(one, _chained(places))
        if one is exception and text is None:
            # A stand-in, whose cause is the text already.
            continue
        if context is not None and made[context] is not one:
            _context.__set__(one, made[context])
        if cause is not None and made[cause] is not one:
            _cause.__set__(one, made[cause])
        _suppressed.__set__(one, suppressed)
    if text is not None and _cause.__get__(exception) is None:
        _cause.__set__(exception, remote_traceback(text))


# --- in the worker


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


def _places(frames: TracebackType | None) -> list[_Place]:
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


def _place_of(at: TracebackType) -> _Place:
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


# --- where it arrives


def _made(exception: BaseException, entries: list[Any]) -> list[BaseException]:
    """Give the exceptions of a table, of which the first is there already."""
    made: list[BaseException] = [exception]
    for origin, *_ in entries[1:]:
        one: BaseException | None = None
        if type(origin) is tuple:
            # A member came with its group, if that came.
            group, place = made[origin[0]], origin[1]
            if isinstance(group, BaseExceptionGroup) and place < len(_members.__get__(group)):
                one = _members.__get__(group)[place]
        elif type(origin) is bytes:
            try:
                loaded = pickle.loads(origin)
                one = loaded if isinstance(loaded, BaseException) else None
            except Exception as error:
                one = RemoteError("exception", f"it could not be unpickled here: {error!r}", "")
        else:
            one = RemoteError(*origin)
        made.append(RemoteError("exception", "it was lost with its group", "") if one is None else one)
    return made


def _chained(places: list[_Place]) -> TracebackType | None:
    """Give a traceback of frames that say they were at these places."""
    chain = None
    for place in reversed(places):
        try:
            frame: Any = _suspended(place).gi_frame
            chain = TracebackType(chain, frame, frame.f_lasti, place[4])
        except Exception:
            # A line that no code can have.
            continue
    return chain


# A frame of a generator that waits at its only `yield` knows no caller. So it keeps nothing alive but itself,
# as long as the generator lives, which is what the cache is for; and the next exception from there has it.
@functools.lru_cache(maxsize=2048)
def _suspended(place: _Place) -> "GeneratorType[None, None, None]":
    """Give a generator whose frame says that it is at this place."""
    file, name, _, first, line, *_, module = place
    if file == "<string>":
        _learn_command(name, first, line)
    generator: GeneratorType[None, None, None]
    generator = FunctionType(_code(place), _globals(module, file))()
    next(generator)
    return generator


def _code(place: _Place) -> CodeType:
    import ast  # workers need it not

    file, name, qualified, first, line, end, left, right, _ = place
    # One `yield`, with the positions of what was running.
    tree = ast.parse("def function():\n    yield")
    function: Any = tree.body[0]
    function.lineno, function.end_lineno = first, max(first, line, end)
    for node in ast.walk(function.body[0]):
        if isinstance(node, (ast.expr, ast.stmt)):
            node.lineno, node.end_lineno, node.col_offset, node.end_col_offset = line, end, left, right
    compiled = compile(tree, file, "exec", dont_inherit=True)
    code = next(part for part in compiled.co_consts if isinstance(part, CodeType))
    return code.replace(co_name=name, co_qualname=qualified)


def _globals(module: str, file: str) -> dict[str, Any]:
    """Give the namespace that a debugger shows: the module's own, where it is here."""
    found = sys.modules.get(module)
    if found is not None and (module == "__main__" or getattr(found, "__file__", None) == file):
        return vars(found)
    return {"__name__": module, "__file__": file}


def _learn_command(name: str, first: int, line: int) -> None:
    """Let the source of `python -c` be found, which Python itself does from 3.13 on."""
    if "<string>" in linecache.cache or sys.argv[:1] != ["-c"]:
        return
    # What came after it are the program's arguments.
    before, code = sys.orig_argv[-len(sys.argv) - 1 :][:2]
    lines = code.splitlines(keepends=True)
    # Other strings that were compiled have the same name.
    if (
        before.startswith("-")
        and before.endswith("c")
        and (name in "".join(lines[first - 1 : line]) or "<" in name)
    ):
        linecache.cache["<string>"] = (len(code), None, lines, "<string>")
