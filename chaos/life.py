"""The life of a storm: warm-up, actors and status lines, the end of everything, the summary."""

import argparse
import faulthandler
import sys
import time

import plait
import tasks
import watchdog
from actor import Actor, Storm
from bulk import Bulk
from calls import Judge
from census import Census
from faults import Faults
from findings import Coroner, Findings
from kinds import Kinds
from ledger import Ledger
from lives import Lives
from processes import wait_for_end
from rough import Rough
from weather import Weather

STATUS_SECONDS = 5.0
# So long may the workers of pools that were ended take to be gone.
END_SECONDS = 30.0


def run(settings: argparse.Namespace, ledger: Ledger) -> int:
    """The storm, from the warm-up to the summary."""
    weather = Weather.draw(settings.seed, settings.pools)
    print(
        f"seed {settings.seed}, {settings.pools} pools of {settings.workers} workers: {weather}", flush=True
    )
    findings, coroner = Findings(), Coroner()
    storm = Storm(
        settings.seed,
        settings.workers,
        weather,
        Kinds(weather),
        ledger,
        findings,
        coroner,
        Judge(findings, coroner, ledger),
    )
    before = warm_up(settings.workers)
    actors: list[Actor] = [Bulk(storm, number) for number in range(settings.submitters)]
    actors += [Rough(storm, 0), Rough(storm, 1), Lives(storm), Faults(storm)]
    began = time.monotonic()
    storm.pools.lasting = [
        plait.ProcessPoolExecutor(settings.workers, **limits.options()) for limits in weather.pools
    ]
    for actor in actors:
        actor.start()
    watch(storm, actors, settings, began)
    seconds = time.monotonic() - began
    clear(storm, before, settings)
    return summary(storm, settings, seconds)


def warm_up(workers: int) -> Census:
    """Does once all that leaves something for good: nurseries, imports, pools of maps."""
    for preload in ((), ("json",)):
        with plait.ProcessPoolExecutor(workers, preload=preload) as pool:
            list(pool.map(tasks.answer, range(10_000)))
    list(plait.map(tasks.answer, range(100_000), backend="processes", workers=workers))
    end_kept_pools()
    wait_for_end(END_SECONDS)
    return Census.take()


def watch(storm: Storm, actors: list[Actor], settings: argparse.Namespace, began: float) -> None:
    """Prints how it goes until it is over and every actor has ended its round."""
    said, verified_then, then = began, 0, began
    while any(actor.is_alive() for actor in actors):
        time.sleep(0.2)
        watchdog.look(storm, actors, settings.silence, settings.hold)
        now = time.monotonic()
        counts = storm.findings.counts()
        full = settings.tasks is not None and counts["verified"] >= settings.tasks
        late = settings.seconds is not None and now - began >= settings.seconds
        if full or late or len(storm.findings.complaints) >= settings.patience:
            storm.over.set()
        if now - said >= STATUS_SECONDS:
            rate = (counts["verified"] - verified_then) / (now - then)
            rest = ", ".join(
                f"{kind} {counts[kind]:,}" for kind in sorted(counts) if kind not in ("verified", "ok")
            )
            print(
                f"{now - began:5.0f} s  {counts['verified']:,} calls verified, {rate:,.0f} a second; {rest}",
                flush=True,
            )
            said, verified_then, then = now, counts["verified"], now
            for actor in actors:
                quiet = now - actor.since
                if actor.is_alive() and quiet > STATUS_SECONDS:
                    print(f"         {actor.name} {actor.doing}, for {quiet:.0f} s now", flush=True)


def end_kept_pools() -> None:
    """Lets the pools go that `plait.map` keeps."""
    from plait import _kept

    with _kept._lock:
        pools = list(_kept.pools.values())
        _kept.pools.clear()
    for pool in pools:
        pool.shutdown()


def clear(storm: Storm, before: Census, settings: argparse.Namespace) -> None:
    """Ends what is left; complains of what does not go."""
    guard = Actor(storm)
    guard.is_alive = lambda: True  # type: ignore[method-assign]
    guard.beat("ends the pools that last")
    stop = watchdog.start(storm, guard, settings.silence, settings.hold)
    for pool in storm.pools.lasting:
        pool.shutdown()
        stats = pool._stats()
        if stats["pids"] or stats["pending"]:
            storm.findings.complain(f"shutdown came back to {stats}")
    storm.pools.lasting = []
    del pool
    end_kept_pools()
    guard.beat("waits for the end of all workers")
    for pid in wait_for_end(END_SECONDS):
        storm.findings.complain(f"process {pid} was left")
    guard.beat("makes one more pool")
    # What goes with the next pool was not lost.
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(tasks.answer, 1).result()
    del pool
    stop()
    faulthandler.cancel_dump_traceback_later()
    # Threads and descriptors of what has ended may take a moment to go.
    deadline = time.monotonic() + END_SECONDS
    while (complaints := Census.take().complaints(before)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for complaint in complaints:
        storm.findings.complain(complaint)
    if any(complaint.startswith("threads") for complaint in complaints):
        faulthandler.dump_traceback(sys.stdout)
    print(f"\nafter the warm-up: {before}\nat the end:        {Census.take()}")


def summary(storm: Storm, settings: argparse.Namespace, seconds: float) -> int:
    """Prints the counts and the verdict; the exit code."""
    counts = storm.findings.counts()
    verified = counts.pop("verified", 0)
    width = max(len(kind) for kind in counts)
    print("\n".join(f"  {kind:<{width}} {count:>12,}" for kind, count in sorted(counts.items())))
    complaints = storm.findings.complaints
    rate = verified / seconds
    print(f"{verified:,} calls verified in {seconds:.0f} s, {rate:,.0f} a second (seed {settings.seed})")
    if complaints:
        print(f"FAILED: {len(complaints)} findings, the first of them: {complaints[0]}", flush=True)
        return 1
    print("nothing lost, nothing wrong, nothing left", flush=True)
    return 0
