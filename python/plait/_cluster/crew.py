"""The calls of one executor on a cluster: so many at a time on the engine, the others in a queue.

One thread, which is there while there is something to do, decides everything; others only leave it messages.
An engine sends a chunk whose worker died to others, and says at last that workers died with it. It cannot say
which of the chunks they had did it; so those are tried once more, one at a time: who kills again has done it.
"""

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

from plait import _errors, _exit
from plait._cluster.engine import ClusterGone, Engine, Handle, WorkerLost
from plait._cluster.job import Job
from plait._errors import PlaitError
from plait._future import Future

# Seconds between two looks at the engine's health, and that the thread stays when there is nothing to do.
_TICK = 0.5
_LINGER = 1.0

# Seconds without workers after which a warning says that calls wait for one.
_WARN = 5.0

# Calls on the engine: enough that no worker waits for its scheduler, few enough that a death concerns few.
_AHEAD = 64
_PER_PLACE = 4


class ClusterLost(PlaitError, BrokenExecutor):
    """The cluster, or the way to it, is gone: what was pending on it will not come back."""


class ClusterFuture(Future[Any]):
    """A future whose call can be cancelled until its answer is there.

    The engine drops a call that has not begun. One that a worker runs goes on there, unheard.
    """

    __slots__ = ("_withdraw",)

    _withdraw: Callable[[], object]

    def cancel(self) -> bool:
        """Cancel the call; False if it has ended."""
        was = self.cancelled()
        if not super().cancel():
            return False
        if not was:
            self._withdraw()
        return True


class Task:
    """A chunk, or a single call, on its way."""

    def __init__(
        self, job: Job, calls: bytes, retries: int, splits: bool, opened: Callable[[Any, bytes], None]
    ) -> None:
        """`splits`: who sent it has it made in parts if workers die of it; `opened` ends its future."""
        self.job = job
        self.calls = calls
        self.left = retries
        self.splits = splits
        self.opened = opened
        self.future = ClusterFuture()
        self.handle: Handle | None = None
        self.tries = 1
        self.deaths = 0
        # Whether no other chunk has been on the engine with it.
        self.is_alone = True
        self.is_done = False


