"""`plait.Condition`."""

from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from plait import _core
from plait._errors import OwnerDied
from plait._locks.awaited import awaited
from plait._locks.lock import Lock, RLock, task_holder

_T = TypeVar("_T")


class Condition:
    """A condition as `threading.Condition`, for threads, processes and coroutines at once.

    When a process dies that waits, or that was notified and has not gone on yet, another one is notified in
    its place. When one dies that holds the lock, the next that acquires it is told by `plait.OwnerDied`: out
    of `acquire` and `with` the lock is free then; out of `wait` it is held, as after every end of a wait.

    Args:
        lock: a `plait.Lock` or `plait.RLock`; a new `RLock` by default.

    """

    __slots__ = ("__weakref__", "_lock", "_places", "acquire", "locked", "release")
    __module__ = "plait"

    acquire: Callable[..., bool]
    """The lock's."""
    release: Callable[[], None]
    """The lock's."""
    locked: Callable[[], bool]
    """The lock's. As in Python 3.14."""

    def __init__(self, lock: Lock | RLock | None = None) -> None:
        """Make one, over `lock`."""
        lock = RLock() if lock is None else lock
        if not isinstance(lock, (Lock, RLock)):
            raise TypeError(f"a plait.Condition needs a plait.Lock or plait.RLock, not {type(lock).__name__}")
        self._over(lock, _core.Places())

    def _over(self, lock: Lock | RLock, places: _core.Places) -> None:
        self._lock, self._places = lock, places
        self.acquire, self.release, self.locked = lock.acquire, lock.release, lock.locked

    def __reduce__(self) -> Any:
        """Go as lock and places, which are the same everywhere."""
        return _arrived, (type(self), self._lock, self._places)

    def __enter__(self) -> bool:
        """Acquire the lock."""
        return self._lock.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._lock.release()

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Acquire the lock without blocking the event loop: see that of the lock."""
        return await self._lock.acquire_async(timeout)

    async def __aenter__(self) -> None:
        """Acquire the lock, for this task."""
        await self._lock.acquire_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the lock."""
        await self._lock.__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        """Say how many wait."""
        return f"<plait.Condition({self._lock!r}, {self._places.waiting()})>"

    def _is_owned(self) -> bool:
        if isinstance(self._lock, RLock):
            if self._lock._is_owned():
                return True
            task = task_holder()
            return task is not None and self._lock._is_owned(task)
        return self._lock.locked()

    def _check(self, what: str) -> None:
        if not self._is_owned():
            raise RuntimeError(f"cannot {what} on un-acquired lock")

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait to be notified, up to `timeout` seconds, and acquire the lock again.

        Returns:
            True; False if the time was over first.

        Raises:
            RuntimeError: the lock is not held.
            plait.OwnerDied: a process has died that held the lock meanwhile; it is held now.

        """
        self._check("wait")
        waiting = self._places.begin()
        depth = self._let_go(None)
        died: OwnerDied | None = None
        try:
            waiting.wait(timeout)
        finally:
            died = self._regain(depth)
            notified = waiting.end()
        if died is not None:
            raise died
        return notified

    def wait_for(self, predicate: Callable[[], _T], timeout: float | None = None) -> _T:
        """Wait until `predicate()` is true, up to `timeout` seconds; gives what it gave last."""
        until = None if timeout is None else monotonic() + timeout
        while not (result := predicate()):
            left = None if until is None else until - monotonic()
            if left is not None and left <= 0:
                break
            self.wait(left)
        return result

    async def wait_async(self, timeout: float | None = None) -> bool:
        """As `wait`, without blocking the event loop; the lock is this task's, by `acquire_async`.

        Also when it is cancelled, it has the lock again at the end.

        Raises:
            RuntimeError: the lock is not held by this task.
            plait.OwnerDied: as `wait`.

        """
        me = task_holder()
        if isinstance(self._lock, RLock) and (me is None or not self._lock._is_owned(me)):
            raise RuntimeError(
                "cannot wait on un-acquired lock: this task has not acquired it by `async with`"
            )
        self._check("wait")
        waiting = self._places.begin()
        depth = self._let_go(me)
        died: OwnerDied | None = None
        try:
            await awaited(lambda tell: waiting._begin(tell, timeout))
        finally:
            died, cancelled = await self._regain_async(depth, me)
            notified = waiting.end()
        if cancelled is not None:
            raise cancelled
        if died is not None:
            raise died
        return notified

    async def wait_for_async(
        self, predicate: Callable[[], _T | Awaitable[_T]], timeout: float | None = None
    ) -> _T:
        """Wait until `predicate()`, which may be a coroutine, is true; as `wait_for`."""
        until = None if timeout is None else monotonic() + timeout
        while True:
            result = predicate()
            if isinstance(result, Awaitable):
                result = await result
            left = None if until is None else until - monotonic()
            if result or (left is not None and left <= 0):
                return result
            await self.wait_async(left)

    def notify(self, n: int = 1) -> None:
        """Notify the `n` that have waited longest, or all if they are fewer. The lock is held.

        Raises:
            RuntimeError: it is not.

        """
        self._check("notify")
        self._places.notify(n)

    def notify_all(self) -> None:
        """Notify all that wait. The lock is held.

        Raises:
            RuntimeError: it is not.

        """
        self._check("notify")
        self._places.notify(self._places.waiting())

    def _let_go(self, task: int | None) -> int:
        """Release the lock wholly."""
        if isinstance(self._lock, RLock):
            return self._lock._release_save(task)
        self._lock.release()
        return 1

    def _regain(self, depth: int) -> OwnerDied | None:
        """Have the lock again, whatever comes; who has died meanwhile is given."""
        died = None
        while True:
            try:
                self._lock.acquire()
                break
            except OwnerDied as error:
                # It is free now, and the next one may be taken from another that died.
                died = error
        if isinstance(self._lock, RLock):
            self._lock._set_depth(depth)
        return died

    async def _regain_async(
        self, depth: int, task: int | None
    ) -> tuple[OwnerDied | None, BaseException | None]:
        import asyncio

        died, cancelled = None, None
        while True:
            try:
                await self._lock.acquire_async()
                break
            except OwnerDied as error:
                died = error
            except asyncio.CancelledError as error:
                # The caller's `async with` will release it.
                cancelled = error
        if isinstance(self._lock, RLock):
            self._lock._set_depth(depth, task)
        return died, cancelled


def _arrived(cls: type[Condition], lock: Lock | RLock, places: _core.Places) -> Condition:
    condition = cls.__new__(cls)
    condition._over(lock, places)
    return condition
