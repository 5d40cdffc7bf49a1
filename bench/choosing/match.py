"""One workload, all contenders: a first run of each, then rounds in turns of those that may be the best.

The first run tells which are far behind: they are not run again, and are ended when they take too long.
Numbers of threads are tried upwards and downwards from 16 as long as that helps.
"""

import math
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from choosing import contenders, regret
from choosing.contenders import AUTO, PROCESSES, THREADS, Spec
from choosing.link import CUT, MISSING, OK, Link, Outcome
from choosing.workload import Workload

THREAD_SIZES = (2, 4, 8, 16, 32, 64, 128)
START = 16
# Of two numbers of threads, the second helps if it takes at most this part of the first one's time.
HELPS = 0.95

# Seconds that the very first contender may take, with nothing known: threads, which tiny items take long.
FIRST_LIMIT = 5.0
# The slack of all limits, for starting a pool.
SLACK = 0.5
# So many times longer than the best so far a run may take: of anyone, of a straw man, of auto.
LIMIT, STRAW_LIMIT, AUTO_LIMIT = 2.5, 6.0, 20.0
# So much slower than the best the first of its backend may be for the others on that backend to be tried.
PROMISING = {PROCESSES: 2.2, THREADS: 1.3}
# So much slower in its first run a contender may be to be measured again, and how many are.
CLOSE = 1.25
MOST_EXISTING, MOST_OWN = 4, 2


