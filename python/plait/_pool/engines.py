"""The workers of a pool: what differs between processes and threads, and what happens to them at the end.

As in the stdlib, the end of the program does not wait for pools that were not joined: what was not begun is
dropped, processes are killed, threads are left behind.
"""

import atexit
import concurrent.futures
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from plait import _exit, _pool_worker
from plait._attributes import WorkerProcess
from plait._errors import NotPicklable
from plait._future import Future
from plait._pool.courier import Courier
from plait._pool.crew import Crew, Door
from plait._pool.feeds import Feed, Feeds
from plait._process import MAX_WORKERS, ProcessPoolExecutor

if TYPE_CHECKING:
    from plait._stats import Stats

# Seconds that workers have to end by themselves after SIGTERM.
GRACE = 0.5

# Seconds of looking for results.
GLANCE = 0.0001

# Seconds in which workers that somebody wants to look at should have started.
BIRTH = 10.0


class Engine:
    """The workers of one pool."""

    submit: Callable[..., Future]

    def __init__(self, workers: int) -> None:
        """Nothing is begun yet."""
        self.workers = workers
        # Tasks of plait's own, which have workers start.
        self.own = 0
        self.courier = Courier()
        self.feeds = Feeds(self._close)
        self.terminated = False
        _at_work.add(self)

    def start(self) -> None:
        """Have all workers start, as far as they have not."""
        raise NotImplementedError

    def _start_at_once(self) -> None:
        try:
            self.start()
        except concurrent.futures.BrokenExecutor:
            # An initializer has raised already, as every call will say.
            pass

    def feed(self, feed: Feed, calls: Iterator[Future]) -> None:
        """Have the calls of an input submitted in the background."""
        self.feeds.start(feed, calls)

    def end(self) -> None:
        """At the end of the program: be gone, without waiting for more than a moment."""
        self.terminated = True
        feeds = self.feeds.stop()
        self._abandon()
        # A thread that the interpreter ends amid a call to the engine would take the program down.
        deadline = time.monotonic() + _exit.MOMENT
        while not all(it.aside for it in [*feeds, self.courier]) and time.monotonic() < deadline:
            time.sleep(0.001)

    def close(self) -> None:
        """Take no calls but those of inputs that are still being read."""
        self.courier.close()
        self.feeds.close()

    def join(self) -> None:
        """After `close` or `terminate`: wait until all has ended."""
        self.feeds.join()
        self._wait()
        self.courier.settle()

    def terminate(self) -> None:
        """Drop what was not begun and end the workers that can be ended."""
        self.terminated = True
        self.feeds.stop()
        self._stop()
        self.courier.close()

    def stats(self) -> "Stats":
        """Tell what `stats` of the pool does."""
        raise NotImplementedError

    def _without_own(self, stats: "Stats") -> "Stats":
        from dataclasses import replace

        return replace(stats, submitted=stats.submitted - self.own, done=max(0, stats.done - self.own))

    def _close(self) -> None:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _wait(self) -> None:
        raise NotImplementedError

    def _abandon(self) -> None:
        raise NotImplementedError


class ProcessEngine(Engine):
    """Worker processes."""

    def __init__(
        self,
        workers: int,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        maxtasksperchild: int | None,
    ) -> None:
        """Raises what the executor raises; NotPicklable names `initializer` or `initargs`."""
        told = (_numbers(), initializer, tuple(initargs))
        most = min(workers, MAX_WORKERS)
        try:
            self._executor = executor = _Executor(
                most, None, _pool_worker.begin, told, max_tasks_per_child=maxtasksperchild
            )
        except NotPicklable as error:
            raise _of_initializer(error) from error.__cause__
        super().__init__(workers)
        self.submit = executor.submit
        if initializer is not None:
            self._start_at_once()

    def start(self) -> None:
        """Have all workers start, as far as they have not."""
        # There are as many workers as there are tasks to do.
        for _ in range(self._executor._max_workers):
            self._executor.submit(_pool_worker.nothing)
            self.own += 1

    def started(self) -> list[WorkerProcess]:
        """Give all workers, started if need be; those that live, once it is closed."""
        executor = self._executor
        deadline = time.monotonic() + BIRTH
        stats = executor._stats()
        try:
            while len(stats["pids"]) < executor._max_workers and time.monotonic() < deadline:
                if stats["pending"] < executor._max_workers:
                    self.start()
                time.sleep(0.002)
                stats = executor._stats()
        except RuntimeError:
            # It takes no more tasks.
            pass
        return list(self._executor._processes.values())

    def pending(self) -> int:
        """How many calls have not ended."""
        # What has ended counts when somebody has looked.
        self._executor._join(GLANCE)
        return self._executor._stats()["pending"]

    def stats(self) -> "Stats":
        """As the executor's."""
        return self._without_own(self._executor.stats())

    def _close(self) -> None:
        self._executor._shutdown(False)

    def _stop(self) -> None:
        executor = self._executor
        executor._give_up(politely=True)
        if not executor._join(GRACE):
            executor._give_up()
            executor._join()

    def _wait(self) -> None:
        self._executor._join()

    def _abandon(self) -> None:
        self._executor._abort()

    def ended(self) -> bool:
        """Whether all workers are gone, after a close."""
        return self._executor._join(0)


