"""Results that are handed out one by one, so that nothing here keeps what the consumer has."""

import itertools
from collections.abc import Iterator
from typing import Any


class Batch:
    """A list of results that is emptied by being iterated over, without Python's help for each of them.

    Of `plain` ones, of which nobody can tell how long they are kept, it is only forgotten at the end.
    """

    def __init__(self, results: list[Any], plain: bool = False) -> None:
        """Take over `results`."""
        self._plain = plain
        self._results = results
        if not plain:
            results.reverse()
        # One for each result that is still to be handed out.
        self._ticks: list[tuple[()]] = [] if plain else [()] * len(results)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._results) if self._plain else itertools.starmap(self._results.pop, self._ticks)

    def forget(self) -> None:
        """End the iteration."""
        self._ticks.clear()
        self._results.clear()


class Noting:
    """An iterator that knows whether it has raised."""

    def __init__(self, results: Iterator[Any]) -> None:
        self._results = results
        self.failed = False

    def __iter__(self) -> "Noting":
        return self

    def __next__(self) -> Any:
        try:
            return next(self._results)
        except StopIteration:
            raise
        except BaseException:
            self.failed = True
            raise

    def close(self) -> None:
        """Take back what was not begun."""
        self._results.close()  # type: ignore[attr-defined]
