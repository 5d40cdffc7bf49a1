"""The kinds of work that are timed. Inputs are made before, results checked after, and only what lies
between is measured.

Each workload takes a warm contender, how many calls to make and its parameters, and returns one
measurement: `{"wall_us", "cpu_us", "parent_cpu_us", "lost_processes"}`, times per task.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import tasks
from cpu import Meter


class WrongResult(Exception):
    """A contender returned something else than the function does: its time means nothing."""


def measurement(meter: Meter, count: int, results: list[Any], expected: list[Any]) -> dict[str, float]:
    """Return what the meter read, for each of the tasks; fails unless all results are right."""
    if results != expected:
        raise WrongResult(
            f"{sum(a != b for a, b in zip(results, expected))} of {len(expected)} results are wrong"
        )
    cpu_ns = meter.parent_cpu_ns + meter.workers_cpu_ns
    return {
        "wall_us": meter.wall_ns / count / 1e3,
        "cpu_us": cpu_ns / count / 1e3,
        "parent_cpu_us": meter.parent_cpu_ns / count / 1e3,
        "lost_processes": meter.lost_processes,
    }


def _submit(contender: Any, fn: Callable[..., Any], inputs: list[tuple[Any, ...]]) -> dict[str, float]:
    expected = [fn(*args) for args in inputs]
    submit = contender.submit
    # The cycle collector shall go through what the contender makes, not through the inputs over and over.
    gc.collect()
    gc.freeze()
    try:
        with Meter(os.getpid()) as meter:
            futures = [submit(fn, *args) for args in inputs]
            results = contender.gather(futures)
    finally:
        gc.unfreeze()
    return measurement(meter, len(inputs), results, expected)


def submit_pickled(contender: Any, count: int) -> dict[str, float]:
    """Submit calls one by one, a set in and a set out, and gather all."""
    return _submit(contender, tasks.bump, [({number},) for number in range(count)])


def submit_objects(contender: Any, count: int) -> dict[str, float]:
    """The same with an instance of a class in and out."""
    return _submit(contender, tasks.shift, [(tasks.Point(number, 1),) for number in range(count)])


def submit_plain(contender: Any, count: int) -> dict[str, float]:
    """The same with a number and a string in, one of them out."""
    return _submit(contender, tasks.step, [(number, "some text") for number in range(count)])


def round_trip(contender: Any, count: int) -> dict[str, float]:
    """One call at a time; `wall_us` is the median of the single calls."""
    submit, clock, successor = contender.submit, time.perf_counter_ns, tasks.successor
    walls, results = [], []
    with Meter(os.getpid()) as meter:
        for number in range(count):
            began = clock()
            (result,) = contender.gather([submit(successor, number)])
            walls.append(clock() - began)
            results.append(result)
    measured = measurement(meter, count, results, list(range(1, count + 1)))
    return {**measured, "wall_us": statistics.median(walls) / 1e3}


def map_each(contender: Any, count: int) -> dict[str, float]:
    """Map over numbers, each item a task of its own."""
    items = list(range(count))
    with Meter(os.getpid()) as meter:
        results = contender.map_each(tasks.successor, items)
    return measurement(meter, count, results, list(range(1, count + 1)))


def map_all(contender: Any, count: int, chunksize: int | None = None) -> dict[str, float]:
    """Map over numbers in chunks, of the contender's own choice where none is given."""
    items = list(range(count))
    with Meter(os.getpid()) as meter:
        results = contender.map_all(tasks.successor, items, chunksize)
    return measurement(meter, count, results, list(range(1, count + 1)))


WORKLOADS: dict[str, Callable[..., dict[str, float]]] = {
    work.__name__: work
    for work in (submit_pickled, submit_objects, submit_plain, round_trip, map_each, map_all)
}
