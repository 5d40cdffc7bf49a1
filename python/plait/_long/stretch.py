"""Items that are called together, and the order in which their results may be handed out.

Pure: no clock, no threads, no calls. The loop in `run.py` tells it what was sent and what has ended.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, overload


class Singles(Sequence[tuple[Any]]):
    """Calls with one argument each, without the tuples around them, which take longer than many a call."""

    __slots__ = ("bare",)

    def __init__(self, bare: list[Any]) -> None:
        """`bare`: the arguments."""
        self.bare = bare

    def __len__(self) -> int:
        """How many there are."""
        return len(self.bare)

    def __iter__(self) -> Iterator[tuple[Any]]:
        """Each as a call has it."""
        return zip(self.bare)

    @overload
    def __getitem__(self, place: int) -> tuple[Any]: ...

    @overload
    def __getitem__(self, place: slice) -> "Singles": ...

    def __getitem__(self, place: int | slice) -> "tuple[Any] | Singles":
        """One, or some of them."""
        return Singles(self.bare[place]) if isinstance(place, slice) else (self.bare[place],)


class Stretch:
    """Consecutive items: their arguments on the way out, their results on the way back."""

    __slots__ = ("calls", "digests", "failures", "first", "future", "is_known", "is_over", "lanes", "values")

    def __init__(self, first: int, calls: Any, digests: list[bytes]) -> None:
        """`first`: the position of the first among all inputs; `digests`: empty without a checkpoint.

        `calls`: tuples of arguments, as a list or as `Singles`.
        """
        self.first = first
        self.calls = calls
        self.digests = digests
        # Of an item that failed it has None, and `failures` the exception, by the place in this stretch.
        self.values: list[Any] = []
        self.failures: dict[int, BaseException] = {}
        # Who makes its calls, and the future that they are.
        self.lanes: Any = None
        self.future: Any = None
        self.is_known = False
        self.is_over = False

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.calls)

    def part(self, begin: int, end: int) -> "Stretch":
        """Some of its items, as a stretch of their own that was not called yet."""
        return Stretch(self.first + begin, self.calls[begin:end], self.digests[begin:end])


class Order:
    """Which stretches are out, and which comes next: the first that was sent, or the first that ended."""

    def __init__(self, ordered: bool) -> None:
        """See the class."""
        self._ordered = ordered
        self._out: deque[Stretch] = deque()
        self._ended: deque[Stretch] = deque()
        # Items that were sent and not handed out yet, and stretches whose calls have not ended.
        self.items = 0
        self.calling = 0

    def __iter__(self) -> Iterator[Stretch]:
        """All that is out, in the order of the inputs."""
        return iter([*self._out])

    @property
    def head(self) -> Stretch | None:
        """The first that is not handed out."""
        return self._out[0] if self._out else None

    def on_sent(self, stretch: Stretch) -> None:
        """It is on its way, behind all that was sent before."""
        self._out.append(stretch)
        self.items += len(stretch)
        self.calling += 1

    def on_over(self, stretch: Stretch) -> None:
        """All of its results are there."""
        stretch.is_over = True
        self.calling -= 1
        if not self._ordered:
            self._ended.append(stretch)

    def on_split(self, stretch: Stretch, parts: list[Stretch]) -> None:
        """Its items go again, in these parts and in its place; those that are in none will not be called."""
        place = self._out.index(stretch)
        del self._out[place]
        for part in reversed(parts):
            self._out.insert(place, part)
        self.calling += len(parts) - 1
        self.items += sum(map(len, parts)) - len(stretch)

    def pop(self) -> Stretch | None:
        """Take the stretch whose results come next, or None while there is none."""
        stretch = None
        if self._ordered:
            if self._out and self._out[0].is_over:
                stretch = self._out.popleft()
        elif self._ended:
            stretch = self._ended.popleft()
            self._out.remove(stretch)
        if stretch is not None:
            self.items -= len(stretch)
        return stretch

    def clear(self) -> None:
        """Forget all of it."""
        self._out.clear()
        self._ended.clear()
        self.items = self.calling = 0
