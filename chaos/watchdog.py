"""Tells a hang from patience: an actor that is silent for long ends the storm, which tells what it knows."""

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable

from actor import Actor, Storm


def look(storm: Storm, actors: list[Actor], silence: float, hold: bool) -> None:
    """Ends the program if an actor has been silent for so many seconds."""
    # Without the interpreter's lock nothing below can run; this can.
    faulthandler.dump_traceback_later(2 * silence, exit=not hold)
    now = time.monotonic()
    hung = [actor for actor in actors if actor.is_alive() and now - actor.since > silence]
    if hung:
        storm.over.set()
        tell(storm, hung)
        if hold:
            print(f"held for a debugger: process {os.getpid()}; Ctrl-C ends it", flush=True)
            threading.Event().wait()
        os._exit(1)


def tell(storm: Storm, hung: list[Actor]) -> None:
    """Prints stacks, calls that wait, figures of the pools."""
    for actor in hung:
        quiet = time.monotonic() - actor.since
        print(f"\nHANG: {actor.name} {actor.doing}, for {quiet:.0f} s now (seed {storm.seed})", flush=True)
        open_calls = actor.open_calls()
        for number, future in open_calls[:20]:
            begins, pid = storm.ledger.begins(number), storm.ledger.pid(number)
            print(f"  call {number} {future!r}: began {begins} times, last in process {pid}")
        print(f"  {len(open_calls)} calls are open", flush=True)
    faulthandler.dump_traceback(sys.stdout)
    sys.stdout.flush()
    # The figures need locks that may be what hangs: in a thread that may be left behind.
    asking = threading.Thread(target=figures, args=(storm,), daemon=True)
    asking.start()
    asking.join(5)
    print(
        "the figures could be asked for" if not asking.is_alive() else "asking for the figures hangs",
        flush=True,
    )


def figures(storm: Storm) -> None:
    """What each pool says of itself."""
    for pool in storm.pools.all():
        print(f"  {pool!r}: {pool._stats()}", flush=True)


def start(storm: Storm, guard: Actor, silence: float, hold: bool) -> Callable[[], None]:
    """Looks after one actor that has no thread, from a thread; gives what ends that."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(0.5):
            look(storm, [guard], silence, hold)

    thread = threading.Thread(target=run, name="watchdog", daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        thread.join()

    return stop
