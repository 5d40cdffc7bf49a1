"""Processors: how many there are, how many of them this program may use, and who believes otherwise."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from plait._doctor.finding import Finding, Section, amount, figure, seconds

NAME = "processors"
finding = partial(Finding, NAME)

# A group that had to wait in so many of its periods has too many threads for its quota.
_THROTTLED_OFTEN = 0.05


def look(machine: dict[str, Any], workers: int, groups: list[str]) -> Section:
    """Look at the processors.

    Args:
        machine: What `plait._core.machine()` says.
        workers: How many workers a process pool has when nobody says.
        groups: The directories of the control groups that limit processor time, the process's own first.

    """
    section = Section(NAME)
    section.look("plait.cpu_count()", judge_count, lambda: machine)
    section.look("default workers", judge_workers, lambda: machine, lambda: workers)
    section.look("cores", judge_cores, lambda: machine)
    section.look("affinity", judge_affinity, lambda: machine, lambda: sorted(os.sched_getaffinity(0)))
    section.look("quota", judge_quotas, lambda: machine)
    section.look("throttling", judge_throttling, lambda: read_throttling(groups))
    section.look("PLAIT_MAX_WORKERS", judge_variable, lambda: machine)
    section.look("other pools", judge_others, lambda: machine, read_others)
    section.look("load", judge_load, lambda: machine["logical"], os.getloadavg)
    return section


def judge_count(machine: dict[str, Any]) -> Finding:
    """How many processors the program may use, and which rule says so."""
    count, rule = machine["cpus"], machine["rule"]
    if rule == "quota":
        tightest = min(machine["quotas"], key=lambda quota: quota["limit"])
        why = f"the quota of {figure(tightest['limit'])} in {tightest['file']}, rounded up"
    elif rule == "variable":
        why = "what PLAIT_MAX_WORKERS says"
    elif machine["affinity"] < machine["logical"]:
        why = "what the affinity mask allows"
    else:
        why = "all there are"
    value = {"count": count, "rule": rule}
    return finding("plait.cpu_count()", value, f"{count}: {why}")


def judge_workers(machine: dict[str, Any], workers: int) -> Finding:
    """How many workers a process pool has when nobody says."""
    name, count = "default workers", machine["cpus"]
    text = f"{amount(workers, 'worker')} in a process pool when nobody says"
    if workers >= count:
        return finding(name, workers, text)
    if workers >= machine["physical"]:
        return finding(name, workers, f"{text}, one for each physical core")
    text += ": there is no memory for more"
    return finding(name, workers, text, "note", "workers= or PLAIT_MAX_WORKERS, if yours take little")


def judge_cores(machine: dict[str, Any]) -> Finding:
    """Logical processors and the cores that they belong to."""
    logical, physical, affinity = machine["logical"], machine["physical"], machine["affinity"]
    value = {"logical": logical, "physical": physical}
    text = amount(logical, "logical processor")
    if affinity < logical:
        text += f", of which {affinity} may be used"
    text += f", on {amount(physical, 'physical core')}"
    if physical >= affinity:
        return finding("cores", value, text)
    text += (
        "; the processors of one core share its units, so that the second adds little to work that computes"
    )
    return finding("cores", value, text, "note")


def judge_affinity(machine: dict[str, Any], allowed: list[int]) -> Finding:
    """On which processors the program may be scheduled."""
    if len(allowed) >= machine["logical"]:
        return finding("affinity", allowed, f"all {len(allowed)}" if len(allowed) > 1 else "the only one")
    return finding(
        "affinity",
        allowed,
        f"{len(allowed)} of {machine['logical']}: {ranges(allowed)}",
        "note",
        "if that is not meant: start without taskset, or give the container or the job more (--cpuset-cpus, "
        "--cpus-per-task)",
    )


def judge_quotas(machine: dict[str, Any]) -> list[Finding]:
    """What control groups allow, from the process's own upwards."""
    quotas = machine["quotas"]
    if not quotas:
        return [finding("quota", None, "none")]
    found = []
    for quota in quotas:
        limit, file = quota["limit"], quota["file"]
        text = f"{figure(limit)} of {amount(machine['affinity'], 'processor')}, set in {file}"
        if limit >= machine["affinity"]:
            found.append(finding("quota", quota, f"{text}: limits nothing"))
            continue
        text += "; threads that use it up stand still until the next period"
        remedy = (
            "raise it where the container or the service is started (--cpus, resources.limits.cpu, CPUQuota=)"
        )
        found.append(finding("quota", quota, text, "note", remedy))
    return found


