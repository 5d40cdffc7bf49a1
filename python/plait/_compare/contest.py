"""The rounds of a comparison: who runs, in which order, and how often.

Backends take turns, so that what else the machine does for a while slows all of them. The number of rounds
follows from how long one takes. A backend that failed is out; the others go on.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from plait import _core
from plait._compare.backends import USUAL, Processes, Threads, own_lanes
from plait._compare.measure import Entry
from plait._compare.progress import Progress

# More are not compared: each is called dozens of times.
MOST_ITEMS = 1_000_000

# All rounds together should take about so long, but three rounds are worth twice that.
_BUDGET_SECONDS = 20.0
_GOOD_ROUNDS = 3
# The shorter a round, the more rounds it takes to see through the noise: (seconds of a serial round, rounds).
_ROUNDS = ((0.1, 5), (0.01, 9), (0.001, 15), (0.0, 25))
# Other numbers of workers are tried for so long, estimated.
_SCALING_SECONDS = 20.0
# A first serial round shorter than this only fills caches; a longer one is too dear not to count.
_WARM_UP_SECONDS = 1.0


def listed(items: Iterable[Any]) -> list[Any]:
    """Take the items, and refuse what cannot be compared on."""
    taken = list(islice(items, MOST_ITEMS + 1))
    if not taken:
        raise ValueError("there are no items")
    if len(taken) > MOST_ITEMS:
        raise ValueError(f"there are more than {MOST_ITEMS:,} items, or no end of them; compare on fewer")
    return taken


def wanted_rounds(serial_seconds: float) -> int:
    """How many rounds are wanted for items that serial calls in so many seconds."""
    return next(rounds for least, rounds in _ROUNDS if serial_seconds >= least)


def affordable_rounds(round_seconds: float, wanted: int) -> int:
    """How many of them there is time for, when one round of all backends takes so long."""
    fitting = int(_BUDGET_SECONDS / max(round_seconds, 1e-9))
    if fitting < _GOOD_ROUNDS and round_seconds * _GOOD_ROUNDS <= 2 * _BUDGET_SECONDS:
        fitting = _GOOD_ROUNDS
    return max(1, min(wanted, fitting))


def fewer(workers: int) -> list[int]:
    """Give the numbers of workers to try besides `workers`: 1, 2, 4 and so on."""
    numbers = []
    number = 1
    while number < workers:
        numbers.append(number)
        number *= 2
    return numbers


class Contest:
    """A comparison as it runs. After an interrupt, `measurements` gives what was measured until then."""

    def __init__(
        self,
        fn: Callable[[Any], Any],
        items: list[Any],
        workers: int | None,
        rounds: int | None,
        peers: bool,
        progress: Progress,
        name: str,
        file: str | None = None,
        call_expr: str | None = None,
        scaling: bool = False,
        backends: Sequence[str] = USUAL,
    ) -> None:
        """Take what `plait.compare` takes, and how the user would write it."""
        workers = workers or _core.cpu_count()
        lanes = own_lanes(workers, backends)
        if peers:
            from plait._compare.peers import peer_lanes

            lanes += peer_lanes(workers)
        self.entries = [Entry(lane, fn, items) for lane in lanes]
        self._fewer = fewer(workers) if scaling else []
        self._fn = fn
        self.interrupted = False
        self._asked = rounds
        self._planned = rounds or 0
        self._items = len(items)
        self._progress = progress
        self._told = {"function": name, "file": file, "call_expr": call_expr, "items": len(items)}
        self._notes: list[str] = []
        if peers:
            self._notes.append(
                "the memory of each row includes what the peers' libraries take in this process"
            )

    def run(self) -> None:
        """Run all rounds. Raises KeyboardInterrupt after Ctrl-C, when the workers have gone."""
        with self._progress:
            try:
                self._run()
            except KeyboardInterrupt:
                self.interrupted = True
                for entry in self.entries:
                    entry.kill()
                raise

    def _run(self) -> None:
        begin = time.perf_counter()
        served = self._warm_up()
        if served is None:
            begin = time.perf_counter()
        done = 0
        while done == 0 or done < self._planned:
            # In turns, and in the other direction every second time, so that none always has the same
            # neighbour.
            for entry in self.entries[:: 1 if done % 2 == 0 else -1]:
                if entry is not served:
                    self._run_round(entry)
            served = None
            done += 1
            if done == 1:
                self._plan(time.perf_counter() - begin)
            running = sum(entry.error is None for entry in self.entries)
            if running == 0:
                break
            self._progress.expect(self._items * running * (self._planned - done))
        self._scale()

    def _scale(self) -> None:
        """Run a round each with fewer workers, as far as there is time: the most telling numbers first."""
        serial = self.entries[0].seconds()
        spent = 0.0
        for workers in self._fewer:
            # At worst it takes as long as serially.
            for entry in self.entries:
                kind = {"threads": Threads, "processes": Processes}.get(entry.lane.name)
                if kind is None or entry.lane.peer or entry.error is not None:
                    continue
                spent += serial
                if spent > _SCALING_SECONDS:
                    return
                self._progress.expect(self._items)
                self._progress.name(f"{entry.lane.name}, {workers} workers")
                one = Entry(kind(workers), self._fn, entry.items)
                one.run_round(self._progress.add)
                entry.scale(one)

    def _run_round(self, entry: Entry) -> None:
        if entry.error is None:
            self._progress.name(entry.lane.name)
            entry.run_round(self._progress.add)

    def _warm_up(self) -> Entry | None:
        """Run serial for once; if that is its first round, return it."""
        serial = self.entries[0]
        self._run_round(serial)
        self._wanted = self._asked or wanted_rounds(serial.seconds())
        if serial.error is None and serial.seconds() < _WARM_UP_SECONDS:
            serial.forget()
            return None
        return serial

    def _plan(self, round_seconds: float) -> None:
        self._planned = self._asked or affordable_rounds(round_seconds, self._wanted)
        if self._planned < min(self._wanted, 5):
            times = "once" if self._planned == 1 else f"{self._planned} times"
            self._notes.append(
                f"each backend ran {times} only, since a round of all took {round_seconds:.0f} s"
            )

    def measurements(self) -> dict[str, Any]:
        """What was measured so far, as `plait-report` reads it."""
        return {
            **self._told,
            "rounds_planned": self._planned,
            "interrupted": self.interrupted,
            "machine": {
                "cpus": _core.cpu_count(),
                "cpu_model": _cpu_model(),
                "python": platform.python_version(),
                "gil": _has_gil(),
                "plait": _core.__version__,
            },
            "runs": [entry.measurements() for entry in self.entries],
        }

    def notes(self) -> list[str]:
        """What else has to be known, a line each."""
        told = [entry.watched.reason for entry in self.entries if entry.watched is not None]
        reasons = [reason for reason in told if reason is not None]
        if reasons and _has_gil():
            return [*self._notes, f"waits for the GIL could not be measured: {min(reasons)}"]
        return self._notes


def _has_gil() -> bool:
    return getattr(sys, "_is_gil_enabled", lambda: True)()


def _cpu_model() -> str | None:
    """What the machine calls its processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            return next(
                (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None
            )
    except OSError:
        return None
