"""Python: which build runs, whether a GIL is in use, and what slows its starts and its forks."""

import importlib.util
import os
import platform
import sys
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

from plait._doctor.finding import Finding, Section, amount, seconds

NAME = "python"
finding = partial(Finding, NAME)

# The interpreter's own, in seconds.
_SWITCH_INTERVAL = 0.005

# So many characters of what was read are shown.
_SHOWN = 60


def look() -> Section:
    """Look at this interpreter."""
    section = Section(NAME)
    section.look("version", judge_version, read_version)
    section.look("build", judge_build, read_build)
    section.look("GIL", judge_gil, read_gil)
    section.look("switch interval", judge_switch_interval, sys.getswitchinterval)
    section.look("start method", judge_start_method, read_start_method)
    section.look("bytecode", judge_bytecode, read_bytecode)
    section.look("allocator", judge_allocator, lambda: os.environ)
    return section


def judge_version(version: dict[str, Any]) -> Finding:
    """Which interpreter it is."""
    text = f"{version['implementation']} {version['version']}, {version['executable']}"
    if version["implementation"] == "CPython":
        return finding("version", version, text)
    return finding("version", version, f"{text}: plait is made for CPython", "warn", "use CPython")


def judge_build(build: dict[str, Any]) -> Finding:
    """Whether it was built to be fast, and is run so."""
    if build["debug"]:
        remedy = "use a release build, other than to look for errors in C"
        return finding("build", build, "a debug build, several times slower than others", "warn", remedy)
    if build["dev_mode"]:
        text = "a release build in development mode (-X dev), which checks much and is slower"
        return finding("build", build, text, "note", "leave out -X dev and PYTHONDEVMODE")
    if build["traced"]:
        text = f"a release build; {build['traced']} traces it, which slows down Python code"
        return finding("build", build, text, "note", "measure without it")
    if build["optimized"] is False:
        text = "a release build without profile-guided optimisation: Python code runs 10 to 20 % slower"
        return finding("build", build, text, "note", "build it with --enable-optimizations --with-lto")
    return finding("build", build, "a release build")


def judge_gil(gil: dict[str, Any]) -> Finding:
    """Whether threads take turns, and if they need not, why they do.

    Args:
        gil: `free_threaded` (the build can do without), `enabled` (now), `asked` (who asked for it: a text
            such as "PYTHON_GIL=1", or None), `loaded` (extension modules that are loaded, but for the
            standard library's and plait's).

    """
    if not gil["free_threaded"]:
        text = "in use, as this build has no other way: threads take turns at Python code, processes do not"
        return finding("GIL", gil, text)
    if not gil["enabled"]:
        forced = f", as {gil['asked']} says" if gil["asked"] else ""
        return finding("GIL", gil, f"not in use{forced}: threads run Python code side by side")
    text = "in use, although this build is free-threaded"
    if gil["asked"]:
        return finding("GIL", gil, f"{text}, as {gil['asked']} says", "warn", f"leave out {gil['asked']}")
    text += ": an extension module that does not say it can do without switched it on"
    if gil["loaded"]:
        text += f", one of {', '.join(gil['loaded'])}"
    remedy = "a RuntimeWarning names it when it is imported (python -W always); update its package"
    remedy += "; if you know that it is safe without, PYTHON_GIL=0 keeps it off"
    return finding("GIL", gil, text, "warn", remedy)


def root_names(modules: list[str]) -> list[str]:
    """Give the packages of modules, each once, in order."""
    return list(dict.fromkeys(module.partition(".")[0] for module in modules))


def judge_switch_interval(interval: float) -> Finding:
    """How long a thread keeps the GIL while others wait for it."""
    text = f"{seconds(interval)}: so long a thread keeps the GIL while others wait for it"
    if 0.001 <= interval <= 0.1:
        return finding("switch interval", interval, text)
    harm = (
        "much of the time goes into switching"
        if interval < 0.001
        else "threads that answer have to wait long"
    )
    remedy = f"sys.setswitchinterval({_SWITCH_INTERVAL}), the default"
    return finding("switch interval", interval, f"{text}; {harm}", "warn", remedy)


def judge_start_method(start: dict[str, Any]) -> Finding:
    """How multiprocessing starts its processes, and what may come of it.

    Args:
        start: `method`, `set` (somebody chose it), `threads` (of this process, at this moment).

    """
    method = start["method"]
    chosen = "chosen by the program" if start["set"] else "the default"
    text = f"{method}, {chosen}"
    if method != "fork":
        hazard = (
            "; programs need their `if __name__ == '__main__':`" if method in ("spawn", "forkserver") else ""
        )
        return finding("start method", start, text + hazard)
    text += (
        ": a lock that another thread of the program holds at that moment stays locked in the worker for ever"
    )
    if start["threads"] > 1:
        text += f"; {amount(start['threads'], 'thread')} are running already"
    remedy = (
        "multiprocessing.set_start_method('forkserver'), or plait's pools, whose workers never are such forks"
    )
    return finding("start method", start, text, "note", remedy)


