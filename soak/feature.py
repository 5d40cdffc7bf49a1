"""What the actors of the soak have in common: things that they do, one of which they draw for each round."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tasks
from actor import Storm
from bulk import Bulk
from lasting import Lasting


@dataclass
class Soak:
    """What every actor of the soak knows besides the storm."""

    storm: Storm
    lasting: Lasting
    folder: Path


class Feature(Bulk):
    """Draws one of its ways, checks what came of it, pauses."""

    title = "feature"
    # The longest pause between two rounds, in seconds: so the machine has air, and a latency is plait's.
    pause = 1.0

    def __init__(self, soak: Soak, number: int = 0) -> None:
        super().__init__(soak.storm, number)
        self.soak, self.lasting = soak, soak.lasting

    def ways(self) -> list[Callable[[], None]]:
        """All that it does; each must end by itself."""
        raise NotImplementedError

    def step(self) -> None:
        self.do(self.dice.choice(self.ways()))
        self.storm.over.wait(self.dice.uniform(0, self.pause))

    def do(self, way: Callable[[], None]) -> None:
        """One of its ways, counted."""
        self.beat(f"does {self.title}: {way.__name__.replace('_', ' ')}")
        way()
        self.storm.findings.count(f"rounds of {self.title}")

    def expect(self, what: str, value: Any, right: Any) -> None:
        """Complains unless they are equal."""
        if value != right:
            self.storm.findings.complain(f"{self.name}: {what} gave {value!r:.200}, not {right!r:.200}")

    def expect_all(self, what: str, first: int, size: int, values: list[Any], tries: int = 1) -> None:
        """Complains unless these are the results of so many tasks, each of which began as often as it may."""
        if len(values) != size:
            self.storm.findings.complain(f"{self.name}: {what} gave {len(values)} of {size} results")
        self.check(first, values, tries)

    def expect_answers(self, what: str, first: int, size: int, values: list[Any]) -> None:
        """The same of tasks that no ledger knows."""
        self.expect(what, values, [tasks.answer(number) for number in range(first, first + size)])
        self.storm.findings.count("verified", size)
