"""`plait.Semaphore` and `plait.BoundedSemaphore`."""

from types import TracebackType
from typing import Any

from plait import _core
from plait._locks.awaited import awaited


class Semaphore(_core.SemaphoreBase):
    """A semaphore as `threading.Semaphore`, for threads, processes and coroutines at once.

    When a process dies, the permits that it has taken and not released come back, as long as there are not
    more than at first.
    """

    __slots__ = ("__weakref__",)
    __module__ = "plait"

    async def acquire_async(self, timeout: float | None = None) -> bool:
        """Take a permit without blocking the event loop, within `timeout` seconds.

        Returns:
            True; False if none was to be had in time.

        """
        if self.acquire(False):
            return True
        return bool(await awaited(lambda tell: self._begin(tell, timeout)))

    async def __aenter__(self) -> None:
        """Take a permit."""
        await self.acquire_async()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()

    def __repr__(self) -> str:
        """Say how many permits are free."""
        return f"<plait.Semaphore at {id(self):#x}: value={self._value}>"


class BoundedSemaphore(Semaphore):
    """A semaphore as `threading.BoundedSemaphore`: there are never more permits than at first.

    Beside that it is a `plait.Semaphore`.
    """

    __slots__ = ()
    __module__ = "plait"

    def __new__(cls, value: int = 1, *, _there: Any = None) -> "BoundedSemaphore":
        """Make one with `value` permits."""
        return super().__new__(cls, value, _bounded=True, _there=_there)

    def __repr__(self) -> str:
        """Say how many permits are free, of how many."""
        return f"<plait.BoundedSemaphore at {id(self):#x}: value={self._value}/{self._initial_value}>"
