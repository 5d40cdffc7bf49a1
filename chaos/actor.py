"""What the storm's threads share: a name, dice of their own, a heart that the watchdog listens to."""

import random
import threading
import time
import traceback
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import plait
from calls import Judge
from findings import Coroner, Findings
from kinds import Kinds
from ledger import Ledger
from weather import Weather


class Pools:
    """The pools that live just now: those that last, and those that come and go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passing: set[plait.ProcessPoolExecutor] = set()
        self.lasting: list[plait.ProcessPoolExecutor] = []

    def add(self, pool: plait.ProcessPoolExecutor) -> None:
        """A pool that will go."""
        with self._lock:
            self._passing.add(pool)

    def remove(self, pool: plait.ProcessPoolExecutor) -> None:
        """It goes."""
        with self._lock:
            self._passing.discard(pool)

    def all(self) -> list[plait.ProcessPoolExecutor]:
        """Those that live, and those that `plait.map` keeps."""
        from plait import _kept

        kept = [pool for key, pool in list(_kept.pools.items()) if key[0] == "processes"]
        with self._lock:
            return [*self.lasting, *self._passing, *kept]


@dataclass
class Storm:
    """What every actor knows."""

    seed: int
    workers: int
    weather: Weather
    kinds: Kinds
    ledger: Ledger
    findings: Findings
    coroner: Coroner
    judge: Judge
    pools: Pools = field(default_factory=Pools)
    over: threading.Event = field(default_factory=threading.Event)


class Actor(threading.Thread):
    """Does its `step` again and again until the storm is over. What it raises is a finding."""

    title = "actor"

    def __init__(self, storm: Storm, number: int = 0) -> None:
        """`number` tells it from others of its kind."""
        super().__init__(name=f"{self.title}-{number}", daemon=True)
        self.storm = storm
        self.dice = random.Random(f"{storm.seed}/{self.name}")
        self.doing = "starting"
        self.since = time.monotonic()
        self.waiting: list[tuple[int, Future[Any]]] = []

    def beat(self, doing: str) -> None:
        """Progress: the watchdog counts from here."""
        self.doing, self.since = doing, time.monotonic()

    def step(self) -> None:
        """One round of what it does; must end by itself."""
        raise NotImplementedError

    def run(self) -> None:
        """See the class."""
        try:
            while not self.storm.over.is_set():
                self.beat("begins a round")
                self.step()
        except BaseException:
            self.storm.findings.complain(
                f"{self.name} failed while it {self.doing}:\n{traceback.format_exc()}"
            )
        else:
            self.finish()
        self.beat("has ended")
        self.waiting = []

    def finish(self) -> None:
        """What is to be done after the last round."""

    def open_calls(self) -> list[tuple[int, Future[Any]]]:
        """Calls it waits for that have not ended."""
        over = ("FINISHED", "CANCELLED_AND_NOTIFIED")
        return [(number, future) for number, future in list(self.waiting) if future._state not in over]
