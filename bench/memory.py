"""The memory of a process and all that it started, and its peak while something is done.

Counted are the anonymous pages of each process, the pages of the anonymous shared memory (memfd) that they
have open, each file once however many map it, and what lies in /dev/shm. Pages that two processes see are so
counted once, and pages that nobody has mapped are counted too, which sums of RSS or of PSS do not do. What
other programs do is not in it, except for what they have in /dev/shm.

The peak is sampled by a process of its own, about every millisecond: `memory.py PID` says `ready`, goes on
until its standard input ends, and then prints the bytes before and at the peak.
"""

import os
import subprocess
import sys
import threading

from cpu import descendants

# So many samples are taken before new child processes are looked for.
SAMPLES = 50


def anonymous(pid: int) -> int:
    """Return the bytes of a process's own pages."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0


def open_memory(pid: int) -> dict[tuple[int, int], int]:
    """Return the bytes of each anonymous file that a process has open, by its device and number."""
    found = {}
    folder = f"/proc/{pid}/fd"
    for entry in os.listdir(folder):
        path = f"{folder}/{entry}"
        try:
            if os.readlink(path).startswith("/memfd:"):
                stat = os.stat(path)
                found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
        except OSError:
            # It was closed between two looks.
            continue
    return found


def in_dev_shm() -> int:
    """Return the bytes in /dev/shm, of files without a name too."""
    try:
        stat = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize


def in_use(pids: list[int]) -> int:
    """Return the bytes that these processes use together."""
    total, files = in_dev_shm(), {}
    for pid in pids:
        try:
            total += anonymous(pid)
            files.update(open_memory(pid))
        except OSError:
            # It ended between two looks.
            continue
    return total + sum(files.values())


class Peak:
    """Measures, between entering and leaving it, the most memory in use above what was before: `extra`."""

    extra: int

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> "Peak":
        self._sampler = subprocess.Popen(
            [sys.executable, __file__, str(self._pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._sampler.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        said, _ = self._sampler.communicate()
        before, peak = map(int, said.split())
        self.extra = peak - before


def main() -> None:
    """Sample until standard input ends."""
    root, ended = int(sys.argv[1]), threading.Event()

    def processes() -> list[int]:
        return [pid for pid in (root, *descendants(root)) if pid != os.getpid()]

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    pids = processes()
    before = peak = in_use(pids)
    print("ready", flush=True)
    threading.Thread(target=wait_for_the_end, daemon=True).start()
    samples = 0
    while not ended.wait(0.0005):
        peak = max(peak, in_use(pids))
        samples += 1
        if samples % SAMPLES == 0:
            pids = processes()
    print(before, peak)


if __name__ == "__main__":
    main()
