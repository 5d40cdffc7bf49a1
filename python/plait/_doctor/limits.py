"""Limits: what the system grants a process, and what it lets one process see of another."""

import errno
import os
import resource
from functools import partial
from pathlib import Path
from typing import Any

from plait._doctor.finding import Finding, Section, amount, size
from plait._doctor.probe import Probe

NAME = "limits"
finding = partial(Finding, NAME)

# A worker process takes a few descriptors of the parent's, and the program has files and sockets of its own.
_FILES = 256
_FILES_PER_WORKER = 8
# A worker is a process with a few threads.
_TASKS = 16
_TASKS_PER_WORKER = 4

_STACK = 512 << 10
_ADDRESSES = 4 << 30
# What container engines give unless told.
_SMALL_SHM = 64 << 20

_PTRACE = {
    0: "any process of the same user may be looked into",
    1: "a process may look into those it started, and root into all",
    2: "only root may look into other processes",
    3: "no process may look into another",
}


def look(cpus: int, groups: list[str], probe: Probe) -> Section:
    """Look at the limits.

    Args:
        cpus: How many workers a pool has.
        groups: The directories of the control groups that limit processes, the process's own first.
        probe: A process that this one has started, to be looked into.

    """
    section = Section(NAME)
    limit = resource.getrlimit
    section.look("open files", judge_files, lambda: limit(resource.RLIMIT_NOFILE), lambda: cpus)
    section.look(
        "user processes",
        judge_processes,
        lambda: limit(resource.RLIMIT_NPROC),
        read_tasks,
        os.geteuid,
        lambda: cpus,
    )
    section.look("pids.max", judge_pids, lambda: read_pids(groups), lambda: cpus)
    section.look("stack", judge_stack, lambda: limit(resource.RLIMIT_STACK))
    section.look("address space", judge_addresses, lambda: limit(resource.RLIMIT_AS))
    section.look("CPU time", judge_cpu_time, lambda: limit(resource.RLIMIT_CPU))
    section.look("file size", judge_file_size, lambda: limit(resource.RLIMIT_FSIZE))
    section.look("core files", judge_core, lambda: limit(resource.RLIMIT_CORE))
    section.look("/dev/shm", judge_shm, read_shm)
    section.look("shared memory", judge_memfd, try_memfd)
    section.look("process memory", judge_looking, lambda: try_looking(probe.pid))
    section.look("ptrace_scope", judge_ptrace, lambda: read_number("/proc/sys/kernel/yama/ptrace_scope"))
    section.look("hidepid", judge_hidepid, lambda: Path("/proc/self/mountinfo").read_text())
    section.look(
        "perf_event_paranoid", judge_perf, lambda: read_number("/proc/sys/kernel/perf_event_paranoid")
    )
    return section


Limit = tuple[int, int]


def _value(limit: Limit) -> dict[str, int | None]:
    soft, hard = (None if number == resource.RLIM_INFINITY else number for number in limit)
    return {"soft": soft, "hard": hard}


def judge_files(limit: Limit, cpus: int) -> Finding:
    """How many descriptors the program may have."""
    value = _value(limit)
    soft, hard = value["soft"], value["hard"]
    if soft is None:
        return finding("open files", value, "no limit")
    text = f"{soft:,} at a time"
    if soft >= _FILES + _FILES_PER_WORKER * cpus:
        return finding("open files", value, text)
    text += f": few for {amount(cpus, 'worker')} and the program's own files and sockets"
    most = "no limit" if hard is None else f"{hard:,}"
    remedy = f"ulimit -n 4096 (the most that can be asked for: {most})"
    return finding("open files", value, text, "warn", remedy)


def judge_processes(limit: Limit, tasks: int, uid: int, cpus: int) -> Finding:
    """How many processes and threads the user may have; root is not held to it."""
    value = {**_value(limit), "used": tasks}
    soft = value["soft"]
    if soft is None:
        return finding("user processes", value, "no limit")
    text = f"{soft:,} processes and threads of this user, {tasks:,} are there"
    if uid == 0:
        return finding("user processes", value, f"{text}; root is not held to it")
    if soft - tasks >= _TASKS + _TASKS_PER_WORKER * cpus:
        return finding("user processes", value, text)
    return finding("user processes", value, f"{text}: too few are left for a pool", "warn", "ulimit -u 4096")


