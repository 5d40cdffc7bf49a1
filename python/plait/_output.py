"""The standard streams of a worker, which it shares with other processes.

Promises: a line is written by a single call of the system, in however many pieces it was printed, so that
lines of many workers and their threads do not mix; in a pipe, which may break up a long one, no worker cuts
into another's. The parent knows what was printed last when this process dies, and the beginning of a line
is written out after the call that printed it. A stream that nobody reads raises where it is printed to, and
nowhere else.
"""

import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

# More of a line than this is not kept waiting for its end.
LONGEST = 1 << 20


class Lines(io.BufferedIOBase):
    """Below a standard stream: writes whole lines to a descriptor."""

    mode = "wb"

    def __init__(self, fd: int, name: str, keep: Callable[[bytes, bool], None]) -> None:
        """`keep` is told all that is printed, and whether some of it was not written out yet."""
        self.name = name
        self._fd = fd
        self._keep = keep
        # The beginnings of lines, by thread.
        self._begun: dict[int, bytearray] = {}
        kind = os.fstat(fd).st_mode
        self._lock: Callable[[int, int], object] | None = None
        if stat.S_ISFIFO(kind):
            from fcntl import LOCK_EX, LOCK_UN, lockf

            self._lock, self._locked, self._unlocked = lockf, LOCK_EX, LOCK_UN

    @property
    def raw(self) -> "Lines":
        """There is nothing below it."""
        return self

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._fd)

    def write(self, data: "Buffer") -> int:
        """Write the lines that this ends, and keep the beginning of the next."""
        text = data if type(data) is bytes else bytes(memoryview(data))
        if not text:
            return 0
        end = text.rfind(b"\n") + 1
        if text.find(b"\r", end) >= 0:
            # One that is to be printed over.
            end = len(text)
        me = threading.get_ident()
        begun = self._begun.get(me)
        if end < len(text):
            self._keep(text, True)
            if end == 0:
                if begun is None:
                    begun = self._begun[me] = bytearray()
                begun += text
                if len(begun) > LONGEST:
                    self.flush()
                return len(text)
            self._begun[me] = bytearray(text[end:])
        else:
            self._keep(text, False)
            self._begun.pop(me, None)
        self._write(bytes(begun) + text[:end] if begun else text[:end])
        return len(text)

    def flush(self) -> None:
        """Write what this thread has printed."""
        begun = self._begun.pop(threading.get_ident(), None)
        if begun:
            self._write(begun)

    def flush_all(self) -> None:
        """Write what any thread has printed."""
        for thread in list(self._begun):
            begun = self._begun.pop(thread, None)
            if begun:
                self._write(begun)

    def _write(self, text: bytes | bytearray) -> None:
        left = memoryview(text)
        locked = self._lock is not None and self._try_lock()
        try:
            while left:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:
                    # Somebody who shares it has made it so.
                    import select

                    select.select([], [self._fd], [])
        finally:
            if locked:
                self._lock(self._fd, self._unlocked)  # type: ignore[misc]

    def _try_lock(self) -> bool:
        try:
            self._lock(self._fd, self._locked)  # type: ignore[misc]
        except OSError:
            # It is something else by now, or a signal's handler prints within a print.
            return False
        return True


_streams: list[Lines] = []
_keep: Callable[[bytes, bool], None] | None = None


def replace(keep: Callable[[bytes, bool], None]) -> None:
    """Put `Lines` below the standard streams."""
    global _keep
    _keep = keep
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            continue
        try:
            lines = Lines(fd, f"<{name}>", keep)
        except OSError:
            continue
        _streams.append(lines)
        text = io.TextIOWrapper(lines, stream.encoding, stream.errors, newline="\n", write_through=True)
        text.mode = "w"  # type: ignore[misc]
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def printed_elsewhere(data: bytes) -> None:
    """Have the parent know of what was printed to another stream, when this process dies."""
    if _keep is not None:
        _keep(data, False)


def flush() -> None:
    """Write out the lines that were begun, where that is still possible."""
    for lines in _streams:
        try:
            lines.flush_all()
        except OSError:
            pass
