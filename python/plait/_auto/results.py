"""Results that are handed out one by one, so that nothing here keeps what the consumer has."""

import itertools
from collections.abc import Iterator
from typing import Any


class Batch:
    """A list of results that is emptied by being iterated over, without Python's help for each of them."""

    def __init__(self, results: list[Any]) -> None:
        """Take over `results`."""
        results.reverse()
        self._results = results
        # One for each result that is still to be handed out.
        self._ticks: list[tuple[()]] = [()] * len(results)

    def __iter__(self) -> Iterator[Any]:
        return itertools.starmap(self._results.pop, self._ticks)

    def forget(self) -> None:
        """End the iteration."""
        self._ticks.clear()
        self._results.clear()
