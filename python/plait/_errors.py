"""The errors that plait raises. Importing them must cost nothing: `plait` does it at its own import.

`WorkerDied` is a `concurrent.futures.process.BrokenProcessPool`, whose module pulls in multiprocessing; so
the class is made when it is first asked for, by the module's `__getattr__`.
"""

import sys

# The C module holds the class that `pickle` re-exports, and loads in no time.
from _pickle import PicklingError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures.process import BrokenProcessPool
    from typing import Any


class PlaitError(Exception):
    """The root of plait's own errors. What a user's function raises is not one."""

    __module__ = "plait"


class NotPicklable(PlaitError, PicklingError):
    """A function, an argument or a result cannot be sent to another process.

    The message names the path to what is in the way, such as `args[0].handler.stream`; `path` holds it alone.
    """

    __module__ = "plait"
    path: str | None = None


class OwnerDied(PlaitError):
    """The process that held a lock has died: what the lock guards may be half done.

    Raised once, to the next that would have had the lock, which is free again by then: so nobody holds it
    by accident, and a `with` block is not entered. Who can put right what was left acquires the lock again,
    and does so. Out of `Condition.wait` the lock is held, as after every wait. `pid` is the process that
    died, or None.
    """

    __module__ = "plait"

    def __init__(self, pid: int | None = None) -> None:
        """Takes the process, if it is known."""
        super().__init__(pid)
        self.pid = pid

    def __str__(self) -> str:
        """What happened, and what to do."""
        who = "a process" if self.pid is None else f"process {self.pid}"
        return (
            f"{who} died while it held this lock, which is free again: see that what it guards is whole, "
            "then acquire it"
        )


class CheckpointError(PlaitError):
    """The file of a `plait.map` with `checkpoint=` cannot be used, or cannot be written any more.

    It is of another function, of other items, of another version, or in use; the message names the file, says
    what differs, and what to do. `path` holds the file alone, where it is known.
    """

    __module__ = "plait"
    path: str | None = None


class RemoteTraceback(Exception):
    """The traceback of another process, as the cause of the exception that was raised there.

    Stands in for the class of `concurrent.futures` in programs that have not loaded it, since it takes all of
    multiprocessing along: see `remote_traceback`.
    """

    def __init__(self, text: str) -> None:
        """Takes the formatted traceback."""
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        """The traceback, set off as `concurrent.futures` does it, with the source lines known here alone."""
        from plait._remote import with_source

        return f'\n"""\n{with_source(self.text)}"""'

    @property
    def tb(self) -> str:
        """The same, by the name that it has in `concurrent.futures`."""
        return str(self)


def remote_traceback(text: str) -> Exception:
    """Give what the formatted traceback of another process is as a cause."""
    own = RemoteTraceback(text)
    kind: type[Exception] | None = _stdlibs_remote_traceback()
    return own if kind is None else kind(str(own))


def is_remote_traceback(cause: object) -> bool:
    """Whether something is what `remote_traceback` gives."""
    return type(cause) in (RemoteTraceback, _stdlibs_remote_traceback())


def _stdlibs_remote_traceback() -> "Any":
    return getattr(sys.modules.get("concurrent.futures.process"), "_RemoteTraceback", None)


class RemoteError(PlaitError):
    """Stands for an exception of another process that could not be sent as itself.

    `type_name` is its type's qualified name, `message` what it said, `traceback` where it was raised.
    """

    __module__ = "plait"

    def __init__(self, type_name: str, message: str, traceback: str) -> None:
        """Takes the three texts, and shows the traceback as its cause."""
        super().__init__(type_name, message, traceback)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback
        self.__cause__ = remote_traceback(traceback)

    def __str__(self) -> str:
        """What the last line of the original's own traceback would say."""
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class CallStopped(BaseException):
    """Raised in a worker's main thread to end its call, which took too long or is no longer wanted.

    Like KeyboardInterrupt no `Exception`, so that it gets through where errors are handled and retried. Who
    catches it all the same is killed soon.

    Not in `plait` itself: an exception goes by name, and fast, only as where it can be found.
    """

    def __init__(self) -> None:
        """Says why it comes."""
        super().__init__("the call took longer than its timeout, or was cancelled")

    def __reduce__(self) -> "tuple[Any, ...]":
        """As for a class without arguments."""
        return (CallStopped, ())


class TaskTimeout(PlaitError, TimeoutError):
    """The call took longer than its `timeout` and was stopped; on threads it was abandoned, and goes on."""

    __module__ = "plait"

    timeout: float | None = None
    """Seconds that the call was allowed to take."""
    task: str | None = None
    """The function, as `module.name`."""
    pid: int | None = None
    """The process that ran it; None on threads."""
    tries: int = 1
    """How often it was tried."""
    stack: str | None = None
    """Where it was, if it did not end when asked to: the stacks of its process, innermost frame first."""


class _Death(PlaitError):
    """What is known of a worker's death: the attributes of `WorkerDied`."""

    __module__ = "plait"

    task: str | None = None
    """The function, as `module.name`."""
    index: int | None = None
    """In a map: which item it was, counted from 0."""
    pid: int | None = None
    """The process that died."""
    exitcode: int | None = None
    """As `multiprocessing.Process.exitcode`: minus the signal if one killed it."""
    signal: int | None = None
    """The signal that killed it."""
    tries: int = 1
    """How often the call was tried; a worker died each time, or the call failed in another way."""
    peak_memory: int | None = None
    """The most memory the process had in use, in bytes."""
    out_of_memory: bool = False
    """Whether the kernel's OOM killer, or the pool's `memory_limit`, ended it."""
    memory_limit: int | None = None
    """The limit it was killed for, in bytes."""
    stack: str | None = None
    """The last Python stacks of its threads, innermost frame first, where a crash left them."""
    output: str = ""
    """The last lines it printed."""


if TYPE_CHECKING:
    # For those who read and do not run: type checkers, and the reference.

    class WorkerDied(_Death, BrokenProcessPool):
        """A worker died while it ran the call: killed, crashed, out of memory, or by `os._exit`."""


def __getattr__(name: str) -> type:
    if name != "WorkerDied":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    ending = sys.modules.get("plait._exit")
    if ending is not None and ending.is_ending() and "concurrent.futures.process" not in sys.modules:
        # It can no more be imported then: it registers itself for the interpreter's end.
        from concurrent.futures import BrokenExecutor as BrokenProcessPool
    else:
        from concurrent.futures.process import BrokenProcessPool

    class WorkerDied(_Death, BrokenProcessPool):
        """A worker died while it ran the call: killed, crashed, out of memory, or by `os._exit`."""

        __module__ = "plait"
        __qualname__ = "WorkerDied"

    # Two threads may come here at once; the first one's class counts.
    made: type = globals().setdefault(name, WorkerDied)
    return made
