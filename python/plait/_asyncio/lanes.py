"""The lanes of a long map whose coroutines run on worker processes; see `plait._long.lanes`."""

from collections.abc import Callable
from typing import Any

from plait._asyncio.chunks import arrived as value_of
from plait._long.chunk import Sizer
from plait._long.lanes import Arrived, Lanes, refuse_unsendable, unpack_into
from plait._long.stretch import Stretch


class ChunkLanes(Lanes):
    """Chunks of coroutines, each a task of a worker, which runs an event loop for it."""

    def __init__(
        self,
        submit: Callable[..., Any],
        fn: Callable[..., Any],
        call: Callable[..., Any],
        workers: int,
        size: int,
        ahead: int,
        arrived: Arrived,
    ) -> None:
        """`call`: what makes `size` calls of `fn` at most; so many chunks go `ahead`."""
        super().__init__(workers, arrived, Sizer(size))
        self._send = submit
        self._fn = fn
        self._call = call
        self._most = ahead

    @property
    def ahead(self) -> int:
        """See `Lanes`."""
        return self._most * self.sizer.size

    def _submit(self, stretch: Stretch) -> Any:
        return self._send(self._call, *stretch.calls)

    def _look_at(self, error: BaseException) -> None:
        refuse_unsendable(self._fn, error)

    def _take(self, stretch: Stretch, future: Any) -> int:
        unpack_into(stretch, future.result(), value_of)
        return len(stretch)


class OwnChunkLanes(ChunkLanes):
    """The same from within a worker of the pool, which may have to make the calls that it waits for."""

    waits_by_future = True
