"""What the doctor says: a finding, and the ways to make one.

A finding is one thing that was looked at. Levels, from best to worst: "ok" is as it should be; "note" is
worth knowing; "warn" costs speed, or will fail one day; "error" keeps plait from working. Only the last two
are things to change, and count as such.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Literal

Level = Literal["ok", "note", "warn", "error"]
LEVELS: tuple[Level, ...] = ("ok", "note", "warn", "error")


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what to say of it."""

    section: str
    name: str
    #: For programs: numbers, texts, None, lists and dicts of these.
    value: Any
    #: For people: a fragment, without a full stop at its end.
    text: str
    level: Level = "ok"
    #: What to do about it; None if there is nothing to do.
    remedy: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return dataclasses.asdict(self)


Found = Finding | Iterable[Finding] | None


class Section:
    """Findings of one subject, in the order in which they are looked for.

    A look that fails is a finding too: a machine may be odd in ways that nobody thought of.
    """

    def __init__(self, name: str) -> None:
        """Begin with none."""
        self.name = name
        self.findings: list[Finding] = []

    def look(self, name: str, judge: Callable[..., Found], *readers: Callable[[], Any]) -> None:
        """Add what `judge` makes of what the readers read; `name` is for what cannot be read."""
        try:
            found = judge(*(reader() for reader in readers))
            if isinstance(found, Finding):
                found = [found]
            self.findings += found or ()
        except Exception as error:
            self.findings.append(unreadable(self.name, name, error))


def unreadable(section: str, name: str, error: BaseException) -> Finding:
    """Say that it could not be looked at, and why."""
    why = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        why = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return Finding(section, name, None, f"could not be read: {why}", "note")


def size(count: int) -> str:
    """Write a number of bytes for people: 64.0 MiB."""
    if count < 1024:
        return f"{count} bytes"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        amount /= 1024
        if amount < 1024 or unit == "TiB":
            break
    return f"{amount:.1f} {unit}"


def seconds(span: float) -> str:
    """Write a time for people: 31 µs, 4.2 ms, 1.3 s."""
    if span < 0.9995e-3:
        return f"{span * 1e6:.0f} µs"
    if span < 0.9995:
        return f"{span * 1e3:.{1 if span < 9.95e-3 else 0}f} ms"
    return f"{span:.1f} s"


def figure(number: float) -> str:
    """Write a number with two decimals at most: 1.5, 20,000."""
    return f"{round(number, 2):,.15g}"


def amount(number: float, one: str, many: str | None = None) -> str:
    """Write a number with its noun: 1 worker, 1.5 processors, 2 workers, 20,000 files."""
    return f"{figure(number)} {one if number == 1 else many or one + 's'}"
