"""The handle that `plait.watch_loop` gives: whom to tell, and what was told already."""

import logging
from collections.abc import Callable
from types import TracebackType

from plait._watch_loop.report import LoopBlocked

Place = tuple[str, int, str]

# Of so many lines a handle knows when they were told. So many may be told within `repeat_after`, too.
_MOST_PLACES = 100


class LoopWatch:
    """What `plait.watch_loop` returns: watches until `stop()`, or until its `with` block or its loop ends."""

    __module__ = "plait"

    def __init__(
        self, limit: float, callback: Callable[[LoopBlocked], object] | None, repeat_after: float
    ) -> None:
        """Nothing happens yet; `plait.watch_loop` begins."""
        self.limit = limit
        self.repeat_after = repeat_after
        self._callback = callback
        # When each line was told last, and how often it has blocked; the one told longest ago first.
        self._told: dict[Place, tuple[float, int]] = {}

    def stop(self) -> None:
        """End it. A callback that runs just now goes on, and no other begins.

        Without effect when it was called before, and in a process that was forked since.
        """
        from plait._watch_loop.watcher import end

        end(self)

    def __enter__(self) -> "LoopWatch":
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.stop()

    def _count(self, place: Place, now: float) -> int | None:
        """Count one more stall of this line: how many there were, or None where that is not to be told."""
        told, times = self._told.get(place, (None, 0))
        times += 1
        if told is None and len(self._told) >= _MOST_PLACES:
            oldest = next(iter(self._told))
            if now - self._told[oldest][0] < self.repeat_after:
                return None
            del self._told[oldest]
        if told is not None and now - told < self.repeat_after:
            self._told[place] = (told, times)
            return None
        self._told.pop(place, None)
        self._told[place] = (now, times)
        return times

    def _tell(self, blocked: LoopBlocked) -> None:
        try:
            if self._callback is not None:
                self._callback(blocked)
            else:
                _logger.warning("%s", blocked)
        except BaseException:
            # Nobody else would hear of it, and the next one is to be told all the same.
            _logger.exception("the callback of plait.watch_loop failed for: %s", blocked)


_logger = logging.getLogger("plait")
