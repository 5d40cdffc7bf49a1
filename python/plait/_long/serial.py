"""A long map on the serial backend without a checkpoint: a plain loop, with errors and progress.

Promise: to the caller it is what `run.Run` is with `lanes.SerialLanes`, at a tenth of the cost of an item.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from time import monotonic
from typing import Any

from plait._long.ends import ends_map
from plait._long.meter import Meter
from plait._long.source import Source
from plait._long.wishes import Wishes


class SerialRun:
    """One map whose calls are made in the thread that asks for their results, each when it is asked for."""

    choice = None

    def __init__(
        self, call: Callable[..., Any], iterables: tuple[Iterable[Any], ...], wishes: Wishes
    ) -> None:
        """`call` makes one call, within its limits."""
        source = Source(iterables, None)
        self.meter = Meter(wishes.progress, source.total)
        self._results = self._make(call, source.items, wishes.errors)

    def begin(self) -> None:
        """Tell of progress for the first time."""
        try:
            self.meter.tick(0, always=True)
        except BaseException:
            self.close()
            raise

    def batches(self) -> Generator[Iterator[Any], None, None]:
        """Give the only iterator over results."""
        yield self._results

    def close(self) -> None:
        """Let go of the inputs, and tell of progress for the last time."""
        try:
            self._results.close()
        finally:
            self.meter.close()

    give_up = close

    def _make(
        self, call: Callable[..., Any], items: Iterator[tuple[Any, ...]], errors: str
    ) -> Generator[Any, None, None]:
        meter, done = self.meter, 0
        tells = meter.is_wanted
        value: Any
        try:
            for args in items:
                try:
                    value = call(*args)
                except Exception as error:
                    done += 1
                    meter.failed += 1
                    if errors == "raise" or ends_map(error):
                        raise
                    if errors == "skip":
                        continue
                    value = error
                else:
                    done += 1
                if tells and monotonic() >= meter.due:
                    meter.done = done
                    meter.tick(0)
                # Nothing here knows it while the consumer has it.
                kept, value = [value], None
                yield kept.pop()
        finally:
            meter.done = done
            meter.close()
