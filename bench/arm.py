"""One contender in a process of its own: `arm.py NAME WORKERS`, commands in on stdin, answers out on
stdout, JSON lines.

A process for each contender keeps their threads, their garbage and their child processes apart: what
`cpu.Meter` counts under this process is this contender's and nobody else's. Ends when its stdin does.
"""

import faulthandler
import importlib.metadata
import json
import os
import sys
import traceback
from typing import Any

import arrays
import contenders
import coroutines
import locking
import queuing
import workloads

WORKLOADS = {
    **workloads.WORKLOADS,
    **arrays.WORKLOADS,
    **coroutines.WORKLOADS,
    **locking.WORKLOADS,
    **queuing.WORKLOADS,
}
CONTENDERS = {
    **contenders.CONTENDERS,
    **coroutines.CONTENDERS,
    **locking.CONTENDERS,
    **queuing.CONTENDERS,
}


def version(package: str) -> str:
    """Return the version of an installed package; one run from its source tree has its own attribute."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return getattr(sys.modules.get(package), "__version__", "from source")


def main() -> None:
    """Start the contender, then measure whatever is asked until the driver hangs up."""
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()

    def answer(**what: Any) -> None:
        answers.write(json.dumps(what) + "\n")

    contender = CONTENDERS[sys.argv[1]]()
    try:
        contender.start(int(sys.argv[2]))
    except ModuleNotFoundError as error:
        answer(missing=str(error))
        return
    answer(versions={package: version(package) for package in contender.packages})
    try:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                measured = WORKLOADS[command["workload"]](
                    contender, command["count"], **command["parameters"]
                )
            except Exception as error:
                traceback.print_exc()
                answer(error=f"{type(error).__name__}: {error}")
            else:
                answer(measured=measured)
    finally:
        contender.stop()


if __name__ == "__main__":
    main()
