"""What being watched costs a program: windows with and without an observer, in turns."""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from observing.watching import Target, begin, end, wait_for

# Attaching reads program files: the first moments of an observer are not those of a long recording.
SETTLE = 0.6


def commands(folder: Path) -> dict[str, Callable[[int], list[str]]]:
    """Return the observers by name: what starts each for a process."""
    plait = [sys.executable, "-m", "plait", "record", "--quiet"]
    out = folder / "out"
    found: dict[str, Callable[[int], list[str]]] = {
        "nobody (control)": lambda pid: [],
        "plait, 1,000 looks/s": lambda pid: [*plait, "-o", f"{out}.plait", str(pid)],
        "plait, 200 looks/s": lambda pid: [*plait, "--rate", "200", "-o", f"{out}.plait", str(pid)],
    }
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is not None:
        record = [spy, "record", "-f", "raw", "-d", "3600", "-o", str(out)]
        found["py-spy, 100/s, non-blocking"] = lambda pid: [*record, "-n", "-r", "100", "-p", str(pid)]
        found["py-spy, 1,000/s, blocking"] = lambda pid: [*record, "-r", "1000", "-p", str(pid)]
    return found


def pace(target: Target, seconds: float) -> tuple[float, float]:
    """Return CPU and wall seconds per piece of work, over so many seconds."""
    before = target.ask()
    time.sleep(seconds)
    after = target.ask()
    pieces = after["pieces"] - before["pieces"]
    return (after["cpu"] - before["cpu"]) / pieces, (after["wall"] - before["wall"]) / pieces


def measure(threads: int, seconds: float, rounds: int, note: Callable[[str], None]) -> dict[str, Any]:
    """Return the slow-down by each observer in per cent, CPU and wall: median and middle half."""
    slower: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, Target("loops", threads) as target:
        pace(target, 0.5)
        observers = commands(Path(folder))
        for turn in range(rounds):
            for name, command in observers.items():
                note(f"cost, {threads} threads: round {turn + 1} of {rounds}, {name}")
                before = pace(target, seconds)
                out = Path(folder) / "out.plait"
                out.unlink(missing_ok=True)
                observer = begin(command(target.pid)) if command(target.pid) else None
                if observer is not None and "plait" in name:
                    wait_for(out)
                time.sleep(SETTLE)
                with_it = pace(target, seconds)
                if observer is not None:
                    end(observer)
                after = pace(target, seconds)
                # The mean of the windows on both sides: what drifts does not count.
                plain = [(one + other) / 2 for one, other in zip(before, after)]
                slower.setdefault(name, []).append(
                    (100 * (with_it[0] / plain[0] - 1), 100 * (with_it[1] / plain[1] - 1))
                )
    return {name: [spread([pair[k] for pair in pairs]) for k in (0, 1)] for name, pairs in slower.items()}


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles."""
    if len(values) < 3:
        return statistics.median(values), min(values), max(values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high
