"""The executors of `concurrent.futures`, in place: the very classes, whose instances plait serves.

The classes stay what they are, with some of their methods replaced. So a name that was imported long ago,
`isinstance`, and classes derived from them before and after all go on. An instance is set up as always;
whether plait serves it is decided at its first call, when its attributes are known, and an executor that is
left alone runs the original methods from then on.
"""

import concurrent.futures
import functools
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from plait import _core
from plait._errors import NotPicklable
from plait._patch import _choice
from plait._patch._ledger import Entry, caller

# Where an instance keeps what serves it.
SEAT = "_plait_served"


class Served:
    """What stands behind one executor: an engine, once it is decided that there is one."""

    def __init__(self, executor: Any, face: str, base: type) -> None:
        """Not decided yet."""
        self.entry = Entry(face, caller())
        self.engine: Any = None
        self.submit: Callable[..., Any] = _refused
        self._base = base
        self._undecided = True
        self._lock = threading.Lock()

    def decided(self, executor: Any) -> Any:
        """The engine that serves it; None if the standard library does."""
        if self._undecided:
            with self._lock:
                if self._undecided:
                    self._decide(executor)
                    self._undecided = False
        return self.engine

    def leave(self) -> None:
        """It is over before anything was asked of it."""
        with self._lock:
            self._undecided = False

    def _decide(self, executor: Any) -> None:
        reason = _choice.why_left(self.entry.face, executor, self._base, self.entry.origin)
        if reason is None:
            try:
                self.engine, how = self._make(executor)
            except Left as error:
                reason = str(error)
            else:
                self.entry.served(how)
                return
        self.entry.left(reason)

    def _make(self, executor: Any) -> tuple[Any, str]:
        raise NotImplementedError


def _refused(*_: object) -> None:
    raise RuntimeError("nobody serves this executor yet")


class Left(Exception):
    """Why an executor is not served."""


class ServedThreads(Served):
    """Behind a `ThreadPoolExecutor`."""

    def _make(self, executor: Any) -> tuple[Any, str]:
        from plait._thread import ThreadPoolExecutor

        try:
            start = executor._initializer, executor._initargs
        except AttributeError:
            start = _start_of(executor)
        engine = ThreadPoolExecutor(executor._max_workers, executor._thread_name_prefix, *start)
        executor._threads = engine._threads
        self.submit = engine.submit
        return engine, f"{executor._max_workers} threads at most"


def _start_of(executor: Any) -> tuple[Any, Any]:
    """The initializer and its arguments, as Python 3.14 keeps them: in what each thread begins with."""
    make = getattr(executor, "_create_worker_context", None)
    begins = None if make is None else make()
    # Others make calls elsewhere, such as in sub-interpreters.
    known = getattr(sys.modules.get("concurrent.futures.thread"), "WorkerContext", None)
    if begins is None or type(begins) is not known:
        raise Left("its threads begin in a way that is not known")
    return begins.initializer, begins.initargs


class ServedProcesses(Served):
    """Behind a `ProcessPoolExecutor`."""

    def _make(self, executor: Any) -> tuple[Any, str]:
        from plait._patch._faithful import FaithfulPool, Unsuitable
        from plait._patch._workers import ByPid

        context, workers = executor._mp_context, executor._max_workers
        reason = _choice.why_processes_left(context, workers)
        if reason is not None:
            raise Left(reason)
        start = executor._initializer, executor._initargs
        limit = executor._max_tasks_per_child
        try:
            engine = FaithfulPool(workers, context, "Process", False, *start, limit)
        except Unsuitable as error:
            raise Left(str(error)) from None
        executor._processes = ByPid(engine)
        self.submit = engine.call
        return engine, how(context, workers)


def how(context: Any, workers: int) -> str:
    """How the workers of a process pool come about, for the report."""
    origin = "forks of the program" if context.get_start_method() == "fork" else "from the nursery"
    return f"{workers} worker process{'' if workers == 1 else 'es'} at most, {origin}"


def init(cls: type, face: str, kind: type[Served], is_on: Callable[[], bool], born: Callable) -> Callable:
    """Make the `__init__` of an executor's class; `born` is told of each executor that may be served."""
    original = cls.__init__

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        # plait's own executors may derive from the standard library's.
        if is_on() and not isinstance(self, (_core.ProcessEngine, _core.ThreadEngine)):
            self.__dict__[SEAT] = kind(self, face, cls)
            born(self)

    return __init__


class Broken:
    """The attribute `_broken`: what has broken an executor, or False."""

    def __get__(self, executor: Any, cls: type) -> Any:
        """Ask what serves the executor."""
        if executor is None:
            return self
        served = executor.__dict__.get(SEAT)
        engine = None if served is None else served.engine
        if engine is not None and engine._broken:
            return engine._broken
        try:
            return executor.__dict__["_broken"]
        except KeyError:
            raise AttributeError(f"{cls.__name__!r} object has no attribute '_broken'") from None

    def __set__(self, executor: Any, value: object) -> None:
        """Keep what the standard library's own methods say."""
        executor.__dict__["_broken"] = value


def submit(cls: type) -> Callable:
    """Make the method."""
    original = cls.submit  # type: ignore[attr-defined]

    @functools.wraps(original)
    def submit(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        served = self.__dict__.get(SEAT)
        engine = None if served is None else served.decided(self)
        if engine is None:
            return original(self, fn, *args, **kwargs)
        try:
            future = served.submit(fn, *args, **kwargs)
        except NotPicklable as error:
            # There it shows when the result is asked for.
            future = concurrent.futures.Future()
            future.set_running_or_notify_cancel()
            future.set_exception(error)
        served.entry.tasks += 1
        return future

    return submit


def map_processes(cls: type, own_submit: Callable) -> Callable:
    """Make the method of process pools, which sends several items together; threads map by `submit`."""
    original = cls.map  # type: ignore[attr-defined]

    @functools.wraps(original)
    def map(self: Any, fn: Callable[..., Any], *iterables: Iterable[Any], **options: Any) -> Iterator[Any]:
        served = self.__dict__.get(SEAT)
        engine = None
        # A class that has a `submit` of its own expects to be asked for each chunk.
        if served is not None and type(self).submit is own_submit and iterables:
            engine = served.decided(self)
        if engine is None:
            return original(self, fn, *iterables, **options)
        if options.get("chunksize", 1) < 1:
            raise ValueError("chunksize must be >= 1.")
        first, *others = iterables
        return engine.map(fn, served.entry.counted(first), *others, **options)

    return map


def shutdown(cls: type) -> Callable:
    """Make the method."""
    original = cls.shutdown  # type: ignore[attr-defined]

    @functools.wraps(original)
    def shutdown(self: Any, wait: bool = True, **options: Any) -> None:
        served = self.__dict__.get(SEAT)
        if served is not None:
            served.leave()
        if served is None or served.engine is None:
            original(self, wait, **options)
            return
        # First what it says of itself, and what it set up before anything was decided.
        original(self, False)
        served.engine.shutdown(wait, **options)

    return shutdown


def stop_workers(cls: type, name: str) -> Callable:
    """Make `terminate_workers` or `kill_workers`, which Python 3.14 has."""
    original = getattr(cls, name)

    @functools.wraps(original)
    def stop(self: Any) -> None:
        served = self.__dict__.get(SEAT)
        if served is None or served.engine is None:
            original(self)
            return
        getattr(served.engine, name)()

    return stop
