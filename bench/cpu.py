"""Wall time and CPU time of a piece of work, the work of all child processes included.

CPU time is read from each process's own clock (`clock_getcpuclockid`), which has nanoseconds and counts
threads that have ended, unlike the ticks and the per-thread files of /proc.
"""

import gc
import time
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """Return the processes started by `pid`, and by those, and so on."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name between the brackets may hold anything, so the fields are counted from its end.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [pid]
    for known in found:
        found.extend(children.get(known, ()))
    return found[1:]


def process_cpu(pid: int) -> int:
    """Return the CPU time of a process in nanoseconds, 0 when it is gone."""
    try:
        # The kernel's encoding of "the whole process's clock, at the scheduler's precision".
        return time.clock_gettime_ns(((~pid) << 3) | 2)
    except OSError:
        return 0


class Meter:
    """Measures what happens between entering and leaving it; the start of a pool too, if it is not warm."""

    wall_ns: int
    parent_cpu_ns: int
    workers_cpu_ns: int
    # Processes that ended meanwhile took their clock with them: above 0, the CPU figure is too low.
    lost_processes: int

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> "Meter":
        gc.collect()
        self._workers = {pid: process_cpu(pid) for pid in descendants(self._pid)}
        self._parent = time.process_time_ns()
        self._began = time.perf_counter_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall_ns = time.perf_counter_ns() - self._began
        self.parent_cpu_ns = time.process_time_ns() - self._parent
        after = {pid: process_cpu(pid) for pid in descendants(self._pid)}
        self.workers_cpu_ns = sum(spent - self._workers.get(pid, 0) for pid, spent in after.items())
        self.lost_processes = len(self._workers.keys() - after.keys())
