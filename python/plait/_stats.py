"""What an executor has done, and what its workers do: `executor.stats()`."""

import dataclasses
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Self

# What the core counts, as fields of `Stats` have it.
COUNTS = (
    "submitted",
    "done",
    "failed",
    "cancelled",
    "retried",
    "workers_started",
    "workers_died",
    "workers_recycled",
)


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """A worker of an executor at one moment.

    Attributes:
        name: What it is called: "plait-worker-3", or the name of the thread.
        pid: Its process; of a thread the program's own.
        thread_id: Of a thread its number in the system, as `threading.get_native_id()` gives it; of a process
            None.
        state: "busy", "idle", or, of a thread, "abandoned": it still runs a call that was given up at its
            timeout.
        task: The function that it runs, such as "shop.images.resize"; None while it runs nothing, or where
            that could not be read.
        seconds: For how long it has been running the task; None while it runs nothing.
        done: Tasks that it has ended, well or not.
        memory: Resident memory of its process in bytes; None for threads, which share theirs.
        peak_memory: The most that this ever was; None for threads.
        cpu_seconds: Processor time that it has used; None where the system does not tell.

    """

    __module__ = "plait"

    name: str
    pid: int
    thread_id: int | None
    state: Literal["busy", "idle", "abandoned"]
    task: str | None
    seconds: float | None
    done: int
    memory: int | None
    peak_memory: int | None
    cpu_seconds: float | None

    def __str__(self) -> str:
        """Say it in one line."""
        doing = self.state if self.task is None else f"{self.state} with {self.task}"
        parts = [f"{self.name}: {doing}"]
        if self.seconds is not None:
            parts.append(f"for {self.seconds:.1f} s")
        if self.memory is not None:
            parts.append(f"{self.memory / 1e6:.0f} MB")
        return ", ".join([*parts, f"{self.done} done"])


@dataclass(frozen=True, slots=True)
class Stats:
    """What an executor has done so far, and what its workers do: what `executor.stats()` gives.

    Tasks are what was submitted; several items of a map that go to a worker together are one. Each figure is
    right by itself; while tasks begin and end, they are not of exactly one moment.

    Attributes:
        backend: "processes", "threads", "asyncio", "serial" or "auto".
        workers: The workers that live, a `plait.WorkerStats` each; none on "asyncio" and "serial", which run
            calls without workers.
        submitted: Tasks that were submitted.
        queued: Those of them that wait.
        running: Those that run.
        done: Those that returned.
        failed: Those that ended with an exception: their own, a timeout, the death of their worker.
        cancelled: Those that were cancelled. One that is cancelled while it runs counts once it has ended.
        retried: Further tries, of whatever task.
        workers_started: Workers that began.
        workers_died: Workers that ended though nobody had asked them to.
        workers_recycled: Workers that plait replaced: after `max_tasks_per_child` or `max_memory_growth`, or
            since their task was over its time, over the memory limit, or cancelled.

    """

    __module__ = "plait"

    backend: str
    workers: tuple[WorkerStats, ...]
    submitted: int
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int
    retried: int
    workers_started: int
    workers_died: int
    workers_recycled: int

    def as_dict(self) -> dict[str, Any]:
        """Give all of it as a dict, and the workers as a list of dicts: fit for JSON."""
        return dataclasses.asdict(self) | {"workers": [dataclasses.asdict(worker) for worker in self.workers]}

    def __str__(self) -> str:
        """Say it in one line, and one for each worker."""
        busy = sum(worker.state == "busy" for worker in self.workers)
        head = f"{self.backend}: {self.running} running, {self.queued} queued, {self.done} done"
        for count, what in (
            (self.failed, "failed"),
            (self.cancelled, "cancelled"),
            (self.retried, "retried"),
        ):
            if count:
                head += f", {count} {what}"
        if self.workers:
            head += f"; {busy} of {len(self.workers)} workers busy"
        for count, what in ((self.workers_died, "died"), (self.workers_recycled, "recycled")):
            if count:
                head += f", {count} {what}"
        return "\n".join([head, *(f"  {worker}" for worker in self.workers)])

    @classmethod
    def of(cls, backend: str, figures: dict[str, Any], workers: Iterable[WorkerStats] = ()) -> Self:
        """Make it of what a backend tells."""
        counts = {name: figures[name] for name in ("queued", "running", *COUNTS)}
        return cls(backend=backend, workers=tuple(workers), **counts)


def of_processes(figures: dict[str, Any]) -> Stats:
    """Make it of what the engine of a process pool tells."""
    workers = []
    for pid, number, task, done, memory, peak, cpu in figures["workers"]:
        what, seconds = task or (None, None)
        state: Literal["busy", "idle"] = "idle" if task is None else "busy"
        name = f"plait-worker-{number}"
        workers.append(WorkerStats(name, pid, None, state, what, seconds, done, memory, peak, cpu))
    return Stats.of("processes", figures, workers)


def of_threads(figures: dict[str, Any], threads: Iterable[threading.Thread]) -> Stats:
    """Make it of what the queue of a thread pool tells; `threads`: those that have names."""
    import os

    names = {thread.native_id: thread.name for thread in list(threads)}
    workers = []
    for thread_id, lost, task, done, cpu in figures["workers"]:
        what, seconds = task or (None, None)
        state: Literal["busy", "idle", "abandoned"] = "idle" if task is None else "busy"
        if lost:
            state = "abandoned"
        name = names.get(thread_id, "plait-thread")
        workers.append(WorkerStats(name, os.getpid(), thread_id, state, what, seconds, done, None, None, cpu))
    return Stats.of("threads", figures, workers)


def joined(backend: str, parts: Iterable[Stats]) -> Stats:
    """Make one of the figures of several pools."""
    parts = list(parts)
    names = ("queued", "running", *COUNTS)
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    return Stats.of(backend, sums, (worker for part in parts for worker in part.workers))
