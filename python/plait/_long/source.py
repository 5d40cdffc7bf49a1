"""The inputs of a long map: read once, in order, and looked up in the checkpoint."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from plait._long.digest import digest
from plait._long.stretch import Singles, Stretch

if TYPE_CHECKING:
    from plait._long.ledger import Ledger

# Seconds that one may wait for further items of a generator before those at hand are called.
_PATIENCE = 0.001


class Source:
    """Tuples of arguments with their positions. What was read and not called can be put back.

    An exception of the inputs, or what speaks against the checkpoint, is kept in `failure`, where the inputs
    end.
    """

    def __init__(
        self, iterables: tuple[Iterable[Any], ...], ledger: "Ledger | None", bare: bool = False
    ) -> None:
        """`ledger` knows the results of an earlier run, if there is a checkpoint.

        `bare`: whoever takes stretches knows `Singles`.
        """
        self.total: int | None = None
        try:
            self.total = min(len(it) for it in iterables)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            pass
        # Tuples, or where that will do the only argument as it is.
        self._is_bare = bare and len(iterables) == 1 and ledger is None
        self.items: Iterator[Any] = iter(iterables[0]) if self._is_bare else zip(*iterables)
        self._ledger = ledger
        self._position = 0
        self._back: deque[Stretch] = deque()
        self.is_over = False
        self.failure: BaseException | None = None

    @property
    def left(self) -> int | None:
        """How many items were not taken yet, as far as that is known."""
        if self.total is None:
            return None
        return max(0, self.total - self._position) + sum(len(each) for each in self._back)

    def put_back(self, stretch: Stretch) -> None:
        """It is the next to be taken."""
        self._back.appendleft(stretch)

    def close(self) -> None:
        """Let go of the inputs."""
        self.items = iter(())
        self._back.clear()
        self.is_over = True

    def take(self, size: int) -> Stretch | None:
        """Give the next items, `size` at most; None at the end. Either all of them are known, or none."""
        if self._back:
            stretch = self._back.popleft()
            if len(stretch) > size and not stretch.is_known:
                self._back.appendleft(stretch.part(size, len(stretch)))
                stretch = stretch.part(0, size)
            return stretch
        if self.is_over:
            return None
        calls: list[Any] = []
        try:
            if self.total is not None or size == 1:
                # What was read before an exception stays in the list.
                calls.extend(islice(self.items, size))
                self.is_over = len(calls) < size
            else:
                self.is_over = self._take_slowly(calls, size)
        except Exception as error:
            self.failure = error
            self.is_over = True
        first, self._position = self._position, self._position + len(calls)
        if not calls:
            return None
        if self._ledger is None:
            return Stretch(first, Singles(calls) if self._is_bare else calls, [])
        return self._look_up(first, calls, self._ledger)

    def _take_slowly(self, calls: list[Any], size: int) -> bool:
        """Read from what may make its reader wait; whether that has ended."""
        until = time.perf_counter() + _PATIENCE
        for call in self.items:
            calls.append(call)
            if len(calls) == size or time.perf_counter() > until:
                return False
        return True

    def _look_up(self, first: int, calls: list[tuple[Any, ...]], ledger: "Ledger") -> Stretch | None:
        """Give the first of these items that are alike in being known or not; the others are put back."""
        parts: list[Stretch] = []
        for position, call in enumerate(calls, first):
            try:
                said = digest(call, f"item {position}")
                known = ledger.find(position, said)
            except Exception as error:
                self.failure = error
                self.is_over = True
                break
            if not parts or parts[-1].is_known is not (known is not None):
                parts.append(Stretch(position, [], []))
                parts[-1].is_known = known is not None
            parts[-1].calls.append(call)
            parts[-1].digests.append(said)
            if known is not None:
                parts[-1].values.append(known[0])
        self._back.extend(parts)
        return self._back.popleft() if self._back else None