def judge_pids(groups: list[dict[str, Any]], cpus: int) -> Finding | None:
    """How many processes and threads control groups allow: the one with the least room."""
    if not groups:
        return None
    tightest = min(groups, key=lambda group: group["max"] - group["current"])
    most, current, file = tightest["max"], tightest["current"], tightest["file"]
    text = f"{most:,} processes and threads, {current:,} are there; set in {file}"
    if most - current >= _TASKS + _TASKS_PER_WORKER * cpus:
        return finding("pids.max", tightest, text)
    remedy = "raise it where the container or the service is started (--pids-limit, TasksMax=)"
    return finding("pids.max", tightest, f"{text}: too few are left for a pool", "warn", remedy)


def judge_stack(limit: Limit) -> Finding:
    """How large the stack of a new thread is."""
    value = _value(limit)
    soft = value["soft"]
    if soft is None:
        return finding("stack", value, "no limit")
    if soft >= _STACK:
        return finding("stack", value, f"{size(soft)} for each thread")
    text = f"{size(soft)} for each thread: deep recursion and some native libraries crash"
    return finding("stack", value, text, "warn", "ulimit -s 8192, or threading.stack_size(8 << 20)")


def judge_addresses(limit: Limit) -> Finding:
    """How many addresses a process may have, used or not."""
    value = _value(limit)
    soft = value["soft"]
    if soft is None:
        return finding("address space", value, "no limit")
    text = f"{size(soft)} for each process, used or not"
    if soft >= _ADDRESSES:
        return finding("address space", value, text, "note", "ulimit -v unlimited")
    text += ": threads' stacks and arenas and plait's shared memory may not find room"
    return finding("address space", value, text, "warn", "ulimit -v unlimited")


def judge_cpu_time(limit: Limit) -> Finding | None:
    """After how much processor time a process is killed; nothing where it never is."""
    value = _value(limit)
    soft = value["soft"]
    if soft is None:
        return None
    text = f"a process that has used {amount(soft, 'second')} is killed, workers too"
    return finding("CPU time", value, text, "warn", "ulimit -t unlimited")


def judge_file_size(limit: Limit) -> Finding | None:
    """How large a file may become; nothing where it may be any size. Shared memory is a file, too."""
    value = _value(limit)
    soft = value["soft"]
    if soft is None:
        return None
    text = f"{size(soft)}, also for the memory that plait's processes share"
    return finding("file size", value, text, "warn", "ulimit -f unlimited")


def judge_core(limit: Limit) -> Finding:
    """Whether a crash leaves a core file."""
    value = _value(limit)
    soft = value["soft"]
    if soft == 0:
        return finding(
            "core files", value, "none is written when a worker crashes (ulimit -c unlimited: one is)"
        )
    return finding("core files", value, "no limit" if soft is None else f"up to {size(soft)}")


def judge_shm(shm: dict[str, Any] | None) -> Finding:
    """What others put shared memory into; plait does not."""
    users = "plait needs none of it; multiprocessing, joblib and PyTorch share memory there"
    remedy = "docker run --shm-size=1g; or share data by plait.share, which needs none"
    if shm is None:
        return finding("/dev/shm", None, f"not there; {users}", "note", "mount a tmpfs at /dev/shm")
    text = f"{size(shm['size'])}, {size(shm['free'])} free"
    if not shm["writable"]:
        return finding("/dev/shm", shm, f"{text}, but not to be written; {users}", "warn", remedy)
    if shm["size"] <= _SMALL_SHM or shm["free"] <= _SMALL_SHM // 4:
        return finding("/dev/shm", shm, f"{text}: small; {users}", "warn", remedy)
    return finding("/dev/shm", shm, text)


def judge_memfd(failure: str | None) -> Finding:
    """Whether anonymous shared memory can be made, which plait's processes live on."""
    if failure is None:
        return finding("shared memory", True, "can be made (memfd_create)")
    remedy = "allow the system call memfd_create in the sandbox's or the container's seccomp profile"
    return finding("shared memory", False, f"cannot be made: {failure}", "error", remedy)


