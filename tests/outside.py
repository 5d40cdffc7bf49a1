"""Looking at processes from outside: waiting for things to become true, children, programs run on their own.

Nothing here sleeps for luck: everything polls, with a deadline generous enough for a loaded machine.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

# How long anything may take before a test calls it hung.
PATIENCE = 40.0

TESTS = Path(__file__).parent


def until(condition, what):
    """Polls until `condition()` is true and gives its value; fails after `PATIENCE`, naming `what`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain for: {what() if callable(what) else what}")
        time.sleep(0.005)


def stat_of(pid):
    """Gives (parent, state, start time) of a process, or None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[1]), fields[0], fields[19]


def is_alive(pid):
    """Whether the process exists, and is no zombie."""
    stat = stat_of(pid)
    return stat is not None and stat[1] not in "ZX"


def children(pid, zombies=False):
    """The process ids of a process's living children."""
    found = []
    told = _told_children(pid)
    for child in _all_processes() if told is None else told:
        stat = stat_of(child)
        if stat is not None and stat[0] == pid and (zombies or stat[1] not in "ZX"):
            found.append(child)
    return found


def _told_children(pid):
    """What the kernel lists as the children of each thread; None when there is no process, or no such list.

    A list may lack one if another ends while it is read, so it counts when it has been read twice.
    """
    seen = None
    while True:
        listed = []
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                listed += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            return None
        if listed == seen:
            return [int(child) for child in listed]
        seen = listed


def _all_processes():
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def is_nursery(pid):
    """Whether the process was started as a nursery (a worker, forked from one, looks the same)."""
    try:
        return b"plait._nursery" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def nurseries(pid):
    """The nurseries that belong to a process."""
    return [child for child in children(pid) if is_nursery(child)]


def descendants(pid):
    """All living processes below a process."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


class Ended:
    """How a program ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    @property
    def lines(self):
        """The lines of standard output; fails unless the program ended well, and silently."""
        assert self.code == 0 and self.err == "", self
        return self.out.splitlines()


def start_program(*args, **options):
    """Starts this Python with these arguments, in a session of its own, with the tests importable."""
    env = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1", **options.pop("env", {})}
    pipe = subprocess.PIPE
    streams = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "text": True, **options}
    return subprocess.Popen([sys.executable, *map(str, args)], env=env, start_new_session=True, **streams)


def finish(program, stdin=None, patience=PATIENCE):
    """Waits until the program and all of its session are gone; a program that hangs is killed, and fails."""
    try:
        out, err = program.communicate(stdin, timeout=patience)
    except subprocess.TimeoutExpired:
        kill_session(program.pid)
        out, err = program.communicate()
        raise AssertionError(f"the program hung: {Ended(program.returncode, out, err)}") from None
    try:
        until(
            lambda: not session(program.pid),
            lambda: f"the end of {session(program.pid)}, left by the program",
        )
    except AssertionError:
        kill_session(program.pid)
        raise
    return Ended(program.returncode, out, err)


def run_program(*args, stdin=None, patience=PATIENCE, **options):
    """Runs this Python with these arguments to its end."""
    return finish(start_program(*args, **options), stdin, patience)


def session(sid):
    """The living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.getsid(int(entry)) == sid and is_alive(int(entry)):
                    found.append(int(entry))
            except OSError:
                continue
    return found


def kill_session(sid):
    """Kills what is left of a session that `start_program` made."""
    for pid in session(sid):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue
