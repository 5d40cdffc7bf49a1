"""The figures of the page "Which backend", measured on the machine that builds it: `make docs` runs it.

Usage: backend_figures.py OUT, with a Python that has plait. It compares the backends on one function of each
kind, for some seconds each, and writes a table in Markdown. scripts/site_pages.py puts that into the page.
"""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import plait

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
BACKENDS = ("serial", "threads", "processes")
HEAD = "| the function | one by one | threads | processes | GIL wait of threads |\n" + "|---" * 5 + "|"


@dataclasses.dataclass
class Case:
    """A function of one kind, the items that it is called with, and how many calls may run at a time."""

    title: str
    function: Callable[[Any], object]
    items: Sequence[Any]
    workers: int


def primes_below(limit: int) -> int:
    """A loop in Python."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))


def fetch(seconds: float) -> None:
    """Wait, as for a server."""
    time.sleep(seconds)


def stretch(rounds: int) -> bytes:
    """Compute in C, without the GIL."""
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", rounds)


def parse(count: int) -> int:
    """Compute in C, with the GIL."""
    return len(json.loads("[" + "1.5," * count + "0]"))


def cases(processors: int) -> list[Case]:
    """Return one of each kind, with as many calls at a time as a reader would choose."""
    return [
        Case("loops in Python", primes_below, [60_000] * 8, processors),
        Case("waits 50 ms for a server", fetch, [0.05] * 20, 10),
        Case("hashes in C, without the GIL", stretch, [300_000] * 8, processors),
        Case("parses JSON in C, with the GIL", parse, [2_000_000] * 8, processors),
        Case("takes no time at all", abs, [-1] * 2_000, processors),
    ]


def line(case: Case, figures: dict[str, Any]) -> str:
    """Return a comparison as a line of the table, with the time of all calls; the fastest is set off."""
    rows = {row["backend"]: row for row in figures["rows"]}
    best = min(BACKENDS, key=lambda name: rows[name]["seconds"])
    cells = []
    for name in BACKENDS:
        text = duration(rows[name]["seconds"])
        if name != "serial":
            text += f", {rows[name]['speedup']:.2g}x"
        cells.append(f"**{text}**" if name == best else text)
    waited = rows["threads"]["gil_wait"]
    share = "\u2013" if waited is None else f"{waited:.0%}".replace("%", " %")
    what = f"{case.title}: {len(case.items):,} calls, {case.workers} at a time"
    return f"| {what} | {' | '.join(cells)} | {share} |"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it, in three digits."""
    value, unit = (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms")
    return f"{float(f'{value:.3g}'):g} {unit}"


def measure() -> str:
    """Measure, and return the table with what has to be known of it."""
    sys.path.insert(0, str(ROOT / "bench"))
    import machine

    facts = machine.describe()
    lines = [HEAD]
    for case in cases(plait.cpu_count()):
        found = plait.compare(case.function, case.items, workers=case.workers, rounds=ROUNDS)
        figures = json.loads(found.to_json())
        if failed := [row["error"] for row in figures["rows"] if row["error"]]:
            raise SystemExit(f"not measured: {case.title}: {failed[0]}")
        lines.append(line(case, figures))
    known = (
        f"Measured by `plait.compare`, in `scripts/backend_figures.py`, on {facts['cores']} processors "
        f"({facts['cpu']}), {facts['system']}, {facts['python']}, at a load of {facts['load']} to "
        f"{machine.load()}. A time is that of all calls, the median of {ROUNDS} rounds in which the three "
        "take turns; the factor is the median of the ratios to one by one, round by round. Starting threads "
        "and processes is not in it."
    )
    return "\n".join([*lines, "", known, ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(measure())
