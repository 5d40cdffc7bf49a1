"""The processes of a storm, as the system lists them: known by a word in their environment."""

import os
import time

TOKEN_VARIABLE = "PLAIT_CHAOS_TOKEN"


def token() -> str:
    """What all processes of this storm have in their environment."""
    return os.environ[TOKEN_VARIABLE]


def is_ours(pid: int) -> bool:
    """Whether the process was started in this storm (what has ended is not)."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return f"{TOKEN_VARIABLE}={token()}".encode() in file.read().split(b"\0")
    except OSError:
        return False


def parent_of(pid: int) -> int:
    """The process's parent; 0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def is_nursery(pid: int) -> bool:
    """Whether the process was started as a nursery; a worker, forked from one, looks the same."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"plait._nursery" in file.read()
    except OSError:
        return False


def processes() -> list[int]:
    """All living processes of this storm but this one."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and is_ours(pid)]


def nurseries() -> list[int]:
    """The nurseries of this process."""
    return [pid for pid in processes() if parent_of(pid) == os.getpid() and is_nursery(pid)]


def wait_for_end(seconds: float) -> list[int]:
    """Waits until only nurseries without children are left of this storm; else what is left after so long."""
    deadline = time.monotonic() + seconds
    while True:
        own = set(nurseries())
        left = [pid for pid in processes() if pid not in own]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)