def judge_bytecode(bytecode: dict[str, Any]) -> Finding:
    """Whether modules have to be compiled at each start of a process.

    Args:
        bytecode: `written` (Python may write it), `missing` (a file that has none, or None), `writable` (it
            could be written there), `folder` (where).

    """
    if bytecode["missing"] is None:
        text = "at hand" if bytecode["written"] else "at hand, although Python is told to write none"
        return finding("bytecode", bytecode, text)
    if bytecode["written"] and bytecode["writable"]:
        return finding("bytecode", bytecode, "will be written at the first start")
    folder = bytecode["folder"]
    why = f"{folder} cannot be written" if bytecode["written"] else "Python is told to write none"
    text = f"missing, and {why}: each start compiles modules anew, as of {shorten(bytecode['missing'])}"
    remedy = "run python -m compileall on the installed packages once"
    remedy += (
        ", as their owner, or set PYTHONPYCACHEPREFIX"
        if bytecode["written"]
        else "; unset PYTHONDONTWRITEBYTECODE"
    )
    return finding("bytecode", bytecode, text, "warn", remedy)


def judge_allocator(environment: "os._Environ[str] | dict[str, str]") -> Finding:
    """What the environment says of the memory allocator."""
    names = ("PYTHONMALLOC", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD")
    value = {name: environment[name] for name in names if environment.get(name)}
    if not value:
        return finding("allocator", value, "Python's own, as it comes")
    text = ", ".join(f"{name}={shorten(told)}" for name, told in value.items())
    how = value.get("PYTHONMALLOC", "")
    if how.endswith("debug"):
        return finding(
            "allocator", value, f"{text}: each allocation is checked", "warn", "unset PYTHONMALLOC"
        )
    if how == "malloc":
        text += ": each small object goes through the C library, which is slower"
        return finding("allocator", value, text, "note", "unset PYTHONMALLOC")
    return finding("allocator", value, text)


def shorten(text: str) -> str:
    """Leave out the beginning of what is long."""
    return text if len(text) <= _SHOWN else f"…{text[-_SHOWN:]}"


def is_free_threaded() -> bool:
    """Whether this build can do without a GIL."""
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def gil_enabled() -> bool:
    """Whether a GIL is in use now."""
    ask = getattr(sys, "_is_gil_enabled", None)
    return ask is None or bool(ask())


def gil_asked() -> str | None:
    """Who asked for a GIL, or for none: the option or the variable, as it was written."""
    option = sys._xoptions.get("gil")
    if option is not None:
        return f"-X gil={option}"
    variable = os.environ.get("PYTHON_GIL")
    return f"PYTHON_GIL={variable}" if variable and not sys.flags.ignore_environment else None


def read_version() -> dict[str, Any]:
    """Read which interpreter this is."""
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "executable": sys.executable,
    }


def read_build() -> dict[str, Any]:
    """Read how it was built, and what watches it."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS")
    return {
        "debug": bool(sysconfig.get_config_var("Py_DEBUG")) or hasattr(sys, "gettotalrefcount"),
        # Not every distribution says.
        "optimized": "--enable-optimizations" in arguments if arguments else None,
        "dev_mode": sys.flags.dev_mode,
        "traced": read_tracer(),
    }


def read_tracer() -> str | None:
    """Name what traces this program, such as a coverage tool; None if nothing does."""
    tracer = sys.gettrace() or sys.getprofile()
    if tracer is not None:
        return str(getattr(tracer, "__module__", None) or type(tracer).__module__)
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is None:
        return None
    return next((tool for tool in map(monitoring.get_tool, range(6)) if tool), None)


def read_gil() -> dict[str, Any]:
    """Read whether a GIL is in use in this process; modules that switch it on are the probe's to find."""
    return {
        "free_threaded": is_free_threaded(),
        "enabled": gil_enabled(),
        "asked": gil_asked(),
        "loaded": read_extensions(),
    }


def read_extensions() -> list[str]:
    """Name the extension modules that are loaded, but for the standard library's and plait's."""
    from importlib.machinery import ExtensionFileLoader

    modules = {
        name
        for name, module in list(sys.modules.items())
        if isinstance(getattr(getattr(module, "__spec__", None), "loader", None), ExtensionFileLoader)
    }
    return sorted(
        name for name in modules if name.partition(".")[0] not in {*sys.stdlib_module_names, "plait"}
    )


def read_start_method() -> dict[str, Any]:
    """Read how multiprocessing starts processes, without settling it."""
    import multiprocessing

    method = multiprocessing.get_start_method(allow_none=True)
    threads = len(os.listdir("/proc/self/task"))
    if method is not None:
        return {"method": method, "set": True, "threads": threads}
    default = multiprocessing.get_all_start_methods()[0]
    return {"method": default, "set": False, "threads": threads}


def read_bytecode() -> dict[str, Any]:
    """Look whether plait's own modules, and one of a package that it needs, have bytecode at hand."""
    told: dict[str, Any] = {
        "written": not sys.dont_write_bytecode,
        "missing": None,
        "writable": None,
        "folder": None,
    }
    for name in ("plait", "cloudpickle"):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.cached is None or spec.origin is None:
            continue
        if not os.path.exists(spec.cached):
            folder = Path(spec.cached).parent
            # It is made when it is needed.
            place = next(place for place in (folder, *folder.parents) if place.exists())
            told.update(missing=spec.origin, writable=os.access(place, os.W_OK), folder=str(folder))
            break
    return told