class Match:
    """Measures one workload; `close` ends its arms."""

    def __init__(
        self, workload: Workload, site: dict[str, Any], cpus: int, quick: bool, note: Callable[[str], None]
    ) -> None:
        self.workload, self._cpus, self._quick, self._note = workload, cpus, quick, note
        self.times: dict[Spec, regret.Times] = {}
        self.auto: regret.Times | None = None
        self.choices: list[dict[str, Any]] = []
        # What must not be: wrong results, failures where there was no reason for one.
        self.errors: list[str] = []
        self.missing: set[str] = set()
        self._count = workload.prepare(site).count
        self._site = site
        self._links: dict[str, Link] = {}
        self._best = (FIRST_LIMIT - SLACK) / LIMIT
        self._digest: tuple[str, str] | None = None
        # joblib keeps large arguments in files there; whoever is killed leaves them behind.
        place = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self.folder = tempfile.mkdtemp(prefix=f"bench-choose-{os.getpid()}-", dir=place)

    def scout(self, auto: bool) -> None:
        """Run every contender that may be the best once, and auto."""
        threads = self._scout_threads()
        # The loop first: it is what limits the others where threads take very long.
        for spec in (contenders.LOOP, contenders.chunked(self._cpus), *contenders.straw_men(self._cpus)):
            self._scout(spec)
        if not self._quick:
            if self._promising(PROCESSES):
                for spec in contenders.more_processes(self._cpus, self._count):
                    self._scout(spec)
            if self._promising(THREADS):
                for spec in contenders.more_threads(threads, self._count):
                    self._scout(spec)
        few = {backend for backend in PROMISING if self._quick or not self._promising(backend)}
        for spec in contenders.plait_fixed(self._cpus, threads, few):
            self._scout(spec)
        self._run_auto_first(auto)

    def recall(self, row: dict[str, Any], auto: bool) -> None:
        """Take the first runs from the figures of an earlier run on this machine; run only auto."""
        for entry in row["contenders"]:
            spec = Spec(**entry["spec"])
            if spec != AUTO:
                known = {name: entry[name] for name in ("scouted", "fate", "why")}
                if entry["fate"] == OK:
                    known["scouted"] = statistics.median(entry["rounds"] or [entry["scouted"]])
                    if spec.existing:
                        self._best = min(self._best, known["scouted"])
                self.times[spec] = regret.Times(spec.name, spec.backend, spec.existing, spec.straw, **known)
        self._run_auto_first(auto)

    def _run_auto_first(self, auto: bool) -> None:
        if auto:
            self.auto = regret.Times(AUTO.name, AUTO.backend, existing=False)
            self._measure(AUTO, self.auto, AUTO_LIMIT, first=True)

    def play(self, rounds: int) -> None:
        """Run those that may be the best in turns, so many times."""
        lineup = [*self._close(existing=True), *self._close(existing=False)]
        for turn in range(rounds):
            # Who comes first changes: whoever follows a hungry one has a warm or a tired machine.
            shift = turn % max(1, len(lineup))
            for spec in lineup[shift:] + lineup[:shift]:
                self._note(f"{self.workload.name}: round {turn + 1} of {rounds}, {spec.name}")
                self._measure(spec, self.times[spec], LIMIT * 2, first=False)
            if self.auto is not None:
                self._note(f"{self.workload.name}: round {turn + 1} of {rounds}, auto")
                self._measure(AUTO, self.auto, AUTO_LIMIT, first=False)

    def result(self) -> dict[str, Any] | None:
        """Return the judgement, with all the times that it rests on."""
        everyone = list(self.times.values())
        judged = regret.judge(everyone, self.auto, self.choices)
        if judged is None:
            return None
        measured = [vars(times) | {"spec": spec.as_json()} for spec, times in self.times.items()]
        if self.auto is not None:
            measured.append(vars(self.auto) | {"spec": AUTO.as_json()})
        head = {"name": self.workload.name, "kind": self.workload.kind, "items": self._count}
        return {**head, **judged, "choices": self.choices, "contenders": measured}

    def close(self) -> None:
        """End all arms."""
        for link in self._links.values():
            link.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _scout_threads(self) -> int:
        """Try numbers of threads; return the one that suits the workload."""
        sizes = sorted({size for size in (*THREAD_SIZES, self._cpus) if size <= max(2, self._count)})
        start = min(START, sizes[-1])
        seconds = {start: self._scout(contenders.stdlib_threads(start))}
        if not math.isfinite(seconds[start]):
            return self._cpus
        larger, smaller = [s for s in sizes if s > start], [s for s in reversed(sizes) if s < start]
        for direction in (larger, smaller):
            for size in direction:
                least = min(seconds.values())
                seconds[size] = self._scout(contenders.stdlib_threads(size))
                if seconds[size] > HELPS * least:
                    break
        if self._cpus not in seconds and math.isfinite(seconds[min(seconds)]):
            # One for each processor: where the others only get into each other's way.
            seconds[self._cpus] = self._scout(contenders.stdlib_threads(self._cpus))
        return min(seconds, key=lambda size: seconds[size])

    def _promising(self, backend: str) -> bool:
        """Return whether the best on this backend so far is near enough to the best of all."""
        known = [
            times.typical for times in self.times.values() if times.existing and times.backend == backend
        ]
        return min(known, default=math.inf) <= PROMISING[backend] * self._best

    def _scout(self, spec: Spec) -> float:
        """Run a contender for the first time; return what it takes."""
        if spec in self.times or spec.library in self.missing:
            return math.inf
        self._note(f"{self.workload.name}: {spec.name}")
        known = next(
            (other for other in self.times if vars(other) | {"straw": spec.straw} == vars(spec)), None
        )
        times = regret.Times(spec.name, spec.backend, spec.existing, spec.straw)
        if known is not None:
            # The straw man is a configuration that was tried already: it is that one, by another name.
            self.times[spec] = times = self.times.pop(known)
            times.straw = spec.straw
            return times.typical
        self._measure(spec, times, STRAW_LIMIT if spec.straw else LIMIT, first=True)
        if times.fate == MISSING:
            self.missing.add(spec.library)
            return math.inf
        self.times[spec] = times
        keeps = spec.backend == PROCESSES and spec.library in ("joblib", "plait")
        if keeps and times.fate == OK and times.scouted > CLOSE * self._best:
            # Its workers are there from now on, as in the rounds.
            self._measure(spec, times, LIMIT, first=True)
        return times.typical

    def _close(self, existing: bool) -> list[Spec]:
        """Return who may be the best, the likeliest first; and the best on each backend, if near them."""
        known = [spec for spec, times in self.times.items() if spec.existing == existing and times.fate == OK]
        known.sort(key=lambda spec: self.times[spec].typical)
        near = [spec for spec in known if self.times[spec].typical <= CLOSE * self.times[known[0]].typical]
        most = (2 if existing else 1) if self._quick else (MOST_EXISTING if existing else MOST_OWN)
        leaders = {spec.backend: spec for spec in reversed(near)} if existing else {}
        return [spec for place, spec in enumerate(near) if place < most or spec in leaders.values()]

    def _measure(self, spec: Spec, times: regret.Times, limit: float, first: bool) -> None:
        if times.fate != OK:
            return
        link = self._links.get(spec.family)
        if link is None:
            link = self._links[spec.family] = Link(self.workload.name, self._site, self.folder)
        outcome = link.run(spec, limit * self._best + SLACK)
        times.fate, times.why = self._fate(spec, outcome)
        if outcome.choice:
            self.choices.append(outcome.choice)
        if outcome.fate == CUT:
            times.scouted = outcome.seconds
        elif times.fate == OK:
            if first:
                times.scouted = outcome.seconds
            else:
                times.rounds.append(outcome.seconds)
            if spec.existing:
                self._best = min(self._best, outcome.seconds)

    def _fate(self, spec: Spec, outcome: Outcome) -> tuple[str, str]:
        """Return what became of a run; what must not be goes to the errors."""
        fate, why = outcome.fate, outcome.why
        if fate == OK:
            if self._digest is None:
                self._digest = (outcome.digest, spec.name)
            elif self._digest[0] != outcome.digest:
                fate, why = "wrong", f"other results than {self._digest[1]}"
        # Where calls cannot run in another process, existing libraries may show it; plait may not.
        excused = spec.existing and spec.backend != THREADS and not self.workload.apart
        fixed = not spec.existing and spec.backend == PROCESSES and not self.workload.apart
        if spec == AUTO and fate == CUT:
            self.errors.append(
                f"{self.workload.name}: {spec.name}: ended after {outcome.seconds:.1f} s: {why}"
            )
        if fate not in (OK, CUT, MISSING) and not excused and not fixed:
            self.errors.append(f"{self.workload.name}: {spec.name}: {fate}: {why}")
        return fate, why
