"""`plait.Barrier`."""

from collections.abc import Callable
from typing import Any

from plait import _core
from plait._locks.awaited import awaited


class Barrier:
    """A barrier as `threading.Barrier`, for threads, processes and coroutines at once.

    It breaks when a process dies that waits at it.

    Args:
        parties: how many come before all may go.
        action: what the last to come calls first.
        timeout: seconds that each waits by default.

    Raises:
        ValueError: `parties` is not positive.

    """

    __slots__ = ("__weakref__", "_action", "_timeout", "_turnstile")
    __module__ = "plait"

    def __init__(
        self, parties: int, action: Callable[[], object] | None = None, timeout: float | None = None
    ) -> None:
        """Make one."""
        self._turnstile, self._action, self._timeout = _core.Turnstile(parties), action, timeout

    def __reduce__(self) -> Any:
        """Go as what is the same everywhere, with the action."""
        return _arrived, (type(self), self._turnstile, self._action, self._timeout)

    def __repr__(self) -> str:
        """Say how many wait."""
        state = "broken" if self.broken else f"waiters={self.n_waiting}/{self.parties}"
        return f"<plait.Barrier at {id(self):#x}: {state}>"

    def wait(self, timeout: float | None = None) -> int:
        """Wait until all have come, up to `timeout` seconds; who gives up, or is interrupted, breaks it.

        Returns:
            A number from 0 to `parties` - 1, another for each.

        Raises:
            threading.BrokenBarrierError: it is broken, was reset, or the time was over.

        """
        passage = self._turnstile.passage()
        index, last = passage.wait(self._timeout if timeout is None else timeout)
        return self._go(passage, index, last)

    async def wait_async(self, timeout: float | None = None) -> int:
        """As `wait`, without blocking the event loop; a coroutine that is cancelled breaks it.

        The action is called in the loop's thread.
        """
        passage = self._turnstile.passage()
        seconds = self._timeout if timeout is None else timeout
        index, last = await awaited(lambda tell: passage._begin(tell, seconds))
        return self._go(passage, index, last)

    def _go(self, passage: _core.Passage, index: int, last: bool) -> int:
        if last:
            if self._action is not None:
                try:
                    self._action()
                except BaseException:
                    self.abort()
                    raise
            passage.open()
        return index

    def reset(self) -> None:
        """Make it as new; for those that wait, it broke."""
        self._turnstile.reset()

    def abort(self) -> None:
        """Break it, for those that wait and those to come, until `reset`."""
        self._turnstile.abort()

    @property
    def parties(self) -> int:
        """How many come before all may go."""
        return self._turnstile.parties

    @property
    def n_waiting(self) -> int:
        """How many wait."""
        return self._turnstile.n_waiting

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        return self._turnstile.broken


def _arrived(
    cls: type[Barrier],
    turnstile: _core.Turnstile,
    action: Callable[[], object] | None,
    timeout: float | None,
) -> Barrier:
    barrier = cls.__new__(cls)
    barrier._turnstile, barrier._action, barrier._timeout = turnstile, action, timeout
    return barrier