def judge_throttling(stats: list[dict[str, Any]]) -> Finding | None:
    """How often control groups had to stand still, as `cpu.stat` counts it; nothing where none counts."""
    stats = [stat for stat in stats if stat["periods"]]
    if not stats:
        return None
    worst = max(stats, key=lambda stat: stat["throttled"] / stat["periods"])
    throttled, periods = worst["throttled"], worst["periods"]
    if not throttled:
        return finding("throttling", worst, f"in none of {amount(periods, 'period')}")
    text = (
        f"in {throttled:,} of {amount(periods, 'period')} ({throttled / periods:.0%}), for "
        f"{seconds(worst['seconds'])} of its threads' time; counted in {worst['file']}"
    )
    if throttled < _THROTTLED_OFTEN * periods:
        return finding("throttling", worst, text, "note")
    remedy = "raise the quota, or start fewer workers and fewer native threads in each"
    return finding("throttling", worst, text, "warn", remedy)


def judge_variable(machine: dict[str, Any]) -> Finding:
    """What PLAIT_MAX_WORKERS says."""
    name, variable = "PLAIT_MAX_WORKERS", machine["variable"]
    if variable is None:
        return finding(name, None, "not set")
    if isinstance(variable, str):
        text = f"{variable!r} is not followed: it is no whole number of at least 1"
        return finding(name, variable, text, "warn", f"set {name} to a number, or unset it")
    if machine["rule"] == "variable":
        return finding(name, variable, f"{variable}, which is the limit")
    least = machine["cpus"]
    text = f"{variable}, which changes nothing: this program may use {amount(least, 'processor')} at most"
    return finding(name, variable, text, "ok" if variable == least else "note")


def judge_others(machine: dict[str, Any], others: dict[str, int]) -> Finding:
    """How many workers the pools of others start, which ask in other ways."""
    text = ", ".join(f"{name} is {count}" for name, count in others.items())
    most = usable(machine)
    # The standard library's pools ask the last of them.
    [*_, (asked, count)] = others.items()
    if count <= most:
        return finding("other pools", others, text)
    asked = asked if len(others) > 1 else "it"
    text += f": pools that ask {asked} start {amount(count, 'worker')} on {amount(most, 'processor')}"
    remedy = "give them max_workers=plait.cpu_count(), or let plait serve them: plait run"
    if "os.process_cpu_count()" in others:
        remedy += f"; or set PYTHON_CPU_COUNT={most}"
    return finding("other pools", others, text, "warn", remedy)


def usable(machine: dict[str, Any]) -> int:
    """Give what the machine grants: `cpus`, were it not for PLAIT_MAX_WORKERS, which means plait alone."""
    affinity: int = machine["affinity"]
    return min([affinity, *(-int(-quota["limit"] // 1) for quota in machine["quotas"])])


def judge_load(logical: int, load: tuple[float, float, float]) -> Finding:
    """How many threads of the machine want to run, beside how many can."""
    one, five, fifteen = load
    value = [round(average, 2) for average in load]
    text = f"{one:.1f} in the last minute ({five:.1f} in 5, {fifteen:.1f} in 15)"
    if one <= logical:
        return finding("load", value, text)
    text += f", on {amount(logical, 'processor')}: what is measured now takes longer than it needs to"
    return finding("load", value, text, "note", "measure again when others are done; top shows who they are")


def ranges(numbers: list[int]) -> str:
    """Write ascending numbers as the kernel does: 0-3,8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ",".join("-".join(map(str, run)) for run in runs)


def read_throttling(groups: list[str]) -> list[dict[str, Any]]:
    """Read how often each of these groups was throttled, out of how many periods, and for how long."""
    found = []
    for group in groups:
        file = Path(group, "cpu.stat")
        try:
            counts = parse_stat(file.read_text())
        except OSError:
            # The top of a hierarchy has none.
            continue
        found.append({"file": str(file), **counts})
    return found


def parse_stat(text: str) -> dict[str, Any]:
    """Take the figures of a `cpu.stat`, of either version of control groups."""
    counts = {words[0]: int(words[1]) for words in map(str.split, text.splitlines()) if len(words) == 2}
    nanoseconds = counts.get("throttled_time", counts.get("throttled_usec", 0) * 1000)
    return {
        "periods": counts.get("nr_periods", 0),
        "throttled": counts.get("nr_throttled", 0),
        "seconds": nanoseconds / 1e9,
    }


def read_others() -> dict[str, int]:
    """Ask as the pools of others ask; the one that the standard library's ask is the last."""
    others = {"os.cpu_count()": os.cpu_count() or 1}
    if hasattr(os, "process_cpu_count"):
        others["os.process_cpu_count()"] = os.process_cpu_count() or 1
    return others
