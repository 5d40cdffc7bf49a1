"""The thread that runs the callbacks of a pool.

Promises: callbacks run one at a time, on one thread, in the order in which their calls ended; one that raises
is reported as a thread's exception is, and the others go on; the thread exists once a callback was asked for,
and ends when the pool takes no more calls and all are run. It holds neither the pool nor its workers.
"""

import queue
import sys
import threading
from typing import Protocol


class Told(Protocol):
    """A result with a callback."""

    def _tell(self) -> None:
        """Run the callback."""


class Courier:
    """Runs the callbacks of one pool."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._ended: queue.SimpleQueue[Told | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._owed = 0
        self._closed = False
        self._thread: threading.Thread | None = None

    def expect(self) -> None:
        """A result with a callback was promised."""
        with self._changed:
            self._owed += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="plait-callbacks", daemon=True)
                self._thread.start()

    def bring(self, result: Told) -> None:
        """The call of such a result has ended."""
        self._ended.put(result)

    def close(self) -> None:
        """No more will be promised."""
        with self._changed:
            self._closed = True
            if self._owed == 0 and self._thread is not None:
                self._ended.put(None)

    def settle(self) -> None:
        """Wait until all callbacks were run; on their own thread, return at once."""
        if threading.current_thread() is self._thread:
            return
        with self._changed:
            self._changed.wait_for(lambda: self._owed == 0)

    def _run(self) -> None:
        while (result := self._ended.get()) is not None:
            try:
                result._tell()
            except BaseException:
                threading.excepthook(threading.ExceptHookArgs([*sys.exc_info(), threading.current_thread()]))
            # Not kept while this waits for the next.
            del result
            with self._changed:
                self._owed -= 1
                if self._owed == 0:
                    self._changed.notify_all()
                    if self._closed:
                        return