class ThreadEngine(Engine):
    """Worker threads."""

    def __init__(
        self, workers: int, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]
    ) -> None:
        """Start as the stdlib's do, with an initializer at once."""
        self._crew = crew = Crew(workers, (initializer, initargs) if initializer is not None else None)
        self._queue = crew.queue
        self.submit = Door(crew).submit
        super().__init__(workers)
        if initializer is not None:
            self._start_at_once()

    def start(self) -> None:
        """Have all threads start, as far as they have not."""
        complete = threading.Event()
        try:
            while len(self._crew.threads) + self._crew.unknown < self.workers:
                # Who has nothing to do takes it and waits, so that a new thread is needed in the end.
                self.submit(complete.wait)
                self.own += 1
        finally:
            complete.set()

    def started(self) -> list[threading.Thread]:
        """Give all threads, started if need be; those that there are, once it is closed."""
        if not self._queue.closed:
            self.start()
        return list(self._crew.threads)

    def pending(self) -> int:
        """How many calls have not begun."""
        return self._queue.queued

    def stats(self) -> "Stats":
        """Tell it of the threads."""
        from plait._stats import of_threads

        return self._without_own(of_threads(self._queue.figures(), self._crew.threads))

    def _close(self) -> None:
        self._queue.close(False)

    def _stop(self) -> None:
        self._queue.close(True)

    def _wait(self) -> None:
        self._queue.join()
        for thread in list(self._crew.threads):
            thread.join()

    def feed(self, feed: Feed, calls: Iterator[Future]) -> None:
        """Have the calls of an input submitted in the background, by a thread that starts no other."""
        self._start_at_once()
        super().feed(feed, calls)

    def _abandon(self) -> None:
        self._queue.close(True)

    def ended(self) -> bool:
        """Whether nothing is left to be done, after a close."""
        return not any(thread.is_alive() for thread in self._crew.threads)


class _Executor(ProcessPoolExecutor):
    """A process pool for whose calls the end of the program does not wait."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _exit._pools.discard(self)


def _of_initializer(error: NotPicklable) -> NotPicklable:
    """Name the culprit as the user knows it."""
    renamed = {"args[1]": "initializer", "args[2]": "initargs"}
    path, text = error.path or "", str(error)
    for mine, theirs in renamed.items():
        if path.startswith(mine):
            path, text = theirs + path[len(mine) :], text.replace(mine, theirs, 1)
    again = NotPicklable(text)
    again.path = path
    return again


_count: int | None = None


def _numbers() -> str:
    """Where this program counts its workers: a file that they can open."""
    global _count
    if _count is None:
        _count = os.memfd_create("plait-workers")
    return f"/proc/{os.getpid()}/fd/{_count}"


# Pools that are in use, and forgotten ones whose calls have not ended.
_at_work: "weakref.WeakSet[Any]" = weakref.WeakSet()
_forgotten: set[Any] = set()


def forget(engine: Any) -> None:
    """Nobody has the pool any more: its calls are finished unless the program ends before."""
    engine.close()
    _forgotten.add(engine)
    for other in list(_forgotten):
        if other.ended():
            _forgotten.discard(other)


def _end_all() -> None:
    for engine in list(_at_work):
        engine.end()


def _in_child() -> None:
    global _count
    # The pools are the parent's, and so is the count.
    _forgotten.clear()
    _at_work.clear()
    _count = None


atexit.register(_end_all)
os.register_at_fork(after_in_child=_in_child)
