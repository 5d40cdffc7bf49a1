"""`plait.Thread`."""

import functools
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from plait._one.unheard import Failure


class Thread(threading.Thread):
    """A `threading.Thread` whose `join` gives what the target returned, and raises what it raised.

        thread = plait.Thread(target=work, args=(item,))
        thread.start()
        result = thread.join()

    All else is as in `threading.Thread`, of which this is a subclass: names, daemons, a `run` of one's own,
    whose result counts then. What a thread has raised goes to `threading.excepthook`, which prints it, if
    nobody joins it within a second, and at the latest when the program ends.
    """

    __module__ = "plait"

    _result: Any = None
    _raised: BaseException | None = None
    _frames: TracebackType | None = None
    _failure: Failure | None = None
    _ended: threading.Event | None = None

    def start(self) -> None:
        """Start the thread.

        Raises:
            RuntimeError: it was started before, or the system has no thread.

        """
        if not self._initialized or self._started.is_set():  # type: ignore[attr-defined]
            super().start()
            return
        # Before every `run` there may be, that of a subclass or one put there, which know nothing of results.
        before = vars(self).get("run")
        self._ended = threading.Event()
        self.run = functools.partial(self._keep, self.run, before)  # type: ignore[method-assign]
        try:
            super().start()
        except BaseException:
            if not self._started.is_set():  # type: ignore[attr-defined]
                self._put_back(before)
            raise

    def run(self) -> Any:
        """Call the target, and return what it returns. A subclass may do something else here."""
        try:
            if self._target is not None:  # type: ignore[attr-defined]
                return self._target(*self._args, **self._kwargs)  # type: ignore[attr-defined]
        finally:
            # An argument may refer to the thread.
            del self._target, self._args, self._kwargs  # type: ignore[attr-defined]

    def join(self, timeout: float | None = None) -> Any:
        """Wait until the thread has ended, up to `timeout` seconds, and return what its target returned.

        None if the time is over; `is_alive` tells. The exception that ended the thread is raised, by each
        `join`; a `SystemExit` ends a thread silently, as in the stdlib.

        Raises:
            RuntimeError: it was not started, or is this very thread.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        # Raises if there is nothing to wait for.
        super().join(0)
        # Not in `super().join`: when Ctrl-C comes there, Python before 3.13 takes the thread for ended.
        if self._ended is not None and self.is_alive() and not self._ended.wait(timeout):
            return None
        super().join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if self.is_alive():
            return None
        if self._failure is not None:
            self._failure.heard()
        if self._raised is not None:
            try:
                # As if for the first time.
                raise self._raised.with_traceback(self._frames)
            finally:
                # The error holds this frame, which is not to hold the error.
                del self
        return self._result

    def _keep(self, run: Callable[[], Any], before: Callable[[], Any] | None) -> None:
        """Keep what `run` gives or raises."""
        self._put_back(before)
        try:
            self._result = run()
        except SystemExit:
            pass
        except BaseException as error:
            # Without the frame of this function, which no user wants to read.
            self._frames = error.__traceback__ and error.__traceback__.tb_next
            self._raised = error.with_traceback(self._frames)
            self._failure = Failure(functools.partial(_tell, self, error, self._frames))
        finally:
            if self._ended is not None:
                self._ended.set()

    def _put_back(self, before: Callable[[], Any] | None) -> None:
        if before is None:
            vars(self).pop("run", None)
        else:
            self.run = before  # type: ignore[method-assign]


def _tell(thread: Thread, error: BaseException, frames: Any) -> None:
    """Hand a failure to the program's hook."""
    try:
        threading.excepthook(threading.ExceptHookArgs((type(error), error, frames, thread)))
    except BaseException:
        # As in the stdlib, for a hook that fails itself.
        if sys.stderr is not None:
            print("Exception in threading.excepthook:", file=sys.stderr)
        sys.excepthook(*sys.exc_info())
