"""Programs that end one way or another: starting them, sending them signals, and looking for what they left.

A program gets two folders: the gate of `workloads.pass_gate`, as `sys.argv[1]`, and an empty one for whatever
somebody would put into a temporary file. It runs in a session of its own; what is typed at a terminal goes to
all of it.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from outside import PATIENCE, Ended, descendants, finish, kill_session, start_program, until

# The head of each program. Some of them are ended by signals that write a core file otherwise.
HEAD = """
import os, resource, sys, time
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
folder = sys.argv[1]
"""

# Ways to have a pool of two workers; `start(n)` begins `n` calls that end when the gate opens.
POOLS = {
    "ProcessPoolExecutor": """
import plait, workloads as w
executor = plait.ProcessPoolExecutor(2)
def start(n):
    return [executor.submit(w.pass_gate, folder, k, k) for k in range(n)]
""",
    "Executor": """
import plait, workloads as w
executor = plait.Executor("processes", 2)
def start(n):
    return [executor.submit(w.pass_gate, folder, k, k) for k in range(n)]
""",
    "map": """
import plait, workloads as w
def start(n):
    return plait.map(w.pass_gate, [folder] * n, range(n), range(n), backend="processes", workers=2)
""",
}

SHARED_MEMORY = "/dev/shm"
# A semaphore of multiprocessing: plait makes none, and its name does not tell whose it is. Another test ends
# a program of the standard library by SIGKILL, with who would have removed its semaphores.
NOT_OURS = "sem.mp-"


class Program:
    """A running program."""

    def __init__(self, tmp_path, script, env=None, flags=(), **options):
        self.gate = tmp_path / "gate"
        self.temporary = tmp_path / "temporary"
        self.gate.mkdir(exist_ok=True)
        self.temporary.mkdir(exist_ok=True)
        self._shared = set(os.listdir(SHARED_MEMORY))
        env = {"TMPDIR": str(self.temporary), **(env or {})}
        options = {"stdin": subprocess.DEVNULL, **options}
        self._process = start_program(*flags, "-c", HEAD + script, self.gate, env=env, **options)
        self.pid = self._process.pid
        self._said = []

    def line(self):
        """The next line the program prints; it is printed before PATIENCE is over, or there is none."""
        said = self._process.stdout.readline()
        self._said.append(said)
        return said.rstrip("\n")

    def wait_for(self, line):
        """Reads until the program prints this."""
        while (said := self.line()) != line:
            if not said and self._process.poll() is not None:
                raise AssertionError(f"the program ended before it said {line!r}: {self.finish()}")

    def running(self, *names):
        """Waits until these calls have begun."""
        names = {str(name) for name in names}
        self.until(lambda: names <= set(self.begun()), f"the start of calls {names}")

    def until(self, condition, what):
        """Waits until something is true while the program runs; else it is ended, and shown."""
        try:
            until(lambda: condition() or not self.is_running(), what)
            assert condition() or self.is_running(), f"the program ended before {what}"
        except AssertionError as error:
            kill_session(self.pid)
            raise AssertionError(f"{error}: {self.finish()}") from None

    def begun(self):
        """The names of the calls that have begun."""
        names = os.listdir(self.gate)
        return sorted(name.removeprefix("entered-") for name in names if name.startswith("entered-"))

    def open_gate(self):
        """Lets all calls end."""
        (self.gate / "open").touch()

    def signal(self, number, to="group"):
        """Sends a signal, to all as a terminal does or to the program alone; gives the moment."""
        sent = time.monotonic()
        # Nobody is there any more if the program has ended by itself.
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to == "group" else os.kill)(self.pid, number)
        return sent

    def helpers(self):
        """The living processes that the program has started."""
        return descendants(self.pid)

    def is_running(self):
        """Whether the program has not ended."""
        return self._process.poll() is None

    def finish(self):
        """How the program ended; fails if it does not, or if anything of it is left."""
        try:
            ended = finish(self._process)
        finally:
            kill_session(self.pid)
        ended = Ended(ended.code, "".join(self._said) + ended.out, ended.err)
        assert os.listdir(self.temporary) == [], ended
        until(lambda: not self._left(), lambda: f"an end of {self._left()} in {SHARED_MEMORY}")
        return ended

    def _left(self):
        """What lies in shared memory since the program's start, but for what belongs to other programs."""
        new = set(os.listdir(SHARED_MEMORY)) - self._shared
        new = {name for name in new if not name.startswith(NOT_OURS)}
        return sorted(name for name in new if not (names_another(name, self.pid) or is_held(name)))


def names_another(name, pid):
    """Whether what lies in shared memory has another process's id in its name, as loky's semaphores have."""
    ids = re.findall(r"(?<![^-_.])[0-9]+(?![^-_.])", name)
    return bool(ids) and str(pid) not in ids


def is_held(name):
    """Whether a living process uses this file in shared memory."""
    path = os.path.join(SHARED_MEMORY, name)
    for process in filter(str.isdigit, os.listdir("/proc")):
        # Processes end meanwhile.
        with contextlib.suppress(OSError):
            if path in Path(f"/proc/{process}/maps").read_text():
                return True
            fds = f"/proc/{process}/fd"
            for fd in os.listdir(fds):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{fds}/{fd}").startswith(path):
                        return True
    return False


def reports(err):
    """How many errors the text reports; one that came while another was handled belongs to it."""
    chained = re.findall(r"During handling of the above exception|was the direct cause of the following", err)
    return err.count("Traceback (most recent call last)") - len(chained)


def check_interrupted(ended, sent=None):
    """The program ended by a Ctrl-C that nobody caught, and said so once; it got it soon after `sent`."""
    assert ended.code == -signal.SIGINT, ended
    assert reports(ended.err) == 1 and ended.err.rstrip().endswith("KeyboardInterrupt"), ended
    assert "plait:" not in ended.err and "leaked" not in ended.err, ended
    if sent is not None:
        [heard] = [float(line.split()[1]) for line in ended.out.splitlines() if line.startswith("heard ")]
        # Milliseconds where nothing else runs; what must never be is the time of a call.
        assert heard - sent < PATIENCE / 4, ended
    return ended
