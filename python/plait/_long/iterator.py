"""The iterator of a long map, as its consumer has it."""

import itertools
from collections.abc import Iterator
from typing import Any, cast

from plait._long.run import Run
from plait._long.serial import SerialRun


class LongMap(itertools.chain):  # type: ignore[type-arg]
    """The iterator of a map with progress, a checkpoint, or an order or errors of its own."""

    _run: Run | SerialRun
    _batches: Iterator[Iterator[Any]]

    @property
    def choice(self) -> Any:
        """What the backend "auto" chose, and why; None until it has, and on other backends."""
        return self._run.choice

    @property
    def failed(self) -> int:
        """How many calls have raised so far."""
        return self._run.meter.failed

    def close(self) -> None:
        """Stop what runs, write what has arrived to the checkpoint, and give it free.

        Raises:
            plait.CheckpointError: it cannot be written.

        """
        self._run.give_up()
        self._batches.close()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        """Close it."""
        run = self.__dict__.get("_run")
        if run is not None:
            run.close()


def iterate(run: Run | SerialRun) -> LongMap:
    """Start the calls and give the iterator over their results."""
    run.begin()
    batches = run.batches()
    results = cast(LongMap, LongMap.from_iterable(batches))
    results._run, results._batches = run, batches
    return results
