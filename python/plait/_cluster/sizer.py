"""How many items of a map go together to a cluster, where a chunk costs milliseconds.

The rules are those of `plait-engine`'s `chunk.rs`, for the one aim that a slow transport has.
"""

from collections.abc import Callable

# The most by which a size may grow beyond the chunk just measured: each step costs a way there and back.
_GROWTH = 32

# With a known length, each place is to get so many chunks of what remains, but none that takes less than so
# many times what its sending costs.
_SHARES = 4
_WORTH = 4

# What part of the size that an earlier map of the function had comes first.
_AGAIN = 8

# What a chunk may weigh, in bytes.
_MOST_BYTES = 1 << 20


class Sizer:
    """How many items go together: as given, or as their duration and weight suggest."""

    def __init__(
        self, fixed: int | None, aim: float, overhead: float, left: Callable[[], int | None]
    ) -> None:
        """`aim`: seconds of work in a chunk; `overhead`: those that one costs; `left`: items not sent yet."""
        self.is_fixed = fixed is not None
        self.places = 1
        self._fixed = fixed
        self._aim = aim
        self._overhead = overhead
        self._left = left
        self._grown = 1
        self._seconds = 0.0
        self._bytes = 1.0

    @property
    def size(self) -> int:
        """The next chunk's."""
        if self._fixed is not None:
            return self._fixed
        size = min(self._grown, max(1, int(_MOST_BYTES / self._bytes)))
        left = self._left()
        if left is not None:
            worth = int(_WORTH * self._overhead / max(self._seconds, 1e-9))
            size = min(size, max(-(-left // (_SHARES * self.places)), worth))
        return max(1, size)

    def learn(self, seconds: float, items: int, weight: int) -> None:
        """A chunk of so many items took so long, and weighed so many bytes with its answer."""
        if self._fixed is not None or not items:
            return
        self._seconds = _up_at_once(self._seconds, max(0.0, seconds) / items)
        self._bytes = max(1.0, _up_at_once(self._bytes, weight / items))
        wished = self._wished()
        if wished > self._grown:
            # By steps: the first items may be unlike the others.
            self._grown = max(self._grown, min(wished, items * _GROWTH))
        else:
            self._grown = wished

    @property
    def figures(self) -> tuple[float, float]:
        """Seconds and bytes of an item, for `begin_with` of the next map."""
        return self._seconds, self._bytes

    def begin_with(self, figures: tuple[float, float]) -> None:
        """Begin with those of an earlier map: near its size, but its items may have been others."""
        self._seconds, self._bytes = figures
        self._grown = max(1, self._wished() // _AGAIN)

    def _wished(self) -> int:
        return max(1, int(self._aim / max(self._seconds, 1e-9)))


def _up_at_once(known: float, seen: float) -> float:
    """Longer items are believed at once, shorter ones by half."""
    return seen if seen >= known else (known + seen) / 2
