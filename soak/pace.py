"""Keeps a soak at the same speed all the time, so that what grows is no load that grew."""

import time
from typing import Any

from bulk import Bulk

# Small rounds, many of them: what a large one keeps for a while would look like growth.
SIZES = (1, 10, 100, 1000, 3000)
LOOK_SECONDS = 0.02


def paced(kind: type[Bulk], rate: float) -> type[Bulk]:
    """This kind of actor, which waits while there are more calls verified than `rate` a second."""

    class Paced(kind):  # type: ignore[misc, valid-type]
        all_sizes = own_sizes = SIZES

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self._began = time.monotonic()

        def step(self) -> None:
            over, findings = self.storm.over, self.storm.findings
            while findings.counts()["verified"] > rate * (time.monotonic() - self._began):
                self.beat("waits for its time")
                if over.wait(LOOK_SECONDS):
                    return
            super().step()
            # Others have a turn, however far behind it is.
            over.wait(self.dice.uniform(0, LOOK_SECONDS))

    return Paced
