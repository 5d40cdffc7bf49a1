"""Holds of known times, and what was recorded of them."""

import statistics
import time
from typing import Any

from observing.watching import Target, recording

Times = list[tuple[int, int]]


def measure(rate: int, shortest: float, longest: float, seconds: float) -> dict[str, Any]:
    """Record a program that keeps the GIL for known times; return what was found of them."""
    with (
        Target("keeper", shortest, longest) as target,
        recording(target.pid, "--rate", str(rate)) as found,
    ):
        time.sleep(seconds)
        truth = target.ask()
    origin = found["began"]["monotonic"]
    held = [(begun - origin, ended - origin) for begun, ended in truth["held"]]
    held = [(begun, ended) for begun, ended in held if begun > 0.1e9 and ended < found["length"]]
    [lane] = [thread for thread in found["threads"] if thread["tid"] == truth["tid"]]
    return compare(held, merged(lane), [(gap["from"], gap["to"]) for gap in found["gaps"]], found)


def merged(lane: dict[str, Any]) -> Times:
    """Return the stretches in which a thread had the GIL."""
    stretches: Times = []
    for span in lane["spans"]:
        if not span["state"].startswith("holds-"):
            continue
        if stretches and stretches[-1][1] == span["from"]:
            stretches[-1] = (stretches[-1][0], span["to"])
        else:
            stretches.append((span["from"], span["to"]))
    return stretches


def compare(held: Times, seen: Times, gaps: Times, found: dict[str, Any]) -> dict[str, Any]:
    """Return how many holds were found, how far their edges are off, and both shares."""
    period = found["began"]["period"]
    count = {"all": 0, "found": 0, "long": 0, "long found": 0, "in gaps": 0}
    edges = []
    for begun, ended in held:
        if any(one < ended and other > begun for one, other in gaps):
            count["in gaps"] += 1
            continue
        inside = [(one, other) for one, other in seen if one < ended and other > begun]
        covered = sum(min(other, ended) - max(one, begun) for one, other in inside)
        is_found = covered * 2 >= ended - begun
        count["all"] += 1
        count["found"] += is_found
        if ended - begun >= 2 * period:
            count["long"] += 1
            count["long found"] += is_found
        if is_found:
            edges += [abs(inside[0][0] - begun), abs(inside[-1][1] - ended)]
    first, last = held[0][0], held[-1][1]
    inside = [(max(one, first), min(other, last)) for one, other in seen if one < last and other > first]
    return {
        **count,
        "edge ms": statistics.median(edges) / 1e6 if edges else float("nan"),
        "true share": sum(other - one for one, other in held) / (last - first),
        "seen share": sum(other - one for one, other in inside) / (last - first),
        "looks/s": found["ended"]["looks"] / found["length"] * 1e9,
        "late p99 ms": found["ended"]["lateness_p99"] / 1e6,
    }
