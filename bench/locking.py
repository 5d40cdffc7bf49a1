"""Locks that are timed, as in `workloads`: alone, between two processes, and when their holder dies."""

import contextlib
import multiprocessing
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cpu import Meter
from workloads import WrongResult, measurement


def uncontended(contender: Any, count: int) -> dict[str, float]:
    """Acquire a lock and release it; nobody else does."""
    lock = contender.lock()
    acquire, release = lock.acquire, lock.release
    with Meter(os.getpid()) as meter:
        for _ in range(count):
            acquire()
            release()
    return measurement(meter, count, [], [])


@contextlib.contextmanager
def other(work: Callable[[], object]) -> Iterator[int]:
    """A forked process that does this at the same time; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def hand_over(contender: Any, count: int) -> dict[str, float]:
    """Hand the turn to another process and get it back, by two locks; a task is both."""
    mine, theirs = contender.lock(), contender.lock()
    mine.acquire()
    theirs.acquire()

    def answer() -> None:
        while True:
            theirs.acquire()
            mine.release()

    with other(answer), Meter(os.getpid()) as meter:
        for _ in range(count):
            theirs.release()
            mine.acquire()
    return measurement(meter, count, [], [])


def contended(contender: Any, count: int) -> dict[str, float]:
    """Two processes want one lock all the time, and do a little with it; a task is a turn of this one."""
    lock, here = contender.lock(), contender.lock()
    here.acquire()

    def turn() -> None:
        with lock:
            sum(range(20))

    def compete() -> None:
        here.release()
        while True:
            turn()

    with other(compete):
        here.acquire()
        with Meter(os.getpid()) as meter:
            for _ in range(count):
                turn()
    return measurement(meter, count, [], [])


@contextlib.contextmanager
def killer() -> Iterator[tuple[Callable[[int], None], Callable[[], int]]]:
    """A process that kills others: whom it is to kill soon; and when it did so.

    A thread of the one that waits would not do: it has the interpreter's lock while the kernel takes the dead
    one down on its processor, and who was told of the death would wait for that.
    """
    order, told = multiprocessing.Pipe()

    def kill() -> None:
        while True:
            pid = told.recv()
            # When the other process waits.
            time.sleep(0.01)
            now = time.perf_counter_ns()
            os.kill(pid, signal.SIGKILL)
            told.send(now)

    with other(kill):
        yield order.send, order.recv


def death(contender: Any, count: int) -> dict[str, float]:
    """Kill the holder of a lock that this process waits for: from the signal until the wait is over."""
    walls = []
    with killer() as (kill, killed), Meter(os.getpid()) as meter:
        for _ in range(count):
            lock, here = contender.lock(), contender.lock()
            here.acquire()

            def hold(lock: Any = lock, here: Any = here) -> None:
                lock.acquire()
                here.release()
                signal.pause()

            with other(hold) as pid:
                here.acquire()
                kill(pid)
                told = contender.told_of_death(lock)
                over = time.perf_counter_ns()
                walls.append(over - killed())
                if not told:
                    raise WrongResult("nobody was told of the death")
    return {**measurement(meter, count, [], []), "wall_us": statistics.median(walls) / 1e3}


class PlaitLocks:
    """plait's."""

    packages = ("plait",)

    def start(self, workers: int) -> None:
        """Load them."""
        import plait

        self.lock, self._died = plait.Lock, plait.OwnerDied

    def told_of_death(self, lock: Any) -> bool:
        """Wait for a lock whose holder dies."""
        try:
            lock.acquire()
        except self._died:
            return True
        return False

    def stop(self) -> None:
        """Nothing to stop."""


class MultiprocessingLocks:
    """multiprocessing's."""

    packages = ()

    def start(self, workers: int) -> None:
        """Load them."""
        self.lock = multiprocessing.get_context("fork").Lock

    def stop(self) -> None:
        """Nothing to stop."""


class ThreadingLocks:
    """threading's, within one process."""

    packages = ()

    def start(self, workers: int) -> None:
        """Load them."""
        self.lock = threading.Lock

    def stop(self) -> None:
        """Nothing to stop."""


class _Calls:
    """As a lock: two calls into plait that each read a word, which is what the binding costs."""

    def __init__(self) -> None:
        import plait

        self.acquire = self.release = plait.Event().is_set


class EmptyCalls:
    """The least that two calls can cost."""

    packages = ("plait",)
    lock = _Calls

    def start(self, workers: int) -> None:
        """Load them."""
        self.lock()

    def stop(self) -> None:
        """Nothing to stop."""


CONTENDERS: dict[str, type[Any]] = {
    "plait.Lock": PlaitLocks,
    "multiprocessing.Lock": MultiprocessingLocks,
    "threading.Lock": ThreadingLocks,
    "two empty calls": EmptyCalls,
}
WORKLOADS = {work.__name__: work for work in (uncontended, hand_over, contended, death)}
