"""Kill writers and readers of shared memory at 10,000 random instants: nothing may be torn or lost.

`make torture` runs it. The processes are real, the kills are SIGKILL: workers at the rings of a pool,
owners and readers of large blocks, both ends of queues, holders of locks and their kin. What each test
promises stands at its top, in crates/plait-shm/tests; `make test` runs the same with a few kills. Who is
killed, and how long after what, follows from the seed; where exactly the kill strikes is the machine's own.
Exits 0 only if every promise was kept.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def shares(kills: int) -> dict[str, int]:
    """Return how many kills each test is asked for: what it counts beside them makes up the rest.

    The second test of the queue kills a ninth as many again, of consumers whose items come back.
    """
    queue = kills * 315 // 1000
    listed = {"arena_torture": kills // 4, "queue_torture": queue, "lock_torture": kills // 10}
    return {"torture": kills - sum(listed.values()) - -(-queue // 9), **listed}


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10_000, help="how many are killed (default 10000)")
    parser.add_argument("--seed", type=int, help="that of a run that is to be had again")
    arguments = parser.parse_args()
    if arguments.kills < 100:
        parser.error("below --kills 100 not every test has some: ask for more")
    seed = random.randrange(1 << 32) if arguments.seed is None else arguments.seed
    if not 0 <= seed < 1 << 64:
        parser.error("--seed is a whole number from 0 to 2**64 - 1")
    print(f"{arguments.kills:,} kills, seed {seed}", flush=True)
    failed = False
    for test, kills in shares(arguments.kills).items():
        began = time.monotonic()
        env = {**os.environ, "PLAIT_TORTURE_KILLS": str(kills), "PLAIT_TORTURE_SEED": str(seed)}
        command = ["cargo", "test", "--quiet", "-p", "plait-shm", "--test", test]
        done = subprocess.run(
            [*command, "--", "--nocapture", "--test-threads", "1"],
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        lines = [line for line in done.stdout.splitlines() if " deaths" in line]
        print(*(f"  {line.lstrip('i.')}" for line in lines), sep="\n", flush=True)
        if done.returncode != 0:
            failed = True
            print(f"  FAILED: {test}, exit code {done.returncode}\n{done.stdout}", flush=True)
        print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
    if failed:
        print(f"to see it again: make torture ARGS='--kills {arguments.kills} --seed {seed}'")
        return 1
    print("nothing was torn, nothing lost, and all others went on")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