class Crew:
    """See the module."""

    def __init__(self, engine: Engine) -> None:
        """Nothing runs yet."""
        self.engine = engine
        self._messages: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # A collection may end another executor's calls in the midst of this one's.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._program = os.getpid()
        self._closing = False
        self._ended = threading.Event()
        # Of the thread alone.
        self._waiting: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self._alone: Task | None = None
        self._out: set[Task] = set()
        self._pending = 0
        self._looked = 0.0
        self._without: float | None = None
        self._warned = False
        self.broken: str | None = None

    @property
    def is_usable(self) -> bool:
        """Whether it may be given calls."""
        return not self._closing and self.broken is None and self._program == os.getpid()

    def submit(self, task: Task) -> ClusterFuture:
        """Have it run.

        Raises:
            RuntimeError: it was shut down, or is the parent process's.
            BrokenExecutor: the cluster is gone.

        """
        if os.getpid() != self._program:
            raise RuntimeError("this executor belongs to the parent process; make another one here")
        task.future._withdraw = lambda: self._tell(lambda: self._withdrawn(task))
        with self._lock:
            if self.broken is not None:
                raise ClusterLost(self.broken)
            if self._closing:
                when = "interpreter shutdown" if _exit.is_ending() else "shutdown"
                raise RuntimeError(f"cannot schedule new futures after {when}")
            self._leave(lambda: self._taken(task))
        return task.future

    def retire(self, cancel: bool = False, at_once: bool = False) -> None:
        """Take no more; when the last call has ended, close the engine. `at_once`: end all calls now."""
        if os.getpid() != self._program:
            return
        with self._lock:
            self._closing = True
            if self._ended.is_set():
                return
            if at_once:
                self._leave(lambda: self._give_up(everything=True))
            elif cancel:
                self._leave(lambda: self._give_up(everything=False))
            else:
                self._leave(lambda: None)

    def join(self, seconds: float | None = None) -> None:
        """Wait until the engine is closed; not in a callback of one of its futures."""
        if threading.current_thread() is not self._thread and os.getpid() == self._program:
            self._ended.wait(seconds)

    # --- what others leave for the thread

    def _tell(self, message: Callable[[], None]) -> None:
        # In the child of a fork the lock may be held for ever.
        if os.getpid() == self._program:
            with self._lock:
                self._leave(message)

    def _leave(self, message: Callable[[], None]) -> None:
        """With the lock held."""
        if self._ended.is_set():
            return
        self._messages.put(message)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="plait-cluster", daemon=True)
            self._thread.start()

    # --- the thread

    def _work(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as bug:
            # Nobody shall wait for a thread that is no more.
            logging.getLogger("plait").exception("a bug of plait in the calls on %s", self.engine.where)
            self._break(f"a bug of plait has ended the calls on {self.engine.where}: {bug!r}")
            self._close()

    def _turn(self) -> bool:
        """Do what there is to do; whether the thread is needed any more."""
        quiet = False
        try:
            self._messages.get(timeout=_TICK if self._pending else _LINGER)()
        except queue.Empty:
            quiet = True
        while not self._messages.empty():
            self._messages.get_nowait()()
        self._feed()
        if self._pending:
            self._look()
            return True
        self._without, self._warned = None, False
        with self._lock:
            if not self._messages.empty():
                return True
            if not self._closing and self.broken is None:
                if quiet:
                    self._thread = None
                return not quiet
        self._close()
        return False

    def _close(self) -> None:
        try:
            self.engine.close(self.broken is not None)
        except Exception as error:
            logging.getLogger("plait").warning("closing %s failed: %s", self.engine.where, error)
        with self._lock:
            self._ended.set()
            self._thread = None

    def _taken(self, task: Task) -> None:
        self._pending += 1
        if self.broken is not None:
            self._fail(task, ClusterLost(self.broken))
        else:
            self._waiting.append(task)

    def _feed(self) -> None:
        """Send what there is room for, and at most one suspect."""
        most = max(_AHEAD, _PER_PLACE * self.engine.places())
        while self._waiting and len(self._out) < most:
            self._send(self._waiting.popleft())
        while self._alone is None and self._suspects:
            task = self._suspects.popleft()
            if not task.is_done:
                self._alone = task
                self._send(task)

    def _send(self, task: Task) -> None:
        if task.is_done:
            return

        def done(answer: bytes | None, error: BaseException | None) -> None:
            self._tell(lambda: self._answered(task, answer, error))

        task.is_alone = not self._out
        if len(self._out) == 1:
            # Of two or more, each has had company before.
            next(iter(self._out)).is_alone = False
        self._out.add(task)
        try:
            task.handle = self.engine.submit(task.job, task.calls, done)
        except Exception as error:
            self._answered(task, None, error)

    def _answered(self, task: Task, answer: bytes | None, error: BaseException | None) -> None:
        if isinstance(error, ClusterGone):
            self._break(str(error))
            return
        was_alone = self._settled(task) or task.is_alone
        if task.is_done:
            return
        if isinstance(error, WorkerLost):
            self._lost(task, error, was_alone or error.is_sure)
        elif error is not None:
            self._fail(task, error)
        elif self._ends(task):
            assert answer is not None
            try:
                task.opened(task.future, answer)
            except BaseException as failure:
                # It cannot be read, or says why nothing was called.
                task.future.set_exception(failure)

    def _settled(self, task: Task) -> bool:
        """The engine has it no more; whether it was the one suspect there."""
        self._out.discard(task)
        task.handle = None
        if self._alone is not task:
            return False
        self._alone = None
        return True

    def _lost(self, task: Task, error: WorkerLost, is_culprit: bool) -> None:
        task.deaths += error.deaths
        if not (task.splits or is_culprit):
            self._suspects.append(task)
        elif task.left and not task.splits:
            task.left -= 1
            task.tries += 1
            self._suspects.append(task)
        else:
            self._fail(task, self._death(task, error))

    def _death(self, task: Task, error: WorkerLost) -> Exception:
        tries = f", in each of {task.tries} tries" if task.tries > 1 else ""
        workers = "a worker" if task.deaths == 1 else f"{task.deaths} workers"
        at = f", the last at {error.address}" if error.address else ""
        why = f": {error.why}" if error.why else ""
        died: Any = _errors.WorkerDied(
            f"{workers} of {self.engine.where} died with {task.job.name} on{tries}{at}{why}; "
            "its log says more"
        )
        died.task, died.tries = task.job.name, task.tries
        error_of_death: Exception = died
        return error_of_death

    def _ends(self, task: Task) -> bool:
        """Count it as done; whether anybody wants to know."""
        task.is_done = True
        self._pending -= 1
        return task.future.set_running_or_notify_cancel()

    def _fail(self, task: Task, error: BaseException) -> None:
        if self._ends(task):
            task.future.set_exception(error)

    def _withdrawn(self, task: Task) -> None:
        """Its future was cancelled."""
        if task.is_done:
            return
        if task.handle is not None:
            task.handle.cancel()
        self._settled(task)
        self._ends(task)

    def _all(self) -> list[Task]:
        return [*self._out, *self._waiting, *self._suspects]

    def _give_up(self, everything: bool) -> None:
        """Cancel what was not handed to the engine, or everything."""
        for task in self._all() if everything else [*self._waiting, *self._suspects]:
            # It leaves a message of its own; here it is not waited for.
            task.future.cancel()
            self._withdrawn(task)
        if everything:
            self.broken = self.broken or f"the executor on {self.engine.where} was given up"

    def _break(self, why: str) -> None:
        """Nothing more will come back."""
        with self._lock:
            self.broken = why
        for task in self._all():
            if task.handle is not None:
                task.handle.cancel()
            self._settled(task)
            if not task.is_done:
                self._fail(task, ClusterLost(why))
        self._waiting.clear()
        self._suspects.clear()

    def _look(self) -> None:
        """See whether answers may still come."""
        now = time.monotonic()
        if now - self._looked < _TICK:
            return
        self._looked = now
        if trouble := self.engine.trouble():
            self._break(trouble)
            return
        if self.engine.places():
            self._without, self._warned = None, False
            return
        if self._without is None:
            self._without = now
        waited = now - self._without
        if waited > self.engine.patience:
            self._break(
                f"{self.engine.where} has had no worker for {self.engine.patience:g} s; {self.engine.advice}"
            )
        elif waited > _WARN and not self._warned:
            self._warned = True
            logging.getLogger("plait").warning(
                "%s has no workers; %d calls wait for one; %s",
                self.engine.where,
                self._pending,
                self.engine.advice,
            )
