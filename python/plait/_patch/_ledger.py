"""What plait served of a program's pools and what it left alone, for the report at the end."""

import os
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

# Frames of the machinery of pools; who made a pool stands before them.
_MACHINERY = tuple(
    os.path.join(folder, "")
    for folder in (
        os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
        os.path.join(os.path.dirname(os.__file__), "concurrent", "futures"),
        os.path.join(os.path.dirname(os.__file__), "multiprocessing"),
    )
)


class Entry:
    """One pool of the program's."""

    def __init__(self, face: str, frame: FrameType | None) -> None:
        """`face` names the class that was asked for, `frame` is who asked."""
        self.face = face
        # Globals and code of who asked, for the time until it is decided who serves the pool.
        self.origin = None if frame is None else (frame.f_globals, frame.f_code)
        self.place = "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
        self.how: str | None = None
        self.reason: str | None = None
        self.tasks = 0

    def served(self, how: str) -> None:
        """plait serves it: by workers of this kind."""
        self.how = how
        self._decided()

    def left(self, reason: str) -> None:
        """It is the standard library's."""
        self.reason = reason
        self._decided()

    def _decided(self) -> None:
        self.origin = None
        with _lock:
            _entries.append(self)

    def counted(self, items: Iterable[Any]) -> Iterable[Any]:
        """The same items, counted as tasks: at once where their number is known, else as they are taken."""
        try:
            number = len(items)  # type: ignore[arg-type]
        except TypeError:
            return self._counting(items)
        self.tasks += number
        return items

    def _counting(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.tasks += 1
            yield item


_lock = threading.Lock()
_entries: list[Entry] = []
_forks = 0


def caller() -> FrameType | None:
    """The frame that asks for a pool, however deep the machinery of pools below it is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and os.path.abspath(frame.f_code.co_filename).startswith(_MACHINERY):
        frame = frame.f_back
    return frame


def watch_processes() -> None:
    """Count the processes that the program starts through multiprocessing itself. Cannot be taken back."""
    os.register_at_fork(before=_count_process)


def _count_process() -> None:
    global _forks
    frame = sys._getframe().f_back
    if frame is None or not frame.f_code.co_filename.endswith("popen_fork.py"):
        return
    while frame is not None and _name_of(frame).endswith(_STARTING):
        frame = frame.f_back
    # Who starts it; a pool that was left alone starts its workers so.
    if frame is None or not _name_of(frame).endswith(("multiprocessing/pool.py", "futures/process.py")):
        _forks += 1


_STARTING = tuple(f"multiprocessing/{name}.py" for name in ("popen_fork", "context", "process"))


def _name_of(frame: FrameType) -> str:
    return frame.f_code.co_filename.replace(os.sep, "/")


def entries() -> list[Entry]:
    """The pools that were decided on so far, in this process."""
    with _lock:
        return list(_entries)


def forget() -> None:
    """Begin anew."""
    with _lock:
        _entries.clear()


def report() -> str:
    """What was served and what was left, a line for each place of the program."""
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries():
        groups.setdefault((entry.face, entry.place, entry.how, entry.reason), []).append(entry)
    lines = ["plait: pools of this program"]
    for (face, place, how, reason), group in groups.items():
        number = f" x {len(group)}" if len(group) > 1 else ""
        if reason is None:
            tasks = sum(entry.tasks for entry in group)
            said = f"{tasks} task{'' if tasks == 1 else 's'}, {how}"
        else:
            said = reason
        lines.append(f"  {'served' if reason is None else 'left  '}  {face}{number}: {said}  [{place}]")
    if _forks:
        number = f"{_forks} process{'' if _forks == 1 else 'es'}"
        lines.append(f"  left    multiprocessing.Process: {number} of the program's own, which are no pools")
    if len(lines) == 1:
        lines.append("  none")
    return "\n".join(lines) + "\n"


def _after_fork() -> None:
    # What a child makes is not the program's; its parent's report has none of it.
    global _lock, _forks
    _lock = threading.Lock()
    _entries.clear()
    _forks = 0


os.register_at_fork(after_in_child=_after_fork)
