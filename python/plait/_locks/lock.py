"""`plait.Lock` and `plait.RLock`."""

from types import TracebackType
from typing import Any

from plait import _core
from plait._locks.awaited import awaited


class Lock(_core.LockBase):
    """A lock as `threading.Lock`, for threads, processes and coroutines at once.

    Whoever holds it, anybody may release it. When the process that holds it dies, the next `acquire` raises
    `plait.OwnerDied`, and the lock is free again.
    """

    __slots__ = ("__weakref__",)
    __module__ = "plait"

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Acquire it without blocking the event loop, within `timeout` seconds.

        Returns:
            True; False if it was not to be had in time.

        Raises:
            plait.OwnerDied: the process that held it has died; the lock is free.

        """
        if self.acquire(False):
            return True
        return bool(await awaited(lambda tell: self._begin(tell, timeout)))

    async def __aenter__(self) -> None:
        """Acquire it."""
        await self.acquire_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()

    def __repr__(self) -> str:
        """Say whether it is held."""
        return f"<{'locked' if self.locked() else 'unlocked'} plait.Lock object at {id(self):#x}>"


_tasks: Any = None


def task_holder() -> int | None:
    """The number of the task that runs here among those that hold locks; None outside of coroutines."""
    global _tasks
    import sys

    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    if task is None:
        return None
    if _tasks is None:
        import weakref

        _tasks = weakref.WeakKeyDictionary()
    number: int | None = _tasks.get(task)
    if number is None:
        number = _tasks[task] = _core.new_holder()
    return number


class RLock(_core.RLockBase):
    """A lock as `threading.RLock`, for threads, processes and coroutines at once.

    Its holder may acquire it again, and alone releases it, as often. The holder is a thread; after
    `acquire_async` and `async with` it is a task. When the process that holds it dies, the next `acquire`
    raises `plait.OwnerDied`, and the lock is free again.
    """

    __slots__ = ("__weakref__",)
    __module__ = "plait"

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Acquire it for this task without blocking the event loop, within `timeout` seconds.

        Returns:
            True; False if it was not to be had in time.

        Raises:
            plait.OwnerDied: the process that held it has died; the lock is free.

        """
        me = task_holder()
        if me is None:
            raise RuntimeError("there is no task here that could hold the lock; use acquire()")
        return bool(await awaited(lambda tell: self._begin(tell, timeout, me)))

    def release_async(self) -> None:
        """Release what this task has acquired by `acquire_async`, once.

        Raises:
            RuntimeError: this task does not hold it.

        """
        self._release(task_holder())

    async def __aenter__(self) -> None:
        """Acquire it for this task."""
        await self.acquire_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release_async()

    def __repr__(self) -> str:
        """Say whether it is held."""
        return f"<{'locked' if self.locked() else 'unlocked'} plait.RLock object at {id(self):#x}>"
