"""Files that recordings go to: found to be writable before, written after."""

import os
from pathlib import Path

from plait import _core
from plait._recording.formats import OPENED_BY
from plait._recording.target import Refused


def check(out: Path) -> None:
    """Raise `Refused` unless a file can be written there: known before the recording instead of after it."""
    if out.is_dir():
        raise Refused(f"{str(out)!r} is a folder; give a file to write")
    if not out.parent.is_dir():
        raise Refused(f"there is no folder {str(out.parent)!r} to write {out.name!r} into; make it first")
    try:
        # Opened, since permissions alone do not tell; a new file is taken away again.
        os.close(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        out.unlink()
    except FileExistsError:
        if not os.access(out, os.W_OK):
            raise Refused(f"cannot write {str(out)!r}: it may not be changed; choose another place") from None
    except OSError as error:
        raise Refused(f"cannot write {str(out)!r}: {error.strerror}; choose another place") from None


def unused(name: str) -> Path:
    """Give a path in this folder that is not there yet: of this name, or of it with a number."""
    number = 1
    while True:
        path = Path(f"{name}.plait" if number == 1 else f"{name}-{number}.plait")
        if not os.path.lexists(path):
            return path
        number += 1


def read(path: Path) -> _core.Trace:
    """Read a trace, or raise `Refused`."""
    try:
        return _core.Trace.read(str(path))
    except OSError as error:
        raise Refused(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except ValueError as error:
        raise Refused(f"cannot read {str(path)!r}: {error}") from None


def export(trace: _core.Trace, out: Path, form: str) -> str | None:
    """Write a form of a trace; why it could not be, or None."""
    try:
        trace.export(str(out), form)
    except OSError as error:
        return f"cannot write {str(out)!r}: {error.strerror or error}"
    return None


def told(out: Path, form: str) -> str:
    """Say what a file is, and what opens it."""
    return f"{form}: {out}" + (f"  (opens in {OPENED_BY[form]})" if form in OPENED_BY else "")


def size(path: Path) -> str:
    """Say how large a file is."""
    try:
        number = float(path.stat().st_size)
    except OSError:
        return "gone"
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"
