"""The process pools that serve joblib: kept from call to call, so that workers are warm.

A pool is shared by all calls that ask for the same: number of workers, environment, initializer, options, and
the look of this program (`sys.path`, working directory, logging). Each call holds a lease, by which it can
give up its own tasks without touching those of others. A pool that nobody holds is kept until another one is
asked for, or until it has been idle for some time; one that broke is not handed out again.
"""

import concurrent.futures
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from types import FunctionType
from typing import Any

from plait import _core, _inherit, _logs
from plait._errors import NotPicklable
from plait._joblib import worker
from plait._process import ProcessPoolExecutor

# Seconds that a pool is kept while nobody uses it.
IDLE = 300.0

AnyFuture = concurrent.futures.Future[Any]

# In a thread that submits: the tasks that had ended already, and whom to tell.
_here = threading.local()


def _tell(future: AnyFuture, ended: Callable[[AnyFuture], None]) -> None:
    """Call `ended` at the end of a task; if that is now, not within another such call.

    joblib submits the next task when it is told of an end. Where each has ended before that, the stack would
    grow by each.
    """
    if hasattr(_here, "told"):
        future.add_done_callback(lambda future: _later(future, ended))
        return
    told = _here.told = deque([(future, ended)])
    try:
        while told:
            future, ended = told.popleft()
            future.add_done_callback(ended)
    finally:
        del _here.told


def _later(future: AnyFuture, ended: Callable[[AnyFuture], None]) -> None:
    told = getattr(_here, "told", None)
    if told is None:
        ended(future)
    else:
        told.append((future, ended))


class Pool:
    """A process pool, and who uses it."""

    def __init__(
        self, key: tuple[Any, ...], executor: ProcessPoolExecutor, idle: float, lent: _inherit.Lent
    ) -> None:
        self.key = key
        # What the initializer's arguments refer to, as long as workers may start.
        self.lent = lent
        self.executor = executor
        self.idle = idle
        self.idle_since = 0.0
        self.leases: weakref.WeakSet[Lease] = weakref.WeakSet()


class Lease:
    """The use of a pool by one of joblib's calls."""

    def __init__(self, pool: Pool) -> None:
        """Made by `take`."""
        self._pool = pool
        # The tasks that have not ended, and what errors call them.
        self._pending: dict[AnyFuture, str] = {}
        # The function that was called last, and what calls it.
        self._function: Any = None
        self._caller: Any = None

    def submit(self, batch: Any, name: str, done: Callable[[AnyFuture], object]) -> AnyFuture:
        """Have a worker call `batch`, which errors call `name`; `done` is told of its end, maybe at once.

        Whatever is wrong with the task is an exception of its future.
        """
        future: AnyFuture
        try:
            future = self._send(batch)
            refused = future.exception() if future.done() and not future.cancelled() else None
            if isinstance(refused, NotPicklable) and not (refused.path or "").startswith("result"):
                raise refused
        except Exception as error:
            # joblib submits from a callback, too, where nobody would see it.
            future = concurrent.futures.Future()
            future.set_exception(_apart(error, batch) if isinstance(error, NotPicklable) else error)
            if not isinstance(error, NotPicklable):
                self.discard()
        self._pending[future] = name

        def ended(future: AnyFuture) -> None:
            try:
                done(future)
            finally:
                self._pending.pop(future, None)

        _tell(future, ended)
        return future

    def _send(self, batch: Any) -> AnyFuture:
        submit = self._pool.executor.submit
        try:
            items, nested = batch.items, (batch._backend, batch._n_jobs)
        except AttributeError:
            return submit(worker.call, batch)
        function = items[0][0]
        if type(function) is not FunctionType or any(item[0] is not function for item in items):
            return submit(worker.call, batch)
        if function is not self._function:
            self._function, self._caller = function, worker.caller(function)
        return submit(self._caller, [item[1:] for item in items], nested)

    def name_of(self, future: AnyFuture) -> str | None:
        """Give the name of a task; None when it was told of."""
        return self._pending.get(future)

    def give_up(self) -> None:
        """Cancel the tasks that no worker has begun, and stop those that run; others' are left alone."""
        # The last ones first: what runs ends when nothing can take its place.
        for future in reversed(list(self._pending)):
            future.cancel()

    def discard(self) -> None:
        """Have nobody get this pool again."""
        with _lock:
            if self._pool in _pools:
                _pools.remove(self._pool)

    def end(self) -> None:
        """Give the pool back."""
        with _lock:
            self._pool.leases.discard(self)
            self._pool.idle_since = time.monotonic()
        clear()


