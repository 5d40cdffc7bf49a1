"""Real pools in a seeded storm: workers killed, stopped and crashed, calls of every kind, pools that pass.

`make chaos` runs it. The storm is a process of its own, so that what it leaves behind can be seen from
outside: no process of it may live on, and nothing may stand on its stderr but what it printed on purpose.
Exits 0 only if nothing was lost; else 1, with the seed and what is missing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from processes import TOKEN_VARIABLE
from remains import EXPECTED, leftovers

HERE = Path(__file__).resolve().parent
# Longer than the storm's own watchdog waits, in silences.
SILENCES = 4


def main() -> int:
    """The exit code."""
    arguments = parse()
    # Inherited by the storm.
    os.environ[TOKEN_VARIABLE] = f"{os.getpid()}-{arguments.seed}"
    # One arena for all threads, so that at the end what is free can be told from what leaked.
    os.environ["MALLOC_ARENA_MAX"] = "1"
    with tempfile.TemporaryFile("w+", errors="replace") as stderr:
        storm = subprocess.Popen(
            [sys.executable, HERE / "storm.py", json.dumps(vars(arguments))],
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
        code = wait(storm, arguments)
        left = leftovers()
        stderr.seek(0)
        printed = EXPECTED.sub("", stderr.read())
    if printed:
        print(f"FAILED: on stderr stands what the storm does not explain:\n{printed[:20_000]}")
    if left:
        print(f"FAILED: processes {left} have outlived their program")
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    if code or printed or left:
        print(f"to see it again: make chaos ARGS='--seed {arguments.seed}'", flush=True)
        return 1
    return 0


def parse() -> argparse.Namespace:
    """The settings of the storm."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, help="how long (default 60, or until --tasks)")
    parser.add_argument("--tasks", type=int, help="until so many calls are verified")
    parser.add_argument("--seed", type=int, help="of the weather and of all dice (default: the time)")
    parser.add_argument("--workers", type=int, default=2, help="of each pool that lasts")
    parser.add_argument("--pools", type=int, default=3, help="that last; others come and go")
    parser.add_argument("--submitters", type=int, default=2, help="threads that submit tiny calls")
    parser.add_argument("--patience", type=int, default=10, help="findings after which it ends early")
    parser.add_argument("--silence", type=float, default=60.0, help="seconds that are a hang")
    parser.add_argument("--hold", action="store_true", help="keep a storm that hangs, for a debugger")
    arguments = parser.parse_args()
    if arguments.seconds is None and arguments.tasks is None:
        arguments.seconds = 60.0
    if arguments.seed is None:
        arguments.seed = int(time.time()) % 1_000_000
    return arguments


def wait(storm: "subprocess.Popen[bytes]", arguments: argparse.Namespace) -> int:
    """The exit code of the storm, which is ended if its own watchdog does not."""
    limit = None
    if arguments.seconds is not None and not arguments.hold:
        limit = arguments.seconds + SILENCES * arguments.silence
    try:
        return storm.wait(limit)
    except subprocess.TimeoutExpired:
        print("FAILED: the storm does not end, and its watchdog is silent", flush=True)
        storm.send_signal(signal.SIGABRT)
        return storm.wait() or 1
    except KeyboardInterrupt:
        storm.kill()
        storm.wait()
        return 130


if __name__ == "__main__":
    sys.exit(main())
