"""Who waits for the GIL, by the word in which Python 3.15 says so, against what `plait record` says."""

import bisect
import os
import random
import struct
import time
from typing import Any

from observing.watching import Target, recording

#: A sample whose reads take longer than this, in nanoseconds, is of no one moment.
ONE_MOMENT = 60_000


def measure(seconds: float, python: str) -> dict[str, Any]:
    """Return the share of the samples in which both say the same of a thread."""
    numbers = random.Random(3)
    with Target("mix", python=python) as target:
        words = target.ask()["requests"]
        samples: list[tuple[int, list[int]]] = []
        memory = os.open(f"/proc/{target.pid}/mem", os.O_RDONLY)
        try:
            with recording(target.pid) as found:
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    time.sleep(numbers.uniform(0.0005, 0.0015))
                    before = time.monotonic_ns()
                    read = [struct.unpack("<i", os.pread(memory, 4, address))[0] for _, address in words]
                    after = time.monotonic_ns()
                    if after - before < ONE_MOMENT:
                        samples.append(((before + after) // 2, read))
        finally:
            os.close(memory)
    origin = found["began"]["monotonic"]
    lanes = {thread["tid"]: thread["spans"] for thread in found["threads"]}
    begins = {tid: [span["from"] for span in spans] for tid, spans in lanes.items()}
    same = unseen = waiting = count = 0
    for at, read in samples:
        for (tid, _), requested in zip(words, read, strict=True):
            place = bisect.bisect_right(begins[tid], at - origin) - 1
            # Before the first look at the thread, and after the last one.
            if place < 0 or lanes[tid][place]["to"] <= at - origin:
                continue
            state = lanes[tid][place]["state"]
            count += 1
            unseen += state == "unknown"
            waiting += requested
            same += state != "unknown" and (state == "waits") == bool(requested)
    return {
        "agreed": same / count,
        "unseen": unseen / count,
        "waiting": waiting / count,
        "samples": count,
    }
