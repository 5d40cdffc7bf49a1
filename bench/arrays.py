"""The kinds of work with large arguments and results, one call after the other, and the memory that it takes.

An array is changed before each call and is a new object, so that no contender may answer from what it has
sent before. Like `workloads`, each gives one measurement; `wall_us` is the median of the single calls.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import tasks
from cpu import Meter
from memory import Peak
from workloads import WrongResult, measurement

GIB = 1 << 30
ENTRIES = 1_000_000
# Small arrays, sent beforehand: as many calls to each worker that all of them have met NumPy.
GREETINGS = 32


class Numbers:
    """An array of doubles, one of them changed by each `next_one`, and what `tasks.total` must say of it."""

    def __init__(self, size: int, apart: int, shared: bool = False) -> None:
        import numpy

        self._array = numpy.ones(size // 8)
        if shared:
            import plait

            self._array = plait.share(self._array)
        self._apart = apart
        self._turn = 0

    def next_one(self) -> tuple[Any, float]:
        """Return the array, changed, and the sum of its numbers that stand so far apart."""
        self._turn += 1
        self._array[0] = self._turn
        fresh = self._array[:]
        return fresh, len(fresh[:: self._apart // 8]) - 1.0 + self._turn


def _greet(contender: Any) -> None:
    array, expected = Numbers(800, 8).next_one()
    for answer in [contender.call(tasks.total, array, 8) for _ in range(GREETINGS)]:
        assert answer == expected


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter_ns()
    result = call()
    return (time.perf_counter_ns() - began) / 1e3, result


def send_array(
    contender: Any, count: int, size: int, apart: int = 8, shared: bool = False, put: bool = False
) -> dict[str, float]:
    """Send an array of `size` bytes; the worker adds up the numbers in it that stand `apart` bytes apart."""
    numbers = Numbers(size, apart, shared)
    call = contender.call_put if put else contender.call
    _greet(contender)
    walls, results, expected = [], [], []
    with Meter(os.getpid()) as meter:
        for _ in range(count):
            array, right = numbers.next_one()
            wall, result = _timed(lambda: call(tasks.total, array, apart))  # noqa: B023 - called at once
            walls.append(wall)
            results.append(result)
            expected.append(right)
    wall_us = statistics.median(walls)
    measured = measurement(meter, count, results, expected)
    return {**measured, "wall_us": wall_us, "gib_per_s": size / GIB / (wall_us / 1e6)}


def receive_array(contender: Any, count: int, size: int, apart: int) -> dict[str, float]:
    """Get an array of `size` bytes that the worker makes, and read the numbers `apart` bytes apart."""
    _greet(contender)
    walls, results = [], []
    with Meter(os.getpid()) as meter:
        for _ in range(count):
            wall, result = _timed(lambda: tasks.total(contender.call(tasks.ones, size), apart))
            walls.append(wall)
            results.append(result)
    measured = measurement(meter, count, results, [float(len(range(0, size // 8, apart // 8)))] * count)
    return {**measured, "wall_us": statistics.median(walls)}


def send_memory(contender: Any, count: int, size: int) -> dict[str, float]:
    """Send one array; `memory` is what that takes at its peak beside the array, in its sizes."""
    numbers = Numbers(size, 4096)
    _greet(contender)
    peaks = []
    for _ in range(count):
        array, expected = numbers.next_one()
        with Peak(os.getpid()) as peak:
            result = contender.call(tasks.total, array, 4096)
        if result != expected:
            raise WrongResult(f"{result} instead of {expected}")
        peaks.append(peak.extra / size)
    return {"memory": statistics.median(peaks), "lost_processes": 0}


def _dictionary() -> dict[str, int]:
    return {f"key {number}": number for number in range(ENTRIES)}


def hand_over_dict(contender: Any, count: int) -> dict[str, float]:
    """Submit a dict of a million entries: the time until `submit` returns, and no longer.

    Not counted is a first time, in which the allocators of both sides get their memory from the system.
    """
    sent = _dictionary()
    contender.gather([contender.submit(len, sent)])
    walls, results = [], []
    with Meter(os.getpid()) as meter:
        for _ in range(count):
            wall, future = _timed(lambda: contender.submit(len, sent))
            walls.append(wall)
            results += contender.gather([future])
    return {**measurement(meter, count, results, [ENTRIES] * count), "wall_us": statistics.median(walls)}


def send_dict(contender: Any, count: int) -> dict[str, float]:
    """Send a dict of a million entries; the worker tells its length."""
    sent = _dictionary()
    walls, results = [], []
    with Meter(os.getpid()) as meter:
        for _ in range(count):
            wall, result = _timed(lambda: contender.call(len, sent))
            walls.append(wall)
            results.append(result)
    return {**measurement(meter, count, results, [ENTRIES] * count), "wall_us": statistics.median(walls)}


WORKLOADS: dict[str, Callable[..., dict[str, float]]] = {
    work.__name__: work for work in (send_array, receive_array, send_memory, hand_over_dict, send_dict)
}
