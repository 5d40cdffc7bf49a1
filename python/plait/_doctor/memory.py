"""Memory: how much there is, what limits it, and what plait takes of it at most."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from plait._doctor.finding import Finding, Section, size

NAME = "memory"
finding = partial(Finding, NAME)

# Below this part of what the program may use, memory is short.
_SHORT = 0.1


def look(machine: dict[str, Any]) -> Section:
    """Look at the memory; `machine` is what `plait._core.machine()` says."""
    section = Section(NAME)
    section.look("available", judge_available, lambda: machine)
    section.look("limit", judge_limit, lambda: machine)
    section.look("swap", judge_swap, read_meminfo)
    section.look("overcommit", judge_overcommit, read_overcommit, read_meminfo)
    section.look("PLAIT_MEMORY_BUDGET", judge_budget, lambda: machine, read_budget)
    return section


def judge_available(machine: dict[str, Any]) -> Finding:
    """How much could be taken now."""
    total, available = machine["memory_total"], machine["memory_available"]
    value = {"total": total, "available": available}
    if available is None:
        return finding("available", value, "not known", "note")
    allowed = machine["memory_limit"] or total
    text = f"{size(available)} can be taken now" + (
        f", of {size(total)} that the machine has" if total else ""
    )
    if allowed is None or available >= allowed * _SHORT:
        return finding("available", value, text)
    remedy = (
        "end what takes it, or use fewer workers; a pool's memory_limit= ends a worker before the kernel does"
    )
    return finding("available", value, f"{text}: it is short", "warn", remedy)


def judge_limit(machine: dict[str, Any]) -> Finding:
    """What the program may use at most, where that is less than the machine has."""
    limit, rule, file = machine["memory_limit"], machine["memory_rule"], machine["memory_file"]
    value = {"bytes": limit, "rule": rule, "file": file}
    if limit is None:
        return finding("limit", value, "none below the machine's own")
    if rule == "group":
        text = f"{size(limit)}, set in {file}: the kernel kills what goes beyond"
        remedy = (
            "raise it where the container or the service is started (--memory, resources.limits.memory, "
            "MemoryMax=)"
        )
    elif rule == "address space":
        text = f"{size(limit)} of addresses for each process, by ulimit -v, whether they are used or not"
        remedy = "ulimit -v unlimited"
    else:
        text = f"{size(limit)}, which is all that the system promises, as vm.overcommit_memory is 2"
        remedy = "sysctl vm.overcommit_memory=0, or more swap"
    return finding("limit", value, text, "note", remedy)


def judge_swap(meminfo: dict[str, int]) -> Finding:
    """How much of what was in memory had to leave it."""
    total, free = meminfo.get("SwapTotal", 0), meminfo.get("SwapFree", 0)
    value = {"total": total, "free": free}
    if not total:
        return finding("swap", value, "none: when memory is used up, a process is killed")
    text = f"{size(total - free)} of {size(total)} in use"
    if total - free <= total / 2:
        return finding("swap", value, text)
    remedy = "use fewer workers, or share large data instead of copying it (plait.share)"
    return finding("swap", value, f"{text}: there was not enough memory", "note", remedy)


def judge_overcommit(mode: int, meminfo: dict[str, int]) -> Finding:
    """Whether the system promises more memory than it has."""
    if mode != 2:
        text = (
            f"{mode}: memory counts when it is used"
            if mode == 0
            else f"{mode}: whatever is asked for is promised"
        )
        return finding("overcommit", mode, text)
    promised, limit = meminfo["Committed_AS"], meminfo["CommitLimit"]
    text = (
        f"2: {size(promised)} of {size(limit)} is promised, used or not; beyond it forks and allocations fail"
    )
    remedy = "sysctl vm.overcommit_memory=0, or a higher vm.overcommit_ratio"
    return finding("overcommit", mode, text, "warn" if promised > 0.8 * limit else "note", remedy)


def judge_budget(machine: dict[str, Any], budget: tuple[int, bool] | ValueError) -> Finding:
    """How much plait may have on its way to workers and back; or why the variable is no size."""
    name = "PLAIT_MEMORY_BUDGET"
    if isinstance(budget, ValueError):
        remedy = f'set it to a size such as {name}="2GiB", or unset it'
        return finding(name, os.environ.get(name), str(budget), "error", remedy)
    limit, is_set = budget
    value = {"bytes": limit, "set": is_set}
    allowed = machine["memory_limit"] or machine["memory_total"]
    if not is_set:
        text = "not set: a quarter of what this program may use"
        # The largest number stands for nothing known.
        return finding(name, value, f"{text}, {size(limit)}" if allowed else text)
    text = f"{size(limit)} may be on its way to workers and back"
    if allowed is None or limit <= allowed:
        return finding(name, value, text)
    text += f", more than the {size(allowed)} that this program may use"
    return finding(name, value, text, "warn", f"lower {name}, or unset it for a quarter of that")


def read_meminfo() -> dict[str, int]:
    """Read `/proc/meminfo`, in bytes."""
    return parse_meminfo(Path("/proc/meminfo").read_text())


def parse_meminfo(text: str) -> dict[str, int]:
    """Take the figures that have a unit, in bytes; those without are counts."""
    found = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found


def read_overcommit() -> int:
    """Read the mode of overcommitment: 0, 1 or 2."""
    return int(Path("/proc/sys/vm/overcommit_memory").read_text())


def read_budget() -> tuple[int, bool] | ValueError:
    """Ask the engine for its budget in bytes and whether it was set; a ValueError if it is no size."""
    from plait._core import memory_budget

    try:
        return memory_budget()
    except ValueError as error:
        return error