def judge_looking(failure: str | None) -> Finding:
    """Whether a process that this one started can be looked into, as `plait compare` does for GIL waits."""
    if failure is None:
        text = "this program can look into those it starts: plait compare sees who waits for the GIL"
        return finding("process memory", True, text)
    text = f"plait compare cannot tell who waits for the GIL: {failure}"
    if "may not" not in failure and "cannot be read" not in failure:
        # There is no GIL, or none that plait knows its way around in.
        return finding("process memory", False, text, "note")
    remedy = "sysctl kernel.yama.ptrace_scope=1; in a container --cap-add SYS_PTRACE; or run as root"
    return finding("process memory", False, text, "warn", remedy)


def judge_ptrace(scope: int | None) -> Finding:
    """Who may look into processes that he did not start."""
    if scope is None:
        return finding("ptrace_scope", None, f"not there: {_PTRACE[0]}")
    text = f"{scope}: {_PTRACE.get(scope, 'not known')}"
    if scope <= 1:
        return finding("ptrace_scope", scope, text)
    remedy = (
        "sysctl kernel.yama.ptrace_scope=1" if scope == 2 else "kernel.yama.ptrace_scope=1 at the next boot"
    )
    return finding("ptrace_scope", scope, text, "note", remedy)


def judge_hidepid(mountinfo: str) -> Finding | None:
    """Whether /proc hides the processes of other users; nothing where it hides none."""
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        if place.split()[4:5] == ["/proc"] and kind.startswith("proc "):
            options = kind.split()[-1].split(",")
            hidden = next(
                (option.partition("=")[2] for option in options if option.startswith("hidepid=")), "0"
            )
            if hidden not in ("0", "off"):
                text = (
                    f"{hidden}: processes of other users cannot be seen, and are missing in what is counted"
                )
                return finding("hidepid", hidden, text, "note")
    return None


def judge_perf(paranoid: int | None) -> Finding | None:
    """Whether profilers may count events of the processor; plait needs none."""
    if paranoid is None:
        return None
    text = f"{paranoid}: plait needs no such events"
    if paranoid > 1:
        text += " (perf may want sysctl kernel.perf_event_paranoid=1)"
    return finding("perf_event_paranoid", paranoid, text)


def read_tasks() -> int:
    """Count the threads of this user's processes, as far as they can be seen."""
    me, count = os.getuid(), 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                if entry.stat().st_uid == me:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
            except OSError:
                # It has ended meanwhile.
                continue
    return count


def read_pids(groups: list[str]) -> list[dict[str, Any]]:
    """Read the limits of processes of these control groups; those without a limit are left out."""
    found = []
    for group in groups:
        try:
            most = Path(group, "pids.max").read_text().strip()
            current = int(Path(group, "pids.current").read_text())
        except OSError:
            # The top of a hierarchy has none.
            continue
        if most != "max":
            found.append({"file": str(Path(group, "pids.max")), "max": int(most), "current": current})
    return found


def read_number(path: str) -> int | None:
    """Read a setting of the kernel; None if it has no such setting."""
    try:
        return int(Path(path).read_text())
    except FileNotFoundError:
        return None


def read_shm() -> dict[str, Any] | None:
    """Read the size of /dev/shm, and whether it can be written; None if there is none."""
    if not os.path.isdir("/dev/shm"):
        return None
    stat = os.statvfs("/dev/shm")
    return {
        "size": stat.f_blocks * stat.f_frsize,
        "free": stat.f_bavail * stat.f_frsize,
        "writable": os.access("/dev/shm", os.W_OK),
    }


def try_memfd() -> str | None:
    """Make anonymous shared memory as the engine does, of a page; why it cannot be made, or None."""
    import fcntl
    import mmap

    try:
        fd = os.memfd_create("plait-doctor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, mmap.PAGESIZE)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            with mmap.mmap(fd, mmap.PAGESIZE) as memory:
                memory[0] = 1
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            # Not forbidden: there are no descriptors left, which is said elsewhere.
            raise
        return error.strerror or str(error)
    return None


def try_looking(pid: int) -> str | None:
    """Watch a process for its GIL for a moment, as `plait compare` does; why that does not work, or None."""
    import time

    from plait._core import Watch

    watch = Watch(pid)
    # It looks once in a millisecond.
    time.sleep(0.01)
    return watch.stop().reason
