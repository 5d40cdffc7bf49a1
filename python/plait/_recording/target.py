"""The process that is looked at: one that runs already, or a command that is started for it.

A command is a child in the same group and on the same terminal, so Ctrl-C reaches it as always. Its end is
seen by a pidfd and it is waited for only when the observer has let go of it: the kernel reports the stops of
a traced thread to whoever waits first, and they are the observer's.
"""

import contextlib
import os
import select
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from plait import _core


class Refused(Exception):
    """What was asked for cannot be done: one line, with the remedy."""


class Target:
    """A process to look at.

    Attributes:
        pid: Its number.
        what: What a recording says it is of.
        notes: What the user should know before, a line each.

    """

    def __init__(self, pid: int, what: str, notes: Sequence[str] = ()) -> None:
        """Take a process that exists."""
        self.pid = pid
        self.what = what
        self.notes = list(notes)
        self._pidfd: int | None = None
        with contextlib.suppress(OSError):
            # Some containers have none.
            self._pidfd = os.pidfd_open(pid)

    def ended_within(self, seconds: float) -> bool:
        """Wait so long for its end, or until a signal comes; whether it has ended."""
        if self._pidfd is None:
            time.sleep(min(seconds, 0.05))
            return _has_ended(self.pid)
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Look at it no more."""
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


class Command(Target):
    """A command that was started to be looked at."""

    def reap(self) -> int:
        """Wait for its end and give its exit code; of a signal, 128 and its number."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return code if code >= 0 else 128 - code


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def attach(pid: int, children: bool) -> Target:
    """Take a running process, or raise `Refused` where nothing of it could be shown."""
    if pid < 1 or not Path(f"/proc/{pid}").exists():
        raise Refused(f"there is no process {pid}; `pgrep -af python` lists those of Python")
    if (group := _group_of(pid)) not in (pid, None):
        raise Refused(f"{pid} is a thread of process {group}; give that number")
    if pid == os.getpid():
        raise Refused(f"process {pid} is this very command; give the PID of another")
    what = f"PID {pid}"
    refusal = _core.gil_refusal(pid)
    if refusal is None:
        return Target(pid, what)
    word, why = refusal
    if word == "gone":
        raise Refused(f"process {pid} has ended already")
    if word == "denied":
        raise Refused(why)
    if word == "not python":
        return Target(pid, what, [_of_children(pid, children)])
    if word == "no gil":
        return Target(
            pid, what, [f"{why}; shown is which threads are attached, and what the kernel says of each"]
        )
    if word == "not ready":
        return Target(pid, what)
    return Target(pid, what, [f"{why}; shown is what the kernel says of its threads"])


def _of_children(pid: int, children: bool) -> str:
    """Say which processes under one that is not Python are; raise `Refused` if none is."""
    name = _name_of(pid)
    pythons = []
    for child in _core.process_tree(pid)[1:]:
        if child == os.getpid():
            # In a shell's own tree there is this command, too.
            continue
        refusal = _core.gil_refusal(child)
        if refusal is None or refusal[0] not in ("gone", "not python"):
            pythons.append(child)
    if not pythons:
        raise Refused(
            f"process {pid} ({name}) is not CPython, and no process under it is; "
            "`pgrep -af python` lists those that are"
        )
    listed = " and ".join(
        [", ".join(map(str, pythons[:-1])), str(pythons[-1])] if pythons[1:] else [str(pythons[0])]
    )
    if not children:
        raise Refused(
            f"process {pid} ({name}) is not CPython, but {listed} under it: give that number, "
            "or leave out --no-children"
        )
    return f"process {pid} ({name}) is not CPython; looked at is what runs under it: {listed}"


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def _group_of(pid: int) -> int | None:
    """Give the process that a thread belongs to; a process belongs to itself."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    return None


def start(command: list[str], spool: int | None = None) -> Command:
    """Start a command, or raise `Refused`. With `spool`, it prints into that file and has nothing to read."""
    actions: list[tuple[int, int, str, int, int] | tuple[int, int, int]] = []
    if spool is not None:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, spool, 1),
            (os.POSIX_SPAWN_DUP2, spool, 2),
        ]
    # Python ignores these two, which others do not expect.
    signals = [signal.SIGPIPE, signal.SIGXFSZ]
    try:
        pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions, setsigdef=signals)
    except OSError as error:
        raise Refused(f"cannot start {command[0]!r}: {_why_not(command, error)}") from None
    return Command(pid, shlex.join(command))


def _why_not(command: list[str], error: OSError) -> str:
    script = command[0].endswith((".py", ".pyw")) and os.path.isfile(command[0])
    if script:
        return f"it is a script; name its Python: -- python {shlex.join(command)}"
    if isinstance(error, FileNotFoundError):
        return "there is no such command" if os.sep not in command[0] else "there is no such file"
    if isinstance(error, PermissionError):
        kind = "a folder" if os.path.isdir(command[0]) else "not executable"
        return f"it is {kind}"
    return str(error.strerror)
