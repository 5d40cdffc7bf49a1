"""The inputs of a map that may change its backend: what was not called yet, wherever it is read from next."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context
from typing import Any

from plait import _core

Call = tuple[Any, ...]

# Seconds that one may wait for further items of a generator before those at hand are called.
_PATIENCE = 0.001


class Inputs:
    """Items of one iterable, or tuples of several, read once and in order.

    What was read and not called can be put back. An exception of the input is kept in `failure`: it is raised
    where its result would have come.
    """

    def __init__(self, iterables: tuple[Iterable[Any], ...]) -> None:
        self.star = len(iterables) != 1
        self.left: int | None = None
        try:
            self.left = min(len(it) for it in iterables)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            pass
        self._items: Iterator[Any] = zip(*iterables) if self.star else iter(iterables[0])
        self.ended = False
        self.failure: Exception | None = None

    def take(self, count: int) -> list[Call]:
        """Read up to `count` items, as tuples of arguments; of those that come slowly fewer, but one."""
        return self.calls_of(self.take_items(count))

    def calls_of(self, items: list[Any]) -> list[Call]:
        """Give what was read as tuples of arguments."""
        return items if self.star else [(item,) for item in items]

    def take_items(self, count: int) -> list[Any]:
        """The same as they were read: with `star` they are tuples of arguments, else each is the only one."""
        items: list[Any] = []
        if self.ended:
            return items
        try:
            if self.left is not None or count == 1:
                # What was read before an exception stays in the list.
                items.extend(itertools.islice(self._items, count))
                self.ended = len(items) < count
            else:
                self.ended = self._take_slowly(items, count)
        except Exception as error:
            self.failure = error
            self.ended = True
        self._took(len(items))
        return items

    def _take_slowly(self, items: list[Any], count: int) -> bool:
        """Read from what may make its reader wait; whether that has ended."""
        until = time.perf_counter() + _PATIENCE
        for item in self._items:
            items.append(item)
            count -= 1
            if not count or time.perf_counter() > until:
                return False
        return True

    def call(
        self, fn: Callable[..., Any], count: int, limit: float, results: list[Any], context: Context
    ) -> tuple[int, bool]:
        """Call `fn` here with up to `count` items, for `limit` seconds, each time in a copy of `context`.

        Gives how many calls were made, and whether all results are plain: numbers, None, short strings.

        Raises:
            Exception: what `fn` raised; the results before it are in `results`.

        """
        made, self.ended, self.failure, plain = _core.call_batch(
            fn, self._items, self.star, count, limit, results, context
        )
        self._took(made)
        return made, plain

    def put_back(self, calls: list[Call]) -> None:
        """The next to be read are these."""
        self.put_back_items(calls if self.star else [call[0] for call in calls])

    def put_back_items(self, items: list[Any]) -> None:
        """The same, as `take_items` gave them."""
        if not items:
            return
        if self.ended:
            self._items = iter(())
            self.ended = False
        if self.failure is not None:
            failure, self.failure = self.failure, None
            self._items = itertools.chain(items, _raise(failure))
        else:
            self._items = itertools.chain(items, self._items)
        if self.left is not None:
            self.left += len(items)

    def tap(self, step: Callable[[], int]) -> Iterator[Any]:
        """Iterate over the items; before each block `step` says how many it may have, or 0: no more for now.

        What is in a block is read one by one, as it is asked for.
        """
        return itertools.chain.from_iterable(self._blocks(step))

    def _blocks(self, step: Callable[[], int]) -> Iterator[Iterable[Any]]:
        while not self.ended and (size := step()):
            if self.left is not None and self.left > size:
                # Read without Python's help: the length says that there are so many.
                self._took(size)
                yield itertools.islice(self._items, size)
                continue
            for item in self._items:
                self._took(1)
                yield (item,)
                size -= 1
                if not size:
                    break
            else:
                self.ended = True

    def _took(self, count: int) -> None:
        if self.left is not None:
            self.left = max(0, self.left - count)


def _raise(error: Exception) -> Iterator[Any]:
    raise error
    yield
