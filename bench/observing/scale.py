"""Many threads, many processes, long recordings."""

import time
from typing import Any

from observing.watching import Target, recording


def crowd(idle: int, busy: int, seconds: float) -> dict[str, Any]:
    """Record many threads; return what the observer cost."""
    with Target("crowd", idle, busy) as target, recording(target.pid) as found:
        time.sleep(seconds)
    length = found["length"] / 1e9
    return {
        "threads": len(found["threads"]),
        "core share": found["ended"]["cost"] / 1e9 / length,
        "looks/s": found["ended"]["looks"] / length,
        "bytes/s": found["bytes"] / length,
    }


def family(count: int, rounds: int) -> dict[str, Any]:
    """Record processes that come and go; return how many were seen, and how far their ends are off."""
    told: list[list[int]] = []
    with Target("family", count) as target, recording(target.pid) as found:
        for _ in range(rounds):
            told += target.ask()
    origin = found["began"]["monotonic"]
    seen = {process["pid"]: process for process in found["processes"]}
    late = []
    for pid, begun, _ in told:
        if pid in seen:
            late.append((seen[pid]["found"] - (begun - origin)) / 1e6)
    return {"all": len(told), "seen": len(late), "found after ms": sorted(late)}
