"""What being watched costs a program: short windows with an observer and without, in turns.

plait is stopped and let go on by signals, so that the windows of a pair are a moment apart: what a machine
does besides comes and goes more slowly. Stopping py-spy leaves its program stopped at times, so it is begun
anew for each window, and has a quarter of the rounds.
"""

import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from observing.watching import Target, begin, end, wait_for

# Attaching reads program files: the first moments of an observer are not those of a long recording.
SETTLE = 0.6
# What an observer does when it goes on is not what it does all the time either.
RESUME = 0.05


class Switch:
    """An observer that can be turned on and off."""

    def __init__(self, command: list[str], out: Path | None, begin_anew: bool = False) -> None:
        self._command, self._out, self.begin_anew = command, out, begin_anew
        self._observer: subprocess.Popen[bytes] | None = None

    def turn_on(self) -> None:
        if self._observer is None:
            self._observer = begin(self._command)
            if self._out is not None:
                wait_for(self._out)
            time.sleep(SETTLE)
        else:
            os.kill(self._observer.pid, signal.SIGCONT)
            time.sleep(RESUME)

    def turn_off(self) -> None:
        if self._observer is None:
            return
        if self.begin_anew:
            self.close()
        else:
            os.kill(self._observer.pid, signal.SIGSTOP)

    def close(self) -> None:
        if self._observer is not None:
            os.kill(self._observer.pid, signal.SIGCONT)
            end(self._observer)
            self._observer = None


def observers(folder: Path, pid: int) -> dict[str, Switch]:
    """Return the observers of a process by name."""
    out = folder / "out"
    plait = [sys.executable, "-m", "plait", "record", "--quiet", "-o", f"{out}.plait"]
    found = {
        "nobody (control)": Switch(["sleep", "3600"], None),
        "plait, 1,000 looks/s": Switch([*plait, str(pid)], Path(f"{out}.plait")),
        "plait, 200 looks/s": Switch([*plait, "--rate", "200", str(pid)], Path(f"{out}.plait")),
    }
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is not None:
        record = [spy, "record", "-f", "raw", "-d", "3600", "-o", str(out), "-p", str(pid)]
        found["py-spy, 100/s, non-blocking"] = Switch([*record, "-n", "-r", "100"], None, begin_anew=True)
        found["py-spy, 1,000/s, blocking"] = Switch([*record, "-r", "1000"], None, begin_anew=True)
    return found


def pace(target: Target, seconds: float) -> tuple[float, float]:
    """Return CPU and wall seconds per piece of work, over so many seconds."""
    before = target.ask()
    time.sleep(seconds)
    after = target.ask()
    done = [[late - early for early, late in zip(*pair)] for pair in zip(before, after)]
    cpu, pieces = sum(cpu for _, cpu, _ in done), sum(pieces for pieces, _, _ in done)
    # Each thread's pace by its own clock: it is asked in the midst of a piece.
    return cpu / pieces, 1 / sum(pieces / wall for pieces, _, wall in done if pieces)


@contextlib.contextmanager
def turned(switch: Switch, out: Path) -> Iterator[None]:
    """Begin with an observer that has run for a while, and end it."""
    out.unlink(missing_ok=True)
    switch.turn_on()
    switch.turn_off()
    try:
        yield
    finally:
        switch.close()


def measure(threads: int, seconds: float, rounds: int, note: Callable[[str], None]) -> dict[str, Any]:
    """Return the slow-down by each observer in per cent, CPU and wall: median and middle half of `rounds`."""
    slower: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, Target("loops", threads) as target:
        pace(target, 0.5)
        for name, switch in observers(Path(folder), target.pid).items():
            with turned(switch, Path(folder) / "out.plait"):
                before = pace(target, seconds)
                for turn in range(max(3, rounds // 4) if switch.begin_anew else rounds):
                    note(f"cost, {threads} threads: {name}, {turn + 1} of {rounds}")
                    switch.turn_on()
                    watched = pace(target, seconds)
                    switch.turn_off()
                    after = pace(target, seconds)
                    # The mean of the windows on both sides: what drifts does not count.
                    plain = [(one + other) / 2 for one, other in zip(before, after)]
                    slower.setdefault(name, []).append(
                        (100 * (watched[0] / plain[0] - 1), 100 * (watched[1] / plain[1] - 1))
                    )
                    before = after
    return {name: [spread([pair[k] for pair in pairs]) for k in (0, 1)] for name, pairs in slower.items()}


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles."""
    if len(values) < 3:
        return statistics.median(values), min(values), max(values)
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high
