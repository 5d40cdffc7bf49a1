"""plait itself: a call on each backend, for real."""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from plait._doctor.finding import Finding, Section, seconds

NAME = "plait"
finding = partial(Finding, NAME)

BACKENDS = ("serial", "threads", "processes")

# In seconds: a machine that does not start a process in this time has worse troubles.
PATIENCE = 20.0
# Calls one after the other, of which the middle one counts.
_CALLS = 25


def look(trial: bool) -> Section:
    """Look at plait; without a trial, only whether it can be loaded."""
    section = Section(NAME)
    section.look("version", judge_version, read_version)
    if trial:
        for backend in BACKENDS:
            section.look(backend, partial(judge_trial, backend), partial(attempt, try_backend, backend))
        section.look("worker start", judge_start, lambda: attempt(try_start))
    return section


def judge_version(version: dict[str, Any]) -> Finding:
    """Which version it is; a text under `failed` is why its extension cannot be loaded."""
    if version["failed"] is None:
        return finding("version", version, f"{version['version']}, {os.path.dirname(version['file'])}")
    text = f"its extension cannot be loaded: {version['failed']}"
    return finding("version", version, text, "error", "install plait again, for this very Python")


def judge_trial(backend: str, tried: dict[str, Any]) -> Finding:
    """Whether calls come back, and in what time; a text under `failed` is what went wrong."""
    if tried["failed"] is not None:
        text = f"a call does not come back: {tried['failed']}"
        return finding(backend, tried, text, "error", "mend what is said above, and look again")
    text = f"a call and its result in {seconds(tried['call'])}, the first in {seconds(tried['first'])}"
    return finding(backend, tried, text)


def judge_start(tried: dict[str, Any]) -> Finding:
    """How long a worker process takes to be there."""
    if tried["failed"] is not None:
        text = f"no worker starts: {tried['failed']}"
        return finding("worker start", tried, text, "error", "mend what is said above, and look again")
    return finding("worker start", tried, f"{seconds(tried['start'])} until it has done its first call")


def read_version() -> dict[str, Any]:
    """Read the version, and whether the extension loads."""
    try:
        from plait import _core
    except Exception as error:
        return {"version": None, "file": None, "failed": " ".join(str(error).split())}
    return {"version": _core.__version__, "file": _core.__file__, "failed": None}


def attempt(attempt: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """Try it; what is raised is told under `failed`."""
    try:
        return {**attempt(*arguments), "failed": None}
    except Exception as error:
        said = " ".join(str(error).split())
        return {"failed": f"{type(error).__name__}: {said}" if said else type(error).__name__}


def try_backend(backend: str) -> dict[str, Any]:
    """Make a pool of one worker and call it: the seconds of the first call, start included, and of others."""
    from plait import Executor

    begin = time.perf_counter()
    with Executor(backend, 1) as executor:
        where = executor.submit(os.getpid).result(PATIENCE)
        first = time.perf_counter() - begin
        if (where == os.getpid()) == (backend == "processes"):
            raise RuntimeError(f"it ran in process {where}")
        spans = []
        for number in range(_CALLS):
            begin = time.perf_counter()
            if executor.submit(abs, -number).result(PATIENCE) != number:
                raise RuntimeError("a result is wrong")
            spans.append(time.perf_counter() - begin)
    return {"first": first, "call": sorted(spans)[_CALLS // 2]}


def try_start() -> dict[str, Any]:
    """Make one more pool of a process: the seconds until it has done its first call."""
    from plait import Executor

    begin = time.perf_counter()
    with Executor("processes", 1) as executor:
        executor.submit(os.getpid).result(PATIENCE)
        return {"start": time.perf_counter() - begin}
