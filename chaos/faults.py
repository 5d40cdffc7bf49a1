"""The faults that come from outside: signals to workers and nurseries of this storm, and to nobody else."""

import os
import select
import signal
import threading
from collections.abc import Callable

from actor import Actor
from processes import is_nursery, is_ours, nurseries, parent_of


class Faults(Actor):
    """Draws the next fault, waits for its time, strikes."""

    title = "faults"

    def step(self) -> None:
        weather = self.storm.weather
        faults: list[tuple[float, Callable[[], None]]] = [
            (weather.kills, lambda: self.kill(signal.SIGKILL)),
            (weather.terms, lambda: self.kill(signal.SIGTERM)),
            (weather.segfaults, lambda: self.kill(signal.SIGSEGV)),
            (weather.stops, self.stop),
            (weather.massacres, self.massacre),
            (weather.nursery_kills, self.kill_nursery),
        ]
        rates = [rate for rate, _ in faults]
        if self.storm.over.wait(self.dice.expovariate(sum(rates))):
            return
        self.dice.choices([fault for _, fault in faults], rates)[0]()

    def victims(self) -> list[int]:
        """The workers of a random pool."""
        pool = self.dice.choice(self.storm.pools.all())
        return list(pool._stats()["pids"])

    def strike(self, pid: int, what: signal.Signals) -> bool:
        """Signals a worker that is surely ours: the descriptor is of the process that was looked at."""
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            return False
        try:
            if not is_ours(pid) or select.select([descriptor], [], [], 0)[0]:
                return False
            # A worker of a nursery of ours, or of one that was killed.
            parent = parent_of(pid)
            if parent == os.getpid() or (is_ours(parent) and not is_nursery(parent)):
                return False
            kills = what not in (signal.SIGSTOP, signal.SIGCONT)
            if kills:
                self.storm.coroner.note(pid)
            try:
                signal.pidfd_send_signal(descriptor, what)
            except ProcessLookupError:
                if kills:
                    self.storm.coroner.forget(pid)
                return False
        finally:
            os.close(descriptor)
        return True

    def kill(self, what: signal.Signals) -> None:
        pids = self.victims()
        if pids and self.strike(self.dice.choice(pids), what):
            self.storm.findings.count("workers killed")

    def massacre(self) -> None:
        for pid in self.victims():
            if self.strike(pid, signal.SIGKILL):
                self.storm.findings.count("workers killed")

    def stop(self) -> None:
        pids = self.victims()
        if not pids:
            return
        pid = self.dice.choice(pids)
        while_seconds = self.dice.uniform(0, self.storm.weather.stop_ms / 1000)
        if self.strike(pid, signal.SIGSTOP):
            self.storm.findings.count("workers stopped")
            threading.Timer(while_seconds, self.strike, (pid, signal.SIGCONT)).start()

    def kill_nursery(self) -> None:
        pids = nurseries()
        if not pids:
            return
        pid = self.dice.choice(pids)
        descriptor = os.pidfd_open(pid)
        try:
            if is_ours(pid) and parent_of(pid) == os.getpid():
                self.storm.coroner.nursery_died = True
                self.storm.findings.count("nurseries killed")
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)
