"""Who has the GIL, as the kernel's probes tell it, against what `plait record` says."""

import itertools
import os
import time
from typing import Any

from observing.probes import Probe, library, offset_of
from observing.watching import Target, recording

Hold = tuple[int, int, int]


def measure(seconds: float) -> dict[str, Any]:
    """Return the share of the time in which both name the same thread, or nobody; raises Unavailable."""
    with Target("mix") as target:
        path = library(target.pid)
        places = {"take": (offset_of(path, "take_gil"), True), "drop": (offset_of(path, "drop_gil"), False)}
        probes = [
            (what, Probe(path, offset, on_return, cpu))
            for what, (offset, on_return) in places.items()
            for cpu in sorted(os.sched_getaffinity(0))
        ]
        hits: list[tuple[int, int, str]] = []
        try:
            with recording(target.pid) as found:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    time.sleep(0.02)
                    for what, probe in probes:
                        hits += [(at, tid, what) for at, tid in probe.drain()]
        finally:
            lost = sum(probe.lost for _, probe in probes)
            for _, probe in probes:
                probe.close()
        threads = {int(name) for name in os.listdir(f"/proc/{target.pid}/task")}
    origin = found["began"]["monotonic"]
    truth = holds_of([(at - origin, tid, what) for at, tid, what in sorted(hits) if tid in threads])
    tids = {number: thread["tid"] for number, thread in enumerate(found["threads"])}
    # Of some it is only known that somebody had it: number 0 is no thread's.
    seen = [(hold["from"], hold["to"], tids.get(hold["thread"], 0)) for hold in found["gils"][0]["holds"]]
    # From the first that both know to the last.
    begin = max(truth[0][0], seen[0][0])
    end = min(truth[-1][1], seen[-1][1])
    # Where nobody looked, nothing is said, which is no agreement.
    unseen = sum(max(min(gap["to"], end) - max(gap["from"], begin), 0) for gap in found["gaps"])
    return {
        "agreed": both(truth, seen, begin, end),
        "in gaps": unseen / (end - begin),
        "holds": len(truth),
        "seconds": (end - begin) / 1e9,
        "lost": lost,
    }


def holds_of(hits: list[tuple[int, int, str]]) -> list[Hold]:
    """Return who had it from when to when."""
    holds: list[Hold] = []
    holder, since = None, 0
    for at, tid, what in hits:
        if what == "take":
            if holder is not None and holder != tid and at > since:
                holds.append((since, at, holder))
            holder, since = tid, at
        elif holder == tid:
            if at > since:
                holds.append((since, at, tid))
            holder = None
    return holds


def both(truth: list[Hold], seen: list[Hold], begin: int, end: int) -> float:
    """Return the share of the time between two moments in which both say the same, nobody included."""
    edges = sorted({begin, end, *(at for hold in truth + seen for at in hold[:2] if begin < at < end)})
    same = 0
    places = [0, 0]
    for at, until in itertools.pairwise(edges):
        said = []
        for which, holds in enumerate((truth, seen)):
            while places[which] < len(holds) and holds[places[which]][1] <= at:
                places[which] += 1
            hold = holds[places[which]] if places[which] < len(holds) else None
            said.append(hold[2] if hold is not None and hold[0] <= at else None)
        same += (until - at) * (said[0] == said[1])
    return same / (end - begin)
