"""Questions to the chooser: figures of a run and limits of the machine, and what follows from them."""

import json
import sys
from typing import Any

from plait import _core, _depth, _own

# Where a map may go of which nothing is asked that one of them lacks. Sub-interpreters came with Python 3.14.
ANYWHERE = ("serial", "threads", "processes", *(("interpreters",) if sys.version_info >= (3, 14) else ()))


class Bounds:
    """What the user has settled: workers, chunksize, and which backends there may be."""

    def __init__(
        self,
        workers: int | None = None,
        chunksize: int | None = None,
        backends: tuple[str, ...] = ("serial", "threads", "processes"),
        why: str | None = None,
    ) -> None:
        self.workers = workers
        self.chunksize = chunksize
        self.backends = backends
        self.why = why

    def told(self) -> str:
        """The same as JSON."""
        return json.dumps(
            {"workers": self.workers, "chunksize": self.chunksize, "backends": self.backends, "why": self.why}
        )


def machine(process_pool: str, interpreters: str | None = None) -> dict[str, Any]:
    """The limits that the chooser looks at; the pools are "cold" or "warm", and None is what there is not."""
    limits = _core.machine()
    cpus = max(1, limits["cpus"] // _depth.siblings)
    return {
        "cpus": cpus,
        "physical": max(1, min(cpus, limits["physical"] // _depth.siblings)),
        "memory": limits["memory_available"],
        "thread_pool": "warm",
        "process_pool": "warm" if _own.current() is not None else process_pool,
        "interpreters": interpreters,
    }


def choose(figures: dict[str, Any], machine: dict[str, Any], bounds: Bounds) -> dict[str, Any]:
    """The backend, the workers and the chunk that these figures ask for."""
    told = json.dumps({"gil": has_gil(), **figures})
    answer: dict[str, Any] = json.loads(_core.choose(told, json.dumps(machine), bounds.told()))
    return answer


def revise(
    choice: dict[str, Any], figures: dict[str, Any], machine: dict[str, Any], bounds: Bounds, switches: int
) -> dict[str, Any] | None:
    """What should go on instead of `choice`, if that is clearly better; `switches` were made before."""
    told = json.dumps({"gil": has_gil(), **figures})
    answer = _core.revise(json.dumps(choice), told, json.dumps(machine), bounds.told(), switches)
    return None if answer is None else json.loads(answer)


def threads_worth(figures: dict[str, Any], machine: dict[str, Any]) -> int:
    """How many threads can be of use, with some to spare, if further calls compute as much as these did."""
    own = figures["wall"] - (figures["wanted"] or 0.0) - (figures["delay"] or 0.0)
    busy = min(1.0, (figures["cpu"] or 0.0) / max(own, 1e-9))
    return int(4 * machine["cpus"] / max(busy, 1e-3))


def has_gil() -> bool:
    """Whether one thread at a time runs Python code: only free-threaded builds that keep it off have none."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return is_enabled is None or bool(is_enabled())
