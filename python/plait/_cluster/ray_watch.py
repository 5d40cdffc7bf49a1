"""The end of a Ray instance of plait's own: its processes, and the folder for what they put on disk.

Run as a program beside it, this waits for the end of the program that has started it, however it comes: of
what Ray starts, some goes on when that is killed. It imports nothing of plait.
"""

import os
import select
import shutil
import signal
import sys
import tempfile
import time

# By this each process of the instance says that it belongs to it.
FOLDER = "PLAIT_CLUSTER_FOLDER"

# Seconds until processes that were killed have gone, on a machine that is busy.
_GONE = 30.0


def new_folder(longest: int) -> str:
    """Make a folder with a name no longer than that, if it can be."""
    prefix = "plait-ray-"
    place = tempfile.gettempdir()
    if len(os.path.join(place, prefix)) + 8 > longest:
        place = "/tmp"
    return tempfile.mkdtemp(prefix=prefix, dir=place)


def processes(folder: str) -> list[int]:
    """Give the living processes of the instance, but this one."""
    mark = os.fsencode(f"{FOLDER}={folder}")
    found, parents = set(), {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    state, parent = file.read().rpartition(")")[2].split()[:2]
                if state in "ZX":
                    continue
                parents[int(entry)] = int(parent)
                if _is_of(entry, mark, folder):
                    found.add(int(entry))
            except OSError:
                continue
    # And what workers have started.
    before = 0
    while len(found) > before:
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return sorted(found)


def _is_of(pid: str, mark: bytes, folder: str) -> bool:
    with open(f"/proc/{pid}/environ", "rb") as file:
        if mark in file.read().split(b"\0"):
            return True
    # Workers write their titles where the mark was, but have their logs open.
    inside = os.path.join(folder, "")
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{number}").startswith(inside):
                return True
        except OSError:
            # Closed meanwhile.
            continue
    return False


def kill(folder: str, but: bytes | None = None) -> None:
    """Kill the processes of the instance; `but`: what the name of one that is left alone ends with."""
    for pid in processes(folder):
        try:
            if but is not None:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if file.read().split(b"\0")[0].endswith(but):
                        continue
            os.kill(pid, signal.SIGKILL)
        except OSError:
            # It has gone.
            continue


def end(folder: str) -> None:
    """Kill what is left of it, and remove its folder."""
    deadline = time.monotonic() + _GONE
    while time.monotonic() < deadline:
        # One may have started another meanwhile, or have written a file while its folder was removed.
        if processes(folder):
            kill(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            if not os.path.lexists(folder):
                return
        time.sleep(0.01)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Wait for the end of the program, then end what it has left."""
    program, folder = int(sys.argv[1]), sys.argv[2]
    try:
        watched = os.pidfd_open(program)
        # Its number may have gone to another one already.
        if os.getppid() == program:
            select.select([watched], [], [])
    except ProcessLookupError:
        pass
    end(folder)


if __name__ == "__main__":
    main()
