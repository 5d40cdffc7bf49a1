"""Reading the input of `imap` while others wait: feeds, and all those of a pool.

Promises: calls are submitted in the order of the input, never much more than `IN_FLIGHT` of them before the
oldest has ended; an input that may be endless is read at most `AHEAD` calls beyond what was taken, unless
nobody is left to take anything, or the pool is joined; what the input raises comes where its item would have;
a short list needs no thread.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextvars import copy_context
from typing import Any

from plait._future import Future
from plait._pool import daemon
from plait._pool.failures import TERMINATED, failed

# Calls that wait for a worker or are with one: enough for the busiest, and little to be kept.
IN_FLIGHT = 1024

# Results of an input of unknown length that nobody has taken.
AHEAD = 1024

# After so many calls a feed looks whether it may go on.
_STRIDE = IN_FLIGHT // 2


class Stopped(BaseException):
    """Raised in a feed's thread when the pool is terminated, to leave what reads the input."""


class Feed:
    """One input, and the futures of its calls."""

    def __init__(self, bounded: bool) -> None:
        """`bounded`: the input may be endless."""
        self.futures: deque[Future] = deque()
        # Set when there is something new for a consumer that said it is `hungry`.
        self.news = threading.Event()
        self.hungry = False
        # No future will be added.
        self.complete = False
        # Its thread is not at work: it waits for the input or for results, or has ended.
        self.aside = True
        self._bounded = bounded
        self._room = threading.Event()
        self._waits = False
        self._unheard = False

    def read_all(self, calls: Iterable[Future]) -> None:
        """Take the futures of a short input here and now."""
        self.futures.extend(calls)
        self._end()

    def guarded(self, items: Iterable[Any]) -> Iterator[Any]:
        """Read an input that may wait, until the pool is terminated."""
        rest = iter(items)

        def read() -> Iterator[Any]:
            while True:
                self.aside = True
                try:
                    item = next(rest)
                except StopIteration:
                    return
                finally:
                    # In this order: who stops it looks whether it is aside after that.
                    self.aside = False
                    if self.complete:
                        raise Stopped
                yield item
                del item

        return read()

    def run(self, calls: Iterator[Future]) -> None:
        """Submit the calls of an input, one at each step of `calls`; on a thread of its own."""
        self.aside = False
        try:
            self._run(calls)
        except Stopped:
            pass
        finally:
            self._end()
            self.aside = True

    def _run(self, calls: Iterator[Future]) -> None:
        marks: deque[Future] = deque()
        futures = self.futures
        for count, future in enumerate(calls, 1):
            if self.complete:
                # The pool was terminated.
                return
            futures.append(future)
            if self.hungry:
                self.news.set()
            if count % _STRIDE == 0:
                marks.append(future)
                self.aside = True
                if len(marks) > 1:
                    # Ends with the call, whatever it comes to.
                    _wait_for(marks.popleft())
                self._wait_for_room()
                self.aside = False
            if self._unheard:
                futures.clear()
            del future

    def _end(self) -> None:
        self.complete = True
        self.news.set()

    def _wait_for_room(self) -> None:
        while self._bounded and len(self.futures) >= AHEAD:
            self._room.clear()
            self._waits = True
            # Who takes after that sees that this waits, and who took before it is counted here.
            if self._bounded and len(self.futures) > AHEAD // 2:
                self._room.wait()
            self._waits = False

    def took(self) -> None:
        """A consumer has taken some; to be called when `is_waiting`."""
        if len(self.futures) <= AHEAD // 2:
            self._room.set()

    @property
    def is_waiting(self) -> bool:
        """Whether it has read as far ahead as it may."""
        return self._waits

    def lift(self) -> None:
        """Read on, however far ahead that is."""
        self._bounded = False
        self._room.set()

    def forget(self) -> None:
        """Nobody will ask for results any more; the calls are made all the same."""
        self._unheard = True
        self.futures.clear()
        self.lift()

    def stop(self) -> None:
        """Read no more: the pool is terminated."""
        if self.complete:
            return
        self.futures.append(failed(CancelledError(TERMINATED)))
        self.complete = True
        self.news.set()
        self.lift()


def _wait_for(future: Future) -> None:
    if not future.done():
        try:
            future.exception()
        except CancelledError:
            pass


class Feeds:
    """The feeds of a pool that have not ended; `close` is called when it is closed, and none is left."""

    def __init__(self, close: Callable[[], None]) -> None:
        """See the class."""
        self._running: set[Feed] = set()
        self._changed = threading.Condition()
        self._closed = False
        self._close: Callable[[], None] | None = close

    def start(self, feed: Feed, calls: Iterator[Future]) -> None:
        """Have a feed submit the calls of its input."""
        with self._changed:
            self._running.add(feed)

        # The input is read, and its calls are submitted, as the caller would do it.
        context = copy_context()

        def run() -> None:
            try:
                context.run(feed.run, calls)
            finally:
                self._ended(feed)

        try:
            daemon.start(run, "plait-imap")
        except BaseException:
            self._ended(feed)
            raise

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Keep the pool open while this thread submits the calls of an input."""
        feed = Feed(False)
        with self._changed:
            self._running.add(feed)
        try:
            yield
        finally:
            self._ended(feed)

    def _ended(self, feed: Feed) -> None:
        with self._changed:
            self._running.discard(feed)
            last = self._closed and not self._running
            self._changed.notify_all()
        if last:
            self._close_once()

    def close(self) -> None:
        """There will be no more of them."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            last = not self._running
        if last:
            self._close_once()

    def join(self) -> None:
        """Wait until all inputs are read to their ends."""
        with self._changed:
            for feed in self._running:
                feed.lift()
            self._changed.wait_for(lambda: not self._running)

    def stop(self) -> list[Feed]:
        """Have them read no more, without waiting: an input may block for ever. Gives those that had to."""
        with self._changed:
            self._closed = True
            running = list(self._running)
            self._running.clear()
            self._changed.notify_all()
        for feed in running:
            feed.stop()
        self._close = None
        return running

    def _close_once(self) -> None:
        # Not kept: it leads back to whoever has this.
        close, self._close = self._close, None
        if close is not None:
            close()
