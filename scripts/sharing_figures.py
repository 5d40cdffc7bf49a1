#!/usr/bin/env python3
"""The figures of the page "Sharing data", measured on the machine that builds it: `make docs` runs it.

Usage: sharing_figures.py OUT, with a Python that has plait. It measures for some seconds and writes a table
in Markdown; without NumPy, a line that says what is missing. scripts/site_pages.py puts that into the page.

What is measured, and how, is that of `make bench`: each side in a process of its own, in turns.
"""

import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

WORKERS, ROUNDS = 2, 3
GIB = 1 << 30
HEAD = "| a call that … | plait | `ProcessPoolExecutor` | plait is faster by |\n|---|---|---|---|"
NO_NUMPY = "There are no figures here: they are measured with arrays, and NumPy was not installed.\n"


def rows() -> list[Any]:
    """Return what is measured, as rows of the benchmark, few calls of the slow side: it takes seconds."""
    from rows import MB, MIB, PAGE, PPE, WALL, Goal, Row, Side

    def row(title: str, workload: str, calls: int, peer_calls: int, **parameters: Any) -> Row:
        # The peer has nothing that is shared: it gets the same array, and sends it.
        sent = {name: value for name, value in parameters.items() if name != "shared"}
        mine, peer = Side("plait", calls, calls, parameters), Side(PPE, peer_calls, peer_calls, sent)
        return Row(0, title, workload, mine, (peer,), (Goal(WALL, None, (PPE,)),))

    return [
        row("takes an array of 1 MB", "send_array", 100, 10, size=MB, apart=PAGE),
        row("takes an array of 80 MB", "send_array", 7, 1, size=80 * MB, apart=PAGE),
        row("gives back an array of 80 MB", "receive_array", 7, 1, size=80 * MB, apart=PAGE),
        row("takes an array of 256 MiB", "send_array", 3, 1, size=256 * MIB, apart=PAGE),
        row(
            "takes an array of 80 MB that is shared",
            "send_array",
            100,
            1,
            size=80 * MB,
            apart=MB,
            shared=True,
        ),
    ]


def measure() -> str:
    """Measure, and return the table with what has to be known of it."""
    import machine
    import report
    from run import Bench

    facts = machine.describe()
    bench = Bench(WORKERS, ROUNDS, quick=False)
    lines = [HEAD]
    try:
        for row in rows():
            found = report.judge(row, row.goals[0], bench.run_row(row))
            if found is None:
                # The run has said on stderr what went wrong.
                raise SystemExit(f"not measured: a call that {row.title}")
            mine, theirs = (
                cell(found[side], row.plait.parameters["size"]) for side in ("plait", "peer_value")
            )
            lines.append(f"| {row.title} | {mine} | {theirs} | {found['ratio']:,.0f} times |")
    finally:
        bench.end_all_but(set())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    numpy = importlib.metadata.version("numpy")
    known = (
        f"Measured by `make docs` when it built this page, on {facts['cores']} processors ({facts['cpu']}) "
        f"with {memory:.0f} GiB of memory, {facts['system']}, {facts['python']} and NumPy {numpy}, at a load "
        f"of {facts['load']}. A time is that of one call, from `submit` until its result is read, in a warm "
        f"pool: the median of {ROUNDS} rounds in which the two take turns. Whoever gets an array reads a "
        "number of each page of it, or of each megabyte where it is shared."
    )
    return "\n".join([*lines, "", known, ""])


def cell(microseconds: float, size: int) -> str:
    """Return a time for the table, with the rate where the array is large enough to tell one."""
    rate = f", {size / GIB / (microseconds / 1e6):.2f} GiB/s" if size >= GIB // 4 else ""
    return duration(microseconds) + rate


def duration(microseconds: float) -> str:
    """Return a time in the unit that suits it, in three digits."""
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if microseconds >= size:
            return f"{float(f'{microseconds / size:.3g}'):g} {unit}"
    return f"{float(f'{microseconds:.3g}'):g} µs"


def main() -> None:
    """Write what was measured to the file that the command line names."""
    sys.path.insert(0, str(ROOT / "bench"))
    Path(sys.argv[1]).write_text(measure() if importlib.util.find_spec("numpy") else NO_NUMPY)


if __name__ == "__main__":
    main()
