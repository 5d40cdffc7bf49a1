"""Native threads: those of BLAS and OpenMP libraries, which no executor counts."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from plait._doctor.finding import Finding, Section, amount
from plait._doctor.probe import Probe
from plait._doctor.python import root_names

NAME = "native threads"
finding = partial(Finding, NAME)

# Which variable sets how many threads a library has, by threadpoolctl's name of its interface.
_VARIABLES = {
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "openmp": "OMP_NUM_THREADS",
}

_NAMES = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "openmp": "OpenMP", "flexiblas": "FlexiBLAS"}

# What is looked for in the environment.
NAMED = (
    *dict.fromkeys(("OMP_NUM_THREADS", *_VARIABLES.values())),
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def look(cpus: int, probe: Probe) -> Section:
    """Look at native threads, in what the probe has imported, on so many processors."""
    section = Section(NAME)
    section.look("libraries", judge_probe, probe.result, lambda: cpus)
    section.look("variables", judge_variables, lambda: os.environ, lambda: cpus)
    return section


def judge_probe(told: dict[str, Any], cpus: int) -> list[Finding]:
    """Say what came with the packages that the probe imported; see there for the shape."""
    found = [judge_switched(told["switched"])] if told["switched"] else []
    for name, why in told["failed"].items():
        text = f"cannot be imported: {why}"
        found.append(finding(name, why, text, "warn", f"see why: python -c 'import {name}'"))
    pools = told["pools"]
    if pools is None:
        return [*found, judge_libraries(told["libraries"])]
    if not pools:
        with_what = ", ".join(root_names(told["imported"])) or "no package that brings any is installed"
        return [*found, finding("libraries", [], f"none ({with_what})")]
    # Packages bring a copy each, often with one name.
    pools = sorted(
        pools, key=lambda pool: (package_of(pool.get("filepath", "")) or "", pool.get("filepath", ""))
    )
    return found + [judge_pool(pool, cpus) for pool in pools]


def judge_switched(modules: list[str]) -> Finding:
    """Name what switches the GIL on in a build that can do without."""
    names = ", ".join(root_names(modules))
    text = f"the import of {', '.join(modules)} switches it on again, for the whole process"
    remedy = f"update {names}; if you know that it is safe without, PYTHON_GIL=0 keeps it off"
    return finding("GIL", modules, text, "warn", remedy)


def judge_libraries(paths: list[str]) -> Finding:
    """Say which libraries there are, where their threads could not be asked for."""
    text = ", ".join(os.path.basename(path) for path in paths) or "none found"
    text += "; how many threads they have is not known without threadpoolctl"
    return finding("libraries", paths, text, "note", "pip install threadpoolctl")


def judge_pool(pool: dict[str, Any], cpus: int) -> Finding:
    """How many threads one library has, beside the processors that there are for them."""
    interface, threads = pool.get("internal_api", ""), pool["num_threads"]
    name = _NAMES.get(interface, interface or "library")
    of = package_of(pool.get("filepath", ""))
    value = {
        "library": interface,
        "version": pool.get("version"),
        "file": pool.get("filepath"),
        "of": of,
        "threads": threads,
    }
    version = f" {pool['version']}" if pool.get("version") else ""
    label = f"{name} of {of}" if of else name
    text = f"{amount(threads, 'thread')} ({name}{version})"
    if threads <= cpus:
        return finding(label, value, text)
    text += (
        f" on {amount(cpus, 'processor')}, where they take turns and spin; plait gives each worker a share of"
    )
    text += " the processors, workers of other pools have as many threads again"
    variable = _VARIABLES.get(interface, "OMP_NUM_THREADS")
    remedy = f"set {variable}={cpus}" + ("; 1 where all workers compute at once" if cpus > 1 else "")
    return finding(label, value, text, "warn", remedy)


def package_of(path: str) -> str | None:
    """Whose copy of a library it is: wheels keep theirs in `NAME.libs` or below `NAME`."""
    _, found, rest = path.partition("site-packages/")
    return rest.partition("/")[0].removesuffix(".libs") if found else None


def judge_variables(environment: Mapping[str, str], cpus: int) -> list[Finding]:
    """What the environment says of native threads."""
    told = {name: environment[name] for name in NAMED if name in environment}
    if not told:
        return [finding("variables", {}, "none set: each library decides for itself")]
    return [judge_variable(name, value, cpus) for name, value in told.items()]


def judge_variable(name: str, value: str, cpus: int) -> Finding:
    """One variable; OpenMP's may be a list, one number for each level of nesting."""
    try:
        number = int(value.partition(",")[0])
    except ValueError:
        number = 0
    if number < 1:
        text = f"{value!r} is no number of at least 1: libraries ignore it"
        return finding(name, value, text, "warn", f"set {name} to a number, or unset it")
    if number > cpus:
        text = f"{value} threads on {amount(cpus, 'processor')}"
        return finding(name, value, text, "warn", f"lower {name} to {cpus}, or unset it")
    return finding(name, value, value)
