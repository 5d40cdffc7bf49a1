"""`plait.Event`."""

from plait import _core
from plait._locks.awaited import awaited


class Event(_core.EventBase):
    """An event as `threading.Event`, for threads, processes and coroutines at once.

    Nobody holds it, so nothing is lost with a process that dies.
    """

    __slots__ = ("__weakref__",)
    __module__ = "plait"

    async def wait_async(self, timeout: float | None = None) -> bool:
        """Wait without blocking the event loop until it is set, up to `timeout` seconds.

        Returns:
            True; False if it was not set in time.

        """
        if self.is_set():
            return True
        return bool(await awaited(lambda tell: self._begin(tell, timeout)))

    def __repr__(self) -> str:
        """Say whether it is set."""
        return f"<plait.Event at {id(self):#x}: {'set' if self.is_set() else 'unset'}>"
