"""What the samples of a soak say: a row for each figure, as a table, and on the page of the docs."""

import math
import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flatness import FEWEST, Bound, Verdict, judge, judge_parts, quarters, warm_up
from latencies import BARE, KINDS, Counts, percentile, together

ROOT = Path(__file__).resolve().parent.parent
PAGE, PICTURE = "docs/soak.md", "docs/images/soak.svg"
PLACE = re.compile(r"(?<=<!-- soak -->\n).*?(?=<!-- end of soak -->)", re.DOTALL)

# Name, where it lies in a sample, unit, how much it may rise: some twice what it wanders by in an hour.
FIGURES = [
    ("program: its own memory", ("program", "anonymous"), "MB", Bound(8, 0.1)),
    ("program: descriptors", ("program", "descriptors"), "", Bound(16, 0.1)),
    ("program: threads", ("program", "threads"), "", Bound(5, 0.1)),
    ("program: mappings", ("program", "mappings"), "", Bound(20, 0.05)),
    ("workers that live on: their own memory", ("lasting", "anonymous"), "MB", Bound(8, 0.1)),
    ("workers that live on: descriptors", ("lasting", "descriptors"), "", Bound(3, 0.1)),
    ("workers that live on: threads", ("lasting", "threads"), "", Bound(3, 0.1)),
    ("workers that live on: mappings", ("lasting", "mappings"), "", Bound(20, 0.05)),
    ("nurseries: their own memory", ("nurseries", "anonymous"), "MB", Bound(4, 0.1)),
    ("nurseries: descriptors", ("nurseries", "descriptors"), "", Bound(5, 0.1)),
    ("all: memory (PSS)", ("tree", "pss"), "MB", Bound(20, 0.1)),
    ("all: descriptors", ("tree", "descriptors"), "", Bound(20, 0.15)),
    ("all: threads", ("tree", "threads"), "", Bound(8, 0.1)),
    ("all: processes", ("tree", "processes"), "", Bound(3, 0.1)),
    ("all: zombies", ("tree", "zombies"), "", Bound(2)),
    ("shared memory: files", ("shared", "files"), "", Bound(10, 0.2)),
    ("shared memory: allocated", ("shared", "mb"), "MB", Bound(8, 0.1)),
    ("shared memory: files of /dev/shm", ("shared", "in_shm"), "", Bound(0)),
    ("temporary files", ("temporary",), "", Bound(4)),
]
# Percentile; samples of a second that make a point; the fewest calls that a quarter has one of; how much more
# it may be, in ms.
PERCENTILES = [
    ("p50", 0.5, 5, 50, Bound(0.5, 0.5)),
    ("p99", 0.99, 30, 500, Bound(5, 1.0)),
    ("p99.9", 0.999, 60, 5000, Bound(20, 2.0)),
]


