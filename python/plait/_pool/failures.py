"""Errors as programs written for `multiprocessing.pool` catch them.

plait's own errors stay what they are, and are in addition what the stdlib raises in their place:
`MaybeEncodingError` for a result that cannot be sent, the pickler's error for an argument that cannot,
`multiprocessing.TimeoutError` for a result that is late. What a worker raised has a cause of the class that
`multiprocessing` uses for its traceback.
"""

import concurrent.futures
import multiprocessing
import multiprocessing.pool
from typing import Any

from plait._errors import NotPicklable, RemoteError, WorkerDied, is_remote_traceback, remote_traceback
from plait._future import Future

TERMINATED = "the pool was terminated before the call had ended"

# How an engine begins to say that it takes no more calls.
REFUSED = "cannot schedule new futures"


class UnsentResult(NotPicklable, multiprocessing.pool.MaybeEncodingError):
    """A call's result cannot be sent: `exc` says why, `value` what."""

    def __init__(self, error: NotPicklable) -> None:
        """Takes what plait says of it."""
        multiprocessing.pool.MaybeEncodingError.__init__(self, error, error.path)
        self.path = error.path
        self.__cause__ = error.__cause__

    def __reduce__(self) -> tuple:
        """As what it was made of."""
        return UnsentResult, (NotPicklable(self.exc),)


class UnsentError(RemoteError, multiprocessing.pool.MaybeEncodingError):
    """A call's exception cannot be sent as itself: `exc` says what it was, `value` the same in short."""

    def __init__(self, type_name: str, message: str, traceback: str) -> None:
        """Takes what plait says of it."""
        Exception.__init__(self, type_name, message, traceback)
        self.type_name, self.message, self.traceback = type_name, message, traceback
        self.__cause__ = remote_traceback(traceback)
        self.exc = str(self)
        self.value = type_name


def failed(error: BaseException) -> Future:
    """Give a future that has failed."""
    future = Future()
    future.set_exception(error)
    return future


def late() -> Exception:
    """Give what is raised when a result is not there in time."""
    return multiprocessing.TimeoutError()


def as_caught(error: BaseException, terminated: bool) -> BaseException:
    """Give `error` as it is raised to the user of a pool, or of one that was `terminated`."""
    if not isinstance(error, Exception):
        return error
    if terminated and (
        isinstance(error, (WorkerDied, concurrent.futures.CancelledError))
        or (isinstance(error, RuntimeError) and str(error).startswith(REFUSED))
    ):
        return concurrent.futures.CancelledError(TERMINATED)
    kind = type(error)
    if kind is NotPicklable or kind is RemoteError:
        # The same each time that it is asked for.
        again = vars(error).get(_AGAIN)
        if again is None:
            again = _also_the_stdlibs(error)
            if again is not error:
                setattr(error, _AGAIN, again)
        return again
    cause = error.__cause__
    if is_remote_traceback(cause):
        error.__cause__ = multiprocessing.pool.RemoteTraceback(str(cause))
    return error


# Where an error holds the one that is raised in its place.
_AGAIN = "_plait_again"


def _also_the_stdlibs(error: Exception) -> Exception:
    if isinstance(error, RemoteError):
        return UnsentError(*error.args)
    if isinstance(error, NotPicklable) and (error.path or "").startswith("result"):
        return UnsentResult(error)
    return _also(error)


_kinds: dict[type, type] = {}


def _also(error: Exception) -> Exception:
    """Make a `NotPicklable` also what the pickler raised, which is what the stdlib lets through."""
    cause = error.__cause__
    if cause is None or isinstance(error, type(cause)) or not isinstance(cause, Exception):
        return error
    other = type(cause)
    kind = _kinds.get(other)
    if kind is None:
        spaces: dict[str, Any] = {"__module__": "plait", "__reduce__": _as_not_picklable}
        try:
            kind = type("NotPicklable", (NotPicklable, other), spaces)
            kind.__new__(kind)
        except TypeError:
            # The other has a form, or arguments, of its own.
            kind = NotPicklable
        _kinds[other] = kind
    both = kind.__new__(kind)
    both.args, both.path, both.__cause__ = error.args, error.path, cause  # type: ignore[attr-defined]
    return both


def _as_not_picklable(error: NotPicklable) -> tuple:
    return NotPicklable, error.args, {"path": error.path}
