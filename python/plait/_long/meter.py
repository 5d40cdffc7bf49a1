"""How far a long map has come, and telling of it."""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple


class Progress(NamedTuple):
    """How far a map has come: what a callable given as `progress=` of `plait.map` is called with.

    `done` counts items whose calls have ended, well or not, and those found in the checkpoint; `failed` those
    that raised. `total` is the number of items, or None where the inputs do not tell. `running` is how many
    workers are busy, and `elapsed` the seconds since the map began.
    """

    done: int
    failed: int
    total: int | None
    running: int
    elapsed: float


# As users know it.
Progress.__module__ = "plait"

# Seconds between two calls of what is told.
PERIOD = 0.1


class Meter:
    """Counts what has ended, and tells of it ten times a second at most; at the beginning and the end always.

    What is told must not end the map: if it raises, a warning says so, and it is told no more.
    """

    def __init__(self, wish: bool | Callable[[Progress], object] | None, total: int | None) -> None:
        """`wish`: True for a bar, or what to call; `total`: the number of items, if it is known."""
        self.done = 0
        self.failed = 0
        self.total = total
        self._began = time.monotonic()
        self._period = PERIOD
        # When it is to be told again.
        self.due = self._began
        self._bar: Any = None
        self._tell: Callable[[Progress], object] | None = None
        if callable(wish):
            self._tell = wish
        elif wish:
            try:
                from plait._long.bar import Bar

                self._bar = Bar(total)
                self._tell = self._bar.show
                self._period = self._bar.period
            except Exception as error:
                self._give_up(error)

    @property
    def is_wanted(self) -> bool:
        """Whether anybody is told."""
        return self._tell is not None

    @property
    def patience(self) -> float | None:
        """Seconds until it is to be told again, or None if nobody is told."""
        return None if self._tell is None else max(0.0, self.due - time.monotonic())

    def tick(self, running: int, *, always: bool = False) -> None:
        """Tell, if it is time."""
        if self._tell is None:
            return
        now = time.monotonic()
        if now < self.due and not always:
            return
        counts = Progress(self.done, self.failed, self.total, running, now - self._began)
        try:
            self._tell(counts)
        except Exception as error:
            self._give_up(error)
        self.due = time.monotonic() + self._period

    def close(self) -> None:
        """Tell for the last time, and leave the bar as it stands."""
        self.tick(0, always=True)
        bar, self._bar, self._tell = self._bar, None, None
        if bar is not None:
            try:
                bar.close()
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._tell = None
        warnings.warn(
            f"plait.map: progress= raised {type(error).__name__}: {error}; the map goes on without it",
            RuntimeWarning,
            stacklevel=3,
        )