def counted(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The samples after the warm-up."""
    start = warm_up(samples[-1]["at"]) if samples else 0.0
    return [sample for sample in samples if sample["at"] >= start]


def rows(samples: Sequence[dict[str, Any]]) -> list[Verdict]:
    """A verdict for each figure; none when there are too few samples."""
    kept = counted(samples)
    if len(kept) < FEWEST:
        return []
    found = []
    for name, path, unit, bound in FIGURES:
        points = [(sample["at"], figure(sample, path)) for sample in kept]
        found.append(judge(name, unit, points, bound))
    machine = {share: slower(kept, share) for _, share, _, _, _ in PERCENTILES}
    for kind in (BARE, *KINDS):
        parts = [(sample["at"], sample["latencies"].get(kind, {})) for sample in kept]
        fewest = min(together(counts for _, counts in part).total() for part in quarters(parts))
        for name, share, seconds, calls, bound in PERCENTILES:
            if fewest < calls:
                continue
            # Where a pipe without plait takes longer, so may all else; and that is no finding itself.
            factor = machine[share]
            allowed = Bound(bound.least * factor, (1 + bound.share) * factor - 1)
            if kind == BARE:
                allowed = Bound(math.inf)
            found.append(
                judge_parts(
                    f"{kind}: {name}",
                    "ms",
                    parts,
                    in_ms(share),
                    seconds,
                    allowed,
                )
            )
    return [row for row in found if row is not None]


def figure(sample: dict[str, Any], path: Sequence[str]) -> float:
    """What lies there in a sample."""
    found: Any = sample
    for name in path:
        found = found[name]
    return float(found)


def in_ms(share: float) -> Callable[[Sequence[Counts]], float]:
    """What makes that percentile of counts, in ms."""
    return lambda many: 1000 * percentile(many, share)


def slower(samples: Sequence[dict[str, Any]], share: float) -> float:
    """By what factor a pipe without plait takes longer in the last quarter than in the first; at least 1."""
    first, last = (
        percentile((sample["latencies"].get(BARE, {}) for sample in part), share)
        for part in quarters(samples)
    )
    return max(1.0, last / first) if first else 1.0


def status(sample: dict[str, Any]) -> str:
    """One line while it goes on."""

    def uses(group: dict[str, float], memory: str) -> str:
        return f"{group[memory]:,.0f} MB, {group['descriptors']:,} descriptors, {group['threads']} threads"

    shared = sample["shared"]
    return (
        f"{sample['at']:6,.0f} s  {sample['counts'].get('verified', 0):,} tasks; program: "
        f"{uses(sample['program'], 'anonymous')}; all {sample['tree']['processes']} processes: "
        f"{uses(sample['tree'], 'pss')}; {shared['files']} files in memory, {shared['mb']:,.0f} MB; "
        f"load {sample['load']:.0f}"
    )


def cells(row: Verdict) -> list[str]:
    """A row of the table."""
    unit = f" {row.unit}" if row.unit else ""
    allowed = "(not judged)" if math.isinf(row.allowed) else f"+{number(row.allowed)}{unit}"
    ends = [f"{number(value)}{unit}" for value in (row.first, row.last)]
    return [
        row.name,
        *ends,
        f"{'+' if row.rise >= 0 else ''}{number(row.rise)}{unit}",
        allowed,
        word(row),
    ]


def word(row: Verdict) -> str:
    """The verdict in a word."""
    if math.isinf(row.allowed):
        return ""
    return "GREW" if row.grew else "flat"


def number(value: float) -> str:
    """With as many digits as tell something."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


HEAD = ["figure", "first quarter", "last quarter", "rise over the run", "allowed", ""]


def table(rows: Sequence[Verdict]) -> str:
    """For a terminal."""
    lines = [HEAD, *(cells(row) for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    return "\n".join(
        f"{line[0]:<{widths[0]}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:]))
        for line in lines
    )


def about(samples: Sequence[dict[str, Any]], seed: int) -> str:
    """What was done, and where, in sentences."""
    if not samples:
        return "Nothing was sampled."
    last, loads = samples[-1], [sample["load"] for sample in samples]
    counts = last["counts"]
    told = ", ".join(
        f"{counts[name]:,} {name}"
        for name in ("workers killed", "workers stopped", "nurseries killed", "pools", "timed out", "raised")
        if name in counts
    )
    return (
        f"{counts.get('verified', 0):,} tasks verified in {last['at']:,.0f} s (seed {seed}); {told}. "
        f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} processors, "
        f"load {min(loads):.0f} to {max(loads):.0f}."
    )


def markdown(rows: Sequence[Verdict], about: str) -> str:
    """For the page."""
    lines = [HEAD, ["---"] * len(HEAD), *(cells(row) for row in rows)]
    return f"{about}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def keep(rows: Sequence[Verdict], about: str, drawn: str) -> None:
    """Puts table and picture into the docs.

    Raises ValueError where the page has no place for them.
    """
    page = ROOT / PAGE
    text, put = PLACE.subn(lambda _: markdown(rows, about), page.read_text())
    if put != 1:
        raise ValueError(f"{PAGE} has no place for the table, from <!-- soak --> to <!-- end of soak -->")
    page.write_text(text)
    (ROOT / PICTURE).write_text(drawn)
