"""What `imap` and `imap_unordered` return.

Promises: results come as they are asked for, in the order of the input or as calls end; one that raised does
so where it comes, and the iterator goes on after it; `next(timeout)` waits no longer than that; several
threads may take from one iterator. Nothing is woken, told or copied for a result that is there when it is
asked for.
"""

import multiprocessing.pool
import threading
import time
from collections import deque
from typing import Any, NoReturn

from plait._future import Future
from plait._pool.engines import Engine
from plait._pool.failures import as_caught, late
from plait._pool.feeds import Feed

# Seconds for which the oldest call is waited for before others are asked to tell of their end.
NAP = 0.001

# Seconds after which a wait for others to tell looks for itself: at a program's end they may not.
LOOK = 0.5


class OrderedResults(multiprocessing.pool.IMapIterator):
    """An iterator over the results of `imap`, in the order of the input."""

    __module__ = "plait"

    def __init__(self, pool: object, engine: Engine, feed: Feed) -> None:
        """Keep the pool alive as long as somebody may ask for results."""
        self._pool = pool
        self._engine = engine
        self._feed = feed
        self._futures = feed.futures

    def __iter__(self) -> "OrderedResults":
        """Give itself."""
        return self

    def next(self, timeout: float | None = None) -> Any:
        """Return the next result, waiting for it up to `timeout` seconds.

        Raises:
            StopIteration: there was the last one.
            multiprocessing.TimeoutError: it is not there in time; it can be asked for again.
            Exception: what the call raised, or the input.

        """
        future = _oldest(self._futures)
        if future is None:
            deadline = None if timeout is None else time.monotonic() + timeout
            future = self._await(deadline)
            if deadline is not None:
                timeout = deadline - time.monotonic()
        try:
            value = future.result(timeout)
        except BaseException as error:
            failure = self._failure(future, error)
        else:
            if self._feed._waits:
                self._feed.took()
            return value
        raise failure

    __next__ = next

    def __del__(self) -> None:
        """The calls are made all the same."""
        feed = getattr(self, "_feed", None)
        if feed is not None and not feed.complete:
            feed.forget()

    def _await(self, deadline: float | None) -> Future:
        """Wait until the input was read further."""
        feed = self._feed
        while True:
            feed.news.clear()
            feed.hungry = True
            try:
                # What is complete was complete with all that it has.
                complete = feed.complete
                if future := _oldest(self._futures):
                    return future
                if complete:
                    self._over()
                if not feed.news.wait(_left(deadline)):
                    raise late()
            finally:
                feed.hungry = False

    def _over(self) -> NoReturn:
        self._pool = None
        raise StopIteration from None

    def _failure(self, future: Future, error: BaseException) -> BaseException:
        if not future.done():
            # Late, or interrupted: it can be asked for again.
            self._futures.appendleft(future)
            return late() if isinstance(error, TimeoutError) else error
        if self._feed._waits:
            self._feed.took()
        return as_caught(error, self._engine.terminated)


class UnorderedResults(OrderedResults):
    """An iterator over the results of `imap_unordered`, as calls end."""

    def __init__(self, pool: object, engine: Engine, feed: Feed) -> None:
        """See the class."""
        super().__init__(pool, engine, feed)
        self._ready: deque[Future] = deque()
        # Those that will tell of their end.
        self._watched: dict[int, Future] = {}
        self._turn = threading.Lock()

    def next(self, timeout: float | None = None) -> Any:
        """Return a result that nobody has taken, waiting for one up to `timeout` seconds.

        Raises:
            StopIteration: there was the last one.
            multiprocessing.TimeoutError: none is there in time; they can be asked for again.
            Exception: what the call raised, or the input.

        """
        future = _oldest(self._ready)
        if future is None:
            future = self._first(None if timeout is None else time.monotonic() + timeout)
        try:
            return future.result()
        except BaseException as error:
            failure = as_caught(error, self._engine.terminated)
        raise failure

    __next__ = next

    def _first(self, deadline: float | None) -> Future:
        """Wait until a call has ended."""
        feed = self._feed
        napped = False
        while True:
            feed.news.clear()
            feed.hungry = True
            try:
                complete = feed.complete
                with self._turn:
                    oldest = self._sweep()
                if feed._waits:
                    feed.took()
                if future := _oldest(self._ready):
                    return future
                if oldest is None and complete and not self._watched:
                    self._over()
                left = _left(deadline)
                if left is not None and left <= 0:
                    raise late()
                if oldest is not None and not napped:
                    napped = True
                    _nap(oldest, NAP if left is None else min(NAP, left))
                    continue
                if oldest is not None:
                    with self._turn:
                        self._watch()
                feed.news.wait(LOOK if left is None else min(LOOK, left))
            finally:
                feed.hungry = False

    def _sweep(self) -> Future | None:
        """Put those that have ended with the ready ones; the oldest that has not and will not tell.

        Calls begin in their order: behind as many as there are workers, none has ended.
        """
        for key, future in list(self._watched.items()):
            if future.done() and self._watched.pop(key, None) is not None:
                self._ready.append(future)
        futures, ready = self._futures, self._ready
        waiting: list[Future] = []
        room = self._engine.workers - len(self._watched)
        while futures and len(waiting) < max(room, 1):
            future = futures.popleft()
            (ready if future.done() else waiting).append(future)
        futures.extendleft(reversed(waiting))
        return waiting[0] if waiting else None

    def _watch(self) -> None:
        """Have as many calls as can run tell of their end."""
        while self._futures and len(self._watched) < self._engine.workers:
            future = self._futures.popleft()
            self._watched[id(future)] = future
            future.add_done_callback(self._arrived)

    def _arrived(self, future: Future) -> None:
        if self._watched.pop(id(future), None) is not None:
            self._ready.append(future)
            self._feed.news.set()


def _oldest(futures: deque[Future]) -> Future | None:
    # Outside of a handler, so that what is raised later has nothing to do with an empty queue.
    try:
        return futures.popleft()
    except IndexError:
        return None


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _nap(future: Future, seconds: float) -> None:
    try:
        future.exception(seconds)
    except Exception:
        # Late, or cancelled: who looks next sees which.
        pass
