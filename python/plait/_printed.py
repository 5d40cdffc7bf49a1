"""What one call prints, kept apart from what others print at the same time.

While such calls run, `sys.stdout` and `sys.stderr` are objects that look where a write comes from: that of
such a call goes to streams of its own, anything else through to what stood there before. That is found by a
context variable, so each task of an event loop has its own streams. A thread that a call starts has not,
but in a worker process, which runs one call at a time.

Promises: what stood there before stands there again when the last of these calls has ended, whatever was
put there meanwhile; what a call leaves running prints as ever once the call has ended.
"""

import io
import os
import sys
import threading
from contextvars import ContextVar
from typing import Any

from plait import _output


class _Bytes(io.BytesIO):
    def write(self, data: Any) -> int:
        # In a worker, for the error of its death; elsewhere this does nothing.
        _output.printed_elsewhere(bytes(data))
        return super().write(data)


def _stream() -> io.TextIOWrapper:
    # Any text can be printed here, lone surrogates too.
    return io.TextIOWrapper(_Bytes(), "utf-8", "surrogatepass", newline="\n", write_through=True)


def _text_of(stream: io.TextIOWrapper) -> str:
    data = stream.buffer.getvalue()  # type: ignore[attr-defined]
    try:
        return str(data, "utf-8", "surrogatepass")
    except UnicodeDecodeError:
        # Bytes that were written past the text.
        return str(data, "utf-8", "backslashreplace")


class Printed:
    """The streams of one call."""

    def __init__(self) -> None:
        """Nothing is printed yet."""
        self.streams = {"stdout": _stream(), "stderr": _stream()}
        self.ended = False

    @property
    def texts(self) -> tuple[str, str]:
        """What was printed until now: on stdout, and on stderr."""
        return _text_of(self.streams["stdout"]), _text_of(self.streams["stderr"])


_current: "ContextVar[Printed | None]" = ContextVar("plait_printed", default=None)
# In a worker: those of the call that runs, for all threads.
_everywhere: Printed | None = None

_lock = threading.Lock()
_calls = 0


class Routed:
    """Stands in the place of a standard stream; see the module."""

    def __init__(self, name: str, stream: Any) -> None:
        """`stream`: what stood there, perhaps None."""
        vars(self).update(_name=name, _stream=stream)

    def _target(self) -> Any:
        printed = _current.get()
        if printed is None or printed.ended:
            printed = _everywhere
        return self._stream if printed is None or printed.ended else printed.streams[self._name]

    def write(self, text: str) -> int:
        """Write it where it belongs."""
        target = self._target()
        return len(text) if target is None else target.write(text)

    def flush(self) -> None:
        """Flush what this would write to."""
        target = self._target()
        if target is not None:
            target.flush()

    def fileno(self) -> int:
        """That of the stream that stood there: a program that is started writes past all this."""
        return int(self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._target(), name, value)

    def __iter__(self) -> Any:
        return iter(self._target())

    def __repr__(self) -> str:
        """Say what it stands for."""
        return f"<plait stands here for {self._stream!r} while calls print apart>"


class Apart:
    """A context in which what is printed goes to the streams of `printed`.

    Args:
        printed: Of the call that runs in it.
        everywhere: Whether threads without such streams of their own print there, too.

    """

    def __init__(self, printed: Printed, everywhere: bool = False) -> None:
        """See the class."""
        self._printed = printed
        self._is_everywhere = everywhere
        self._before: Printed | None = None

    def __enter__(self) -> None:
        """From now on."""
        global _everywhere
        _enter()
        self._token = _current.set(self._printed)
        if self._is_everywhere:
            self._before, _everywhere = _everywhere, self._printed

    def __exit__(self, *_: object) -> None:
        """From now on no more."""
        global _everywhere
        self._printed.ended = True
        if self._is_everywhere:
            _everywhere = self._before
        try:
            _current.reset(self._token)
        except ValueError:
            # A coroutine that is closed from elsewhere; what it ran in has gone.
            pass
        _leave()


def _enter() -> None:
    global _calls
    with _lock:
        _calls += 1
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if type(stream) is not Routed:
                setattr(sys, name, Routed(name, stream))


def _leave() -> None:
    global _calls
    with _lock:
        _calls -= 1
        if _calls:
            return
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if type(stream) is Routed:
                setattr(sys, name, stream._stream)


def _forget() -> None:
    """In a forked child: nobody reads what its call prints, and who held the lock is not here."""
    global _lock, _everywhere
    _lock = threading.Lock()
    _everywhere = None
    printed = _current.get()
    if printed is not None:
        printed.ended = True


os.register_at_fork(after_in_child=_forget)