_lock = threading.Lock()
# Whether a pool may idle for less than those that were there.
_changed = threading.Condition(_lock)
_pools: list[Pool] = []
_janitor: threading.Thread | None = None


def take(
    workers: int,
    environ: dict[str, str],
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
    idle: float,
    options: dict[str, Any],
) -> Lease:
    """Lease a pool of so many workers: one that is there and like this, or a new one.

    Raises:
        plait.NotPicklable: the initializer cannot be sent.
        ValueError, TypeError: an option that the pool refuses.

    """
    first, lent = None, _inherit.Lent()
    if initializer is not None:
        with lent:
            _, first = _core.codec.encode_direct(initializer, tuple(initargs))
    try:
        cwd = os.getcwd()
    except OSError:
        cwd = None
    key = (workers, environ, first, options, list(sys.path), cwd, _logs.of_program())
    with _lock:
        for pool in _pools:
            if pool.key == key:
                break
        else:
            executor = ProcessPoolExecutor(workers, None, worker.begin, (environ, first), **options)
            pool = Pool(key, executor, idle, lent)
            _pools.append(pool)
        # The one that was used last is the one that is kept.
        _pools.remove(pool)
        _pools.append(pool)
        pool.idle = idle
        _changed.notify()
        lease = Lease(pool)
        pool.leases.add(lease)
    clear()
    return lease


def clear(*, kept: bool = False) -> None:
    """Shut down the pools that nobody uses but the last one, which may idle; with `kept` that one, too."""
    global _janitor
    now = time.monotonic()
    with _lock:
        unused = [pool for pool in _pools if not pool.leases]
        over = [
            pool for pool in unused if kept or pool is not _pools[-1] or now >= pool.idle_since + pool.idle
        ]
        for pool in over:
            _pools.remove(pool)
        if len(unused) > len(over) and _janitor is None:
            _janitor = threading.Thread(target=_look_after, name="plait-joblib-idle", daemon=True)
            _janitor.start()
    for pool in over:
        pool.executor.shutdown(wait=False)


def _look_after() -> None:
    """Shut down what has idled for too long; ends when no pool is left."""
    global _janitor
    while True:
        with _lock:
            if not _pools:
                _janitor = None
                return
            now = time.monotonic()
            ends = [now + pool.idle if pool.leases else pool.idle_since + pool.idle for pool in _pools]
            _changed.wait(max(min(ends) - now, 0.0) + 0.001)
        clear()


def _apart(error: NotPicklable, batch: Any) -> NotPicklable:
    """Name the culprit in the call that the user wrote, which stands among others in joblib's batch."""
    reason: NotPicklable = error
    for function, args, kwargs in getattr(batch, "items", ()):
        try:
            _core.codec.encode_direct(function, tuple(args), kwargs)
        except NotPicklable as found:
            reason = found
            break
        except Exception:
            continue
    named = NotPicklable(f"the task to send to a worker: {reason}")
    named.path = reason.path
    named.__cause__ = reason.__cause__
    return named


def _forget() -> None:
    """In a forked child: the pools are the parent's."""
    global _lock, _changed, _janitor
    _lock = threading.Lock()
    _changed = threading.Condition(_lock)
    _janitor = None
    _pools.clear()


os.register_at_fork(after_in_child=_forget)
