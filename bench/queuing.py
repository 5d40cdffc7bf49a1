"""Queues that are timed, as in `workloads`: small items and arrays to another process, and there and back."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from cpu import Meter
from locking import other
from workloads import measurement

WARM = 20


def _through(contender: Any, jobs: Any, item: Any, use: Callable[[Any], Any], count: int) -> dict[str, float]:
    """Have another process put an item so often, from its first on until the last was used here."""
    go = contender.queue()

    def produce() -> None:
        for times in (WARM, count):
            go.get()
            for _ in range(times):
                jobs.put(item)
        signal.pause()

    with other(produce):
        go.put(None)
        for _ in range(WARM):
            jobs.get()
        with Meter(os.getpid()) as meter:
            go.put(None)
            got = [use(jobs.get()) for _ in range(count)]
    return measurement(meter, count, got, [use(item)] * count)


def items(contender: Any, count: int) -> dict[str, float]:
    """Take small items that another process puts as fast as it can; a task is one of them."""
    return _through(contender, contender.queue(), (7, "small"), lambda item: item, count)


def frames(contender: Any, count: int) -> dict[str, float]:
    """Take arrays of 1 MB that another process puts, at most four ahead, and look at each page."""
    import numpy

    return _through(
        contender, contender.queue(4), numpy.arange(125_000), lambda array: int(array[::512].sum()), count
    )


def there_and_back(contender: Any, count: int) -> dict[str, float]:
    """Put an item and wait for the answer of another process; a task is both."""
    there, back = contender.queue(), contender.queue()

    def answer() -> None:
        while True:
            back.put(there.get())

    with other(answer):
        for number in range(WARM):
            there.put(number)
            back.get()
        got = []
        with Meter(os.getpid()) as meter:
            for number in range(count):
                there.put(number)
                got.append(back.get())
    return measurement(meter, count, got, list(range(count)))


class PlaitQueues:
    """plait's."""

    packages = ("plait",)

    def start(self, workers: int) -> None:
        """Load them."""
        import plait

        self.queue = plait.Queue

    def stop(self) -> None:
        """Nothing to stop."""


class MultiprocessingQueues:
    """multiprocessing's, with a feeder thread."""

    packages = ()

    def start(self, workers: int) -> None:
        """Load them."""
        self.queue = multiprocessing.get_context("fork").Queue

    def stop(self) -> None:
        """Nothing to stop."""


class SimpleQueues:
    """multiprocessing's without one, and without bounds."""

    packages = ()

    def start(self, workers: int) -> None:
        """Load them."""
        self._make = multiprocessing.get_context("fork").SimpleQueue

    def queue(self, maxsize: int = 0) -> Any:
        """Make one: its pipe bounds it."""
        return self._make()

    def stop(self) -> None:
        """Nothing to stop."""


CONTENDERS: dict[str, type[Any]] = {
    "plait.Queue": PlaitQueues,
    "multiprocessing.Queue": MultiprocessingQueues,
    "SimpleQueue": SimpleQueues,
}
WORKLOADS = {work.__name__: work for work in (items, frames, there_and_back)}
