"""The program of the soak: `run.py` starts it, and looks at what it uses and at what it leaves behind.

It is a storm of `chaos/` whose rates stay the same, beside features that the storm does not have. Once a
second it writes a line about itself: what it has done, and how long small calls took. Exits 0 only if nothing
was lost.
"""

import argparse
import ctypes
import dataclasses
import faulthandler
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "chaos"))

from ledger import Ledger
from weather import Limits, Weather

if TYPE_CHECKING:
    from actor import Storm

# Rates a second of the storm, and shares of its calls: milder than those of `make chaos`.
WEATHER = Weather(
    kills=1.0,
    terms=0.2,
    segfaults=0.2,
    stops=0.5,
    stop_ms=50.0,
    massacres=0.05,
    nursery_kills=0.03,
    raising=1.0,
    dying=0.15,
    heavy=0.0,
    unsendable=0.4,
    nesting=0.02,
    cancels=0.08,
    late=0.3,
    retried=0.3,
    leaking=0.2,
    pools=(Limits(), Limits(recycle_after=2000, growth="30MB", memory="400MB")),
    pause_ms=800.0,
)
# Where nothing may end a worker.
CALM = dataclasses.replace(
    WEATHER, dying=0.0, late=0.0, leaking=0.0, cancels=0.0, nesting=0.0, retried=0.0, pools=(Limits(),)
)
# The tasks are to be done a little before the time is over, which may be exceeded by so much to do them.
DONE_BY, PATIENCE = 0.97, 1.5
LINE_SECONDS = 1.0
PR_SET_PDEATHSIG = 1


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("settings", help="as JSON; see run.py")
    settings = argparse.Namespace(**json.loads(parser.parse_args().settings))
    # However `run.py` ends, nothing of this goes on for an hour: workers end with their program.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Workers crash on purpose.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    folder = Path(settings.folder)
    ledger = Ledger(settings.ledger)
    # Only now: tasks open the ledger where they are imported.
    return run(settings, ledger, folder)


def run(settings: argparse.Namespace, ledger: Ledger, folder: Path) -> int:
    """The soak, from the warm-up to the summary."""
    import life
    from actor import Storm
    from calls import Judge
    from census import Census
    from findings import Coroner, Findings
    from kinds import Kinds

    findings, coroner = Findings(), Coroner()
    judge = Judge(findings, coroner, ledger)
    storm = Storm(settings.seed, settings.workers, WEATHER, Kinds(WEATHER), ledger, findings, coroner, judge)
    say = Lines(settings.lines)

    # Once all that leaves something for good, on pools that end again.
    life.warm_up(settings.workers)
    do_all_once(storm, settings, folder)
    end_what_is_kept()
    before = Census.take()
    seconds = go_on(storm, settings, folder, say)
    if findings.counts()["verified"] < settings.tasks and not findings.complaints:
        findings.complain(
            f"in {seconds:.0f} s there was no time for {settings.tasks:,} tasks on this machine"
        )
    end_what_is_kept()
    life.clear(storm, before, settings)
    say(at=seconds, counts=findings.counts(), complaints=findings.complaints)
    return life.summary(storm, settings, seconds)


def do_all_once(storm: "Storm", settings: argparse.Namespace, folder: Path) -> None:
    """Every way of every feature, one after the other."""
    from feature import Feature, Soak
    from lasting import Lasting
    from lone import Lone, Looks
    from maps import Maps
    from pools import Pools
    from probe import Probe
    from shared import Shared

    with Lasting(settings.workers) as lasting:
        soak = Soak(storm, lasting, folder)
        for kind in (Maps, Pools, Shared, Lone, Looks):
            actor: Feature = kind(soak)
            for way in actor.ways():
                actor.do(way)
        Probe(soak).step()


def go_on(storm: "Storm", settings: argparse.Namespace, folder: Path, say: "Lines") -> float:
    """All at once, until the time is over and the tasks are done; how many seconds it was."""
    import plait
    import watchdog
    from actor import Actor
    from actor import Pools as Living
    from bulk import Bulk
    from faults import Faults
    from feature import Soak
    from kinds import Kinds
    from lasting import Lasting
    from leak import Leak
    from lives import Lives
    from lone import Lone, Looks
    from maps import Maps
    from pace import paced
    from pools import Pools
    from probe import Probe
    from rough import Rough
    from shared import Shared

    calm = dataclasses.replace(storm, weather=CALM, kinds=Kinds(CALM), pools=Living())
    began, findings = time.monotonic(), storm.findings
    with Lasting(settings.workers) as lasting:
        soak = Soak(storm, lasting, folder)
        calm.pools.lasting = [lasting.calm]
        storm.pools.lasting = [
            plait.ProcessPoolExecutor(settings.workers, **limits.options()) for limits in WEATHER.pools
        ]
        probe = Probe(soak)
        steady = paced(Bulk, settings.tasks / (settings.seconds * DONE_BY))
        actors: list[Actor] = [steady(storm, 0), steady(calm, 1), Rough(storm, 0), Rough(calm, 1)]
        actors += [Lives(storm), Faults(storm), probe]
        actors += [kind(soak) for kind in (Maps, Pools, Shared, Lone, Looks)]
        if settings.leak:
            actors.append(Leak(storm, settings.leak))
        for actor in actors:
            actor.start()
        while any(actor.is_alive() for actor in actors):
            storm.over.wait(LINE_SECONDS)
            time.sleep(0.05 if storm.over.is_set() else 0)
            watchdog.look(storm, actors, settings.silence, settings.hold)
            now, counts = time.monotonic() - began, findings.counts()
            done = now >= settings.seconds and counts["verified"] >= settings.tasks
            if done or now >= PATIENCE * settings.seconds or len(findings.complaints) >= settings.patience:
                storm.over.set()
            if not storm.over.is_set():
                say(at=now, counts=counts, latencies=probe.take(), lasting=lasting.pids())
    return time.monotonic() - began


def end_what_is_kept() -> None:
    """Lets the pools go that maps keep, in and out of loops, and the threads that wait for the next one."""
    import life
    from plait import _kept
    from plait._auto import crew

    with _kept._lock:
        choosers = list(_kept.choosers.values())
        _kept.choosers.clear()
    for chooser in choosers:
        chooser.shutdown()
    with crew._lock:
        idle = list(crew._idle)
        crew._idle.clear()
    for one in idle:
        one.pool.shutdown()
    life.end_kept_pools()


class Lines:
    """A file of JSON, one object a line, that somebody else reads meanwhile."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)

    def __call__(self, **what: Any) -> None:
        """One line, in one write."""
        os.write(self._descriptor, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
