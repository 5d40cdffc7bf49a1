"""The threads of a `plait.ThreadPool`.

Promises: daemons, so that the end of the program does not wait for them; an initializer that raises breaks
the pool, and every call says so; none holds the pool.
"""

import concurrent.futures.thread
import itertools
import sys
import threading
from collections.abc import Callable
from contextvars import Context
from typing import NoReturn

from plait import _core
from plait._pool import daemon
from plait._pool.failures import REFUSED

BROKEN = "the initializer of a thread raised; the pool is not usable any more"


class Crew:
    """Threads that take calls from one queue."""

    def __init__(self, workers: int, start: tuple[Callable[..., object], tuple] | None) -> None:
        """`start`: what each thread calls first, and its arguments."""
        self.queue = _core.ThreadQueue(workers)
        self.threads: set[threading.Thread] = set()
        # Threads that Python does not know.
        self.unknown = 0
        self.failure: BaseException | None = None
        self._numbers = itertools.count(1)
        self._start = start

    def start_thread(self) -> None:
        """Start a thread for a place that the queue gave away; if that fails, the place is given back."""
        name = f"ThreadPool-{next(self._numbers)}"
        # Newer Pythons would begin it with the values of whoever submits first.
        begin = Context().run
        thread = threading.Thread(target=begin, args=(self._work,), name=name, daemon=True)
        self.threads.add(thread)
        try:
            if not daemon.start_thread(thread, self._work):
                self.threads.discard(thread)
                self.unknown += 1
        except BaseException as error:
            # After Ctrl-C it may have started all the same: whoever comes first decides.
            if _decide(thread, "dismissed") == "dismissed":
                self.threads.discard(thread)
                self.queue.gone(error)
            raise

    def refuse(self) -> NoReturn:
        """Say why the queue takes no call."""
        if self.failure is not None:
            raise concurrent.futures.thread.BrokenThreadPool(BROKEN) from self.failure
        raise RuntimeError(f"{REFUSED} after shutdown")

    def _work(self) -> None:
        """The life of a thread."""
        thread = threading.current_thread()
        if _decide(thread, "arrived") == "dismissed":
            return
        if self._start is not None:
            initializer, initargs = self._start
            try:
                initializer(*initargs)
            except BaseException as error:
                self.failure = error
                failure = concurrent.futures.thread.BrokenThreadPool(BROKEN)
                failure.__cause__ = error
                self.queue.fail(failure)
                self.queue.gone(failure)
                threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), thread]))
                return
        self.queue.work(self.start_thread, thread)
        # While the pool goes on, nobody needs a thread that had no place in it any more.
        if not self.queue.closed:
            self.threads.discard(thread)


def _decide(thread: threading.Thread, fate: str) -> str:
    """What becomes of a thread: what the first caller said."""
    return vars(thread).setdefault("_plait_fate", fate)


class Door(_core.ThreadEngine):
    """Where calls enter the queue of a crew."""

    def __init__(self, crew: Crew) -> None:
        """Open it."""
        self._crew = crew
        self._open(crew.queue, crew.start_thread, None, 0)

    def _refusal(self) -> NoReturn:
        self._crew.refuse()
