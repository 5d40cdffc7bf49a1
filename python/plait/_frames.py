"""Exceptions of other processes get frames, and what led to them: what `_lineage.py` has packed.

A traceback of frames cannot be pickled. So a worker tells of each frame where it was, and here frames are
made that say the same: with the file, the line, the columns and the name, which is what tracebacks and
debuggers read. They have no locals. Whatever cannot be read or made is left out.
"""

import functools
import linecache
import pickle
import sys
from types import CodeType, FunctionType, GeneratorType, TracebackType
from typing import Any

from plait._errors import RemoteError, remote_traceback
from plait._lineage import Place

# What is written here is written past whatever a class says instead.
_own = BaseException.__dict__
_traceback, _cause, _context = _own["__traceback__"], _own["__cause__"], _own["__context__"]
_suppressed = _own["__suppress_context__"]
_members = BaseExceptionGroup.__dict__["exceptions"]


def restore(exception: BaseException, text: str | None, entries: list[Any]) -> None:
    """Put back the frames, causes and contexts of an exception.

    `text`: the traceback, formatted, to be the cause if there is no other.
    """
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


def _chained(places: list[Place]) -> TracebackType | None:
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
def _suspended(place: Place) -> "GeneratorType[None, None, None]":
    """Give a generator whose frame says that it is at this place."""
    file, name, _, first, line, *_, module = place
    if file == "<string>":
        _learn_command(name, first, line)
    generator: GeneratorType[None, None, None]
    generator = FunctionType(_code(place), _globals(module, file))()
    next(generator)
    return generator


def _code(place: Place) -> CodeType:
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
