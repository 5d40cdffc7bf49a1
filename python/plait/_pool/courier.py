"""The thread that runs the callbacks of a pool.

Promises: callbacks run one at a time, on one thread, in the order in which their calls ended; one that raises
is reported as a thread's exception is, and the others go on; the thread exists once a callback was asked for,
and ends when the pool takes no more calls and all are run. It holds neither the pool nor its workers.
"""

import queue
import sys
import threading
from typing import Protocol

from plait._pool import daemon


class Told(Protocol):
    """A result with a callback."""

    def _tell(self) -> None:
        """Take the result and run the callback."""


class Courier:
    """Runs the callbacks of one pool."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._ended: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._owed = 0
        self._closed = False
        self._begun = False
        self._ident = 0
        # Its thread is not at work: it waits, or runs a callback.
        self.aside = True

    def expect(self) -> None:
        """A result with a callback was promised."""
        with self._changed:
            if not self._begun:
                daemon.start(self._run, "plait-callbacks")
                self._begun = True
            self._owed += 1

    def bring(self, result: Told) -> None:
        """The call of such a result has ended."""
        self._ended.put(result)

    def close(self) -> None:
        """No more will be promised."""
        with self._changed:
            self._closed = True
            if self._owed == 0 and self._begun:
                self._ended.put(None)

    def settle(self) -> None:
        """Wait until all callbacks were run; on their own thread, return at once."""
        if threading.get_ident() == self._ident:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._owed == 0)

    def _run(self) -> None:
        self._ident = threading.get_ident()
        while True:
            result = self._ended.get()
            if result is not None:
                self._tell(result)
            # Not kept while this waits for the next.
            told, result = result is not None, None
            with self._changed:
                self._owed -= told
                if self._owed == 0:
                    self._changed.notify_all()
                    if self._closed:
                        # Whoever promises another, because the pool was being closed then, starts it again.
                        self._begun = False
                        return

    @staticmethod
    def _tell(result: Told) -> None:
        try:
            result._tell()
        except BaseException:
            threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), threading.current_thread()]))
