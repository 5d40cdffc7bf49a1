"""What a program and all processes that it has started use, read from outside, by /proc.

They are known by a word in their environment, so those count too that lost their parent.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KB_IN_MB = 1024
SHM = "/dev/shm"


@dataclass
class Process:
    """One process, at one moment; memory in MB."""

    pid: int
    role: str = "others"
    zombie: bool = False
    rss: float = 0.0
    pss: float = 0.0
    anonymous: float = 0.0
    threads: int = 0
    descriptors: int = 0
    mappings: int = 0
    # The files in memory that it has open: (device, inode) to MB that are allocated.
    shared: dict[tuple[int, int], float] = field(default_factory=dict)
    in_shm: set[str] = field(default_factory=set)


class Sampler:
    """Takes samples of the processes that have `word` in their environment; `root` is the first of them."""

    def __init__(self, word: str, root: int, folder: str) -> None:
        """`folder` is where the program puts its temporary files, which are counted."""
        self._word, self._root, self._folder = word.encode(), root, folder
        # (process id, start) to whether it is one of ours: an environment is read once.
        self._known: dict[tuple[int, str], bool] = {}

    def sample(self, lasting: Iterable[int]) -> dict[str, Any]:
        """The figures of now; `lasting` are workers that are to live as long as the program."""
        lasting = set(lasting)
        everyone = self._processes()
        for process in everyone:
            if process.pid == self._root:
                process.role = "program"
            elif process.pid in lasting:
                process.role = "lasting"
            elif is_nursery(process.pid, self._root):
                process.role = "nurseries"
            if not process.zombie:
                look(process)
        groups = {
            role: total([process for process in everyone if process.role == role])
            for role in ("program", "lasting", "nurseries")
        }
        shared: dict[tuple[int, int], float] = {}
        for process in everyone:
            shared.update(process.shared)
        return {
            **groups,
            "tree": total(everyone),
            "shared": {
                "files": len(shared),
                "mb": round(sum(shared.values()), 2),
                "in_shm": len(set().union(*(process.in_shm for process in everyone))),
            },
            "temporary": sum(len(files) for _, _, files in os.walk(self._folder)),
            "load": os.getloadavg()[0],
        }

    def _processes(self) -> list[Process]:
        found, seen, parents = [], {}, {}
        for entry in os.listdir("/proc"):
            fields = stat_of(entry) if entry.isdigit() else None
            if fields is None:
                continue
            pid, key = int(entry), (int(entry), fields[19])
            ours = self._known.get(key)
            if ours is None or fields[0] == "Z":
                environment = read(f"/proc/{pid}/environ")
                # Of a zombie, and of one that starts just now, there is nothing to read.
                ours = bool(ours) or self._word in environment.split(b"\0")
                if not environment:
                    parents[pid] = (int(fields[1]), fields[0])
                    continue
            seen[key] = ours
            if ours:
                found.append(Process(pid))
        pids = {process.pid for process in found}
        found += [
            Process(pid, zombie=True)
            for pid, (parent, state) in parents.items()
            if state == "Z" and parent in pids
        ]
        self._known = seen
        return found


def look(process: Process) -> None:
    """Completes it; what has ended meanwhile stays at nothing."""
    place = f"/proc/{process.pid}"
    status = fields_of(f"{place}/status")
    process.rss = status.get("VmRSS", 0) / KB_IN_MB
    process.anonymous = status.get("RssAnon", 0) / KB_IN_MB
    process.threads = status.get("Threads", 0)
    process.pss = fields_of(f"{place}/smaps_rollup").get("Pss", 0) / KB_IN_MB
    if process.role != "others":
        process.mappings = read(f"{place}/maps").count(b"\n")
    try:
        descriptors = os.listdir(f"{place}/fd")
    except OSError:
        return
    process.descriptors = len(descriptors)
    for descriptor in descriptors:
        path = f"{place}/fd/{descriptor}"
        try:
            target = os.readlink(path)
            if target.startswith("/memfd:"):
                about = os.stat(path)
                process.shared[about.st_dev, about.st_ino] = about.st_blocks * 512 / 2**20
            elif target.startswith(SHM):
                process.in_shm.add(target)
        except OSError:
            continue


def total(processes: list[Process]) -> dict[str, float]:
    """What these use together."""
    names = ("rss", "pss", "anonymous", "threads", "descriptors", "mappings")
    sums = {name: round(sum(getattr(process, name) for process in processes), 2) for name in names}
    zombies = sum(process.zombie for process in processes)
    return {"processes": len(processes) - zombies, "zombies": zombies, **sums}


def is_nursery(pid: int, root: int) -> bool:
    """Whether a child of the program is one; a worker, forked from one, looks the same."""
    fields = stat_of(str(pid))
    return fields is not None and int(fields[1]) == root and b"plait._nursery" in read(f"/proc/{pid}/cmdline")


def stat_of(pid: str) -> list[str] | None:
    """State, parent and so on; None when there is no such process."""
    return read(f"/proc/{pid}/stat").decode(errors="replace").rpartition(")")[2].split() or None


def fields_of(path: str) -> dict[str, int]:
    """The lines of a file that are a name and a number."""
    lines = (line.split() for line in read(path).decode(errors="replace").splitlines())
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def read(path: str) -> bytes:
    """A file of a process; nothing when that has ended, or is another user's."""
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
