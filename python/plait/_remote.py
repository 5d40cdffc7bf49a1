"""What a worker tells about an exception beside the exception itself.

Whatever the exception's class makes of `str`, of its own name or of its traceback, there is a name, a message
and a text, none of them of unbounded length.
"""

import linecache
import re
import traceback
from types import TracebackType
from typing import Any

from plait._errors import remote_traceback

# What travels as text is for reading: longer ones lose their middle.
_MESSAGE = 64 << 10
_TEXT = 256 << 10
# Of more frames than this the middle is left out; Python's own limit of recursion stays below.
_FRAMES = 1000
_ENDS = 100

# A frame in a formatted traceback; within exception groups there is a bar before it.
_FRAME = re.compile(r'(?P<indent>[ |]*)  File "(?P<file>.*)", line (?P<line>\d+), in ')


def describe(exception: BaseException) -> tuple[str, str, str]:
    """Gives the type's name as tracebacks show it, the message, and the formatted traceback."""
    name = type_name(type(exception))
    message = message_of(exception)
    try:
        text = _formatted(exception)
    except BaseException as error:
        why = f"<formatting its traceback raised {type_name(type(error))}>"
        text = f"{_frames(exception)}{name}: {message}\n{why}\n"
    return name, message, _clean(text, _TEXT)


def detached(error: BaseException) -> BaseException:
    """Takes the frames from an error and its cause; what they were stands behind the cause, as a text.

    A frame holds on to those that called it, and they to all they work with. What the caller was handling
    meanwhile is the caller's, and only left out.
    """
    cause = error.__cause__
    if cause is not None:
        cause.__cause__ = remote_traceback(describe(cause)[2])
        cause.__context__ = cause.__traceback__ = None
    error.__context__ = error.__traceback__ = None
    return error


def type_name(cls: type) -> str:
    """The name of an exception's class in the last line of a traceback, whatever its metaclass says."""
    try:
        module, name = type.__dict__["__module__"].__get__(cls), type.__dict__["__qualname__"].__get__(cls)
        return _clean(name if module in ("builtins", "__main__") else f"{module}.{name}", _MESSAGE)
    except BaseException:
        return _clean(type.__dict__["__name__"].__get__(cls), _MESSAGE)


def message_of(exception: BaseException) -> str:
    """What `str` makes of an exception, or that it makes nothing."""
    try:
        return _clean(str(exception), _MESSAGE)
    except BaseException as error:
        return f"<its str() raised {type_name(type(error))}>"


def _clean(text: str, most: int) -> str:
    """A string of no other class, without lone surrogates, and of bounded length."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return text.encode("utf-8", "backslashreplace").decode()


def _formatted(exception: BaseException) -> str:
    tree = traceback.TracebackException(
        type(exception), exception, exception.__traceback__, limit=_FRAMES, compact=True
    )
    _bound(tree, exception)
    return "".join(tree.format())


def _bound(tree: Any, exception: BaseException | None) -> None:
    """Shortens the stacks and messages of an exception, of those that led to it, and of a group's members."""
    stack = [(tree, exception)]
    while stack:
        tree, exception = stack.pop()
        if tree is None or exception is None:
            continue
        text = getattr(tree, "_str", None)
        if isinstance(text, str) and len(text) > _MESSAGE:
            tree._str = _clean(text, _MESSAGE)
        if len(tree.stack) == _FRAMES:
            tree.stack = _ends(tree.stack, exception.__traceback__)
        stack += [(tree.__cause__, exception.__cause__), (tree.__context__, exception.__context__)]
        if tree.exceptions and isinstance(exception, BaseExceptionGroup):
            stack += zip(tree.exceptions, exception.exceptions)


class _Ends(traceback.StackSummary):
    """The first frames of a stack, then `rest`: how many there are more, and the last of them."""

    rest: list[str] = []

    def format(self, **options: Any) -> list[str]:
        return [*super().format(**options), *self.rest]


def _ends(stack: traceback.StackSummary, frames: TracebackType | None) -> traceback.StackSummary:
    last, frame = 0, frames
    while frame is not None:
        last, frame = last + 1, frame.tb_next
    if last <= _FRAMES:
        return stack
    for _ in range(last - _ENDS):
        frames = frames and frames.tb_next
    ends = _Ends(stack[:_ENDS])
    tail = traceback.StackSummary.extract(traceback.walk_tb(frames))
    ends.rest = [f"  [... {last - 2 * _ENDS} frames left out ...]\n", *tail.format()]
    return ends


def _frames(exception: BaseException) -> str:
    """The stack alone, of an exception whose traceback cannot be formatted."""
    try:
        frames = BaseException.__dict__["__traceback__"].__get__(exception)
        return "Traceback (most recent call last):\n" + "".join(traceback.format_tb(frames, _ENDS))
    except BaseException:
        return ""


def with_source(text: str) -> str:
    """Adds the source lines that the worker could not read: those of notebook cells, for one."""
    lines = text.split("\n")
    full = []
    for line, following in zip(lines, [*lines[1:], ""]):
        full.append(line)
        frame = _FRAME.match(line)
        if frame and not following.startswith(frame["indent"] + "    "):
            source = linecache.getline(frame["file"], int(frame["line"])).strip()
            if source:
                full.append(f"{frame['indent']}    {source}")
    return "\n".join(full)
