"""`Queue`: items between threads, processes and coroutines, any number of each on both sides.

The queue itself is in the core (`crates/plait-shm/src/queue`); here is what coroutines call. A coroutine only
ever waits until it is worthwhile to try, and tries in its own loop: so one that is cancelled has neither
taken nor put anything.
"""

import sys
import time
from collections.abc import Callable
from queue import Empty, Full
from types import GenericAlias
from typing import Any, Generic, Self, TypeVar

from plait import _core
from plait._locks.awaited import awaited

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """The queue was shut down: nothing can be put, or nothing is left to be taken."""

        __module__ = "plait"


T = TypeVar("T")


class Queue(_core.QueueBase, Generic[T]):
    """A queue for any number of threads, processes and coroutines at the same time.

    As `queue.Queue`, of whatever Python: `put`, `get` and their kin, `task_done`, `join`, `shutdown`. It is
    passed to workers and child processes as an argument, in a closure or in `initargs`. `maxsize` bounds it
    by items, `maxbytes` by the bytes of the pickled items (0: no bound); an item larger than `maxbytes` goes
    in alone.

    An item is pickled in `put`, which raises `plait.NotPicklable` there, and unpickled in `get`: whoever
    takes it has a copy. Large buffers are copied once. There is no thread behind it, and nothing that the end
    of a program waits for: what was put is there for others when its process has ended.

    A process may be killed at any instant: no other is blocked by that, and an item is in the queue whole or
    not at all. Items that the dead process had taken, and had not called `task_done` for, are lost: `lost`
    counts them, and `join` does not wait for them. With `redeliver=True` they come back instead, before all
    others, and `returns` tells how often the item that a thread took last had come back: 0 for a fresh one.
    A `task_done` is then for the item that its thread, or its task in an event loop, has taken first; items
    stay in memory until then.

    Raises what `queue.Queue` does: `queue.Empty`, `queue.Full`, `plait.ShutDown`, and `ValueError` for a
    `task_done` too many; and `MemoryError` where there is no room in memory.
    """

    __module__ = "plait"
    # Not that of `Generic`, whose instances are made more slowly.
    __class_getitem__ = classmethod(GenericAlias)  # type: ignore[var-annotated]

    def __init__(
        self, maxsize: int = 0, *, maxbytes: int = 0, redeliver: bool = False, _there: Any = None
    ) -> None:
        """Make one that these bound; what there is to do was done in `__new__`."""

    async def put_async(self, item: T, timeout: float | None = None) -> None:
        """Put an item without blocking the event loop, once there is room.

        Raises:
            queue.Full: there was none within `timeout` seconds.
            plait.ShutDown: the queue was shut.

        """
        letter = self._seal(item)
        late = _end_of(timeout)
        in_time = True
        while not self._offer(letter):
            if not in_time:
                raise Full
            in_time = await self._until(late, letter)

    async def get_async(self, timeout: float | None = None) -> T:
        """Take the next item without blocking the event loop, once there is one.

        Raises:
            queue.Empty: there was none within `timeout` seconds.
            plait.ShutDown: there is none, and the queue was shut.

        """
        late = _end_of(timeout)
        in_time = True
        while True:
            try:
                item: T = self.get_nowait()
                return item
            except Empty:
                if not in_time:
                    raise
            in_time = await self._until(late, None)

    async def join_async(self) -> None:
        """Wait without blocking the event loop until all items are done, or lost with those who took them."""
        await awaited(self._begin_join)

    async def _until(self, late: float | None, letter: _core.Letter | None) -> bool:
        """Wait until it is worthwhile to try: False if it was too late before."""
        left = None if late is None else max(late - time.monotonic(), 0.0)

        def begin(tell: Callable[[], object]) -> _core.Wait:
            return self._begin(tell, left, letter)

        try:
            return bool(await awaited(begin))
        except BaseException:
            # It may have been told to try, and does not.
            self._pass_on(letter)
            raise

    def __aiter__(self) -> Self:
        """Give items until the queue is shut."""
        return self

    async def __anext__(self) -> T:
        """Take the next one."""
        try:
            return await self.get_async()
        except ShutDown:
            raise StopAsyncIteration from None

    def __repr__(self) -> str:
        """Say how large it is."""
        bounds = {"maxsize": self.maxsize, "maxbytes": self.maxbytes}
        told = "".join(f", {name} {most}" for name, most in bounds.items() if most)
        told += ", redeliver" if self.redeliver else ""
        return f"<plait.Queue, {self.qsize()} items{told}{', shut down' if self.is_shutdown else ''}>"


def _end_of(timeout: float | None) -> float | None:
    """Give the instant at which the time is over."""
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return None if timeout is None else time.monotonic() + timeout
