"""The plan of a storm: how often what happens. Drawn from the seed and printed, to be replayed."""

import random
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Limits:
    """What the workers and calls of a pool are held to."""

    recycle_after: int | None = None
    growth: str | None = None
    memory: str | None = None
    timeout: float | None = None
    retries: int = 0

    @classmethod
    def draw(cls, dice: random.Random) -> "Limits":
        """Those of some pool."""
        return cls(
            dice.choice([None, None, int(10 ** dice.uniform(1.5, 5))]),
            dice.choice([None, None, "30MB"]),
            dice.choice([None, "400MB"]),
        )

    def options(self) -> dict[str, Any]:
        """As an executor takes them."""
        return {
            "max_tasks_per_child": self.recycle_after,
            "max_memory_growth": self.growth,
            "memory_limit": self.memory,
            "timeout": self.timeout,
            "retries": self.retries,
        }


@dataclass(frozen=True)
class Weather:
    """Rates are per second, over all pools; the rest says what it is."""

    # Faults that come from outside, on a random worker of a random pool.
    kills: float  # SIGKILL
    terms: float  # SIGTERM
    segfaults: float  # SIGSEGV
    stops: float  # SIGSTOP, and SIGCONT after a while
    stop_ms: float  # the longest of these whiles
    massacres: float  # all workers of a pool at once
    nursery_kills: float
    # Shares of the tasks that are not tiny.
    raising: float
    dying: float
    heavy: float
    unsendable: float
    nesting: float
    cancels: float  # the share of calls that somebody tries to take back
    late: float
    retried: float
    leaking: float
    # The pools that last.
    pools: tuple[Limits, ...]
    pause_ms: float  # the longest pause between two batches of tasks that are not tiny

    @classmethod
    def draw(cls, seed: int, pools: int) -> "Weather":
        """The weather of a seed."""
        dice = random.Random(f"{seed}/weather")

        def about(rate: float) -> float:
            return round(rate * 4 ** dice.uniform(-1, 1), 3)

        return cls(
            kills=about(4),
            terms=about(0.5),
            segfaults=about(0.5),
            stops=about(1),
            stop_ms=about(100),
            massacres=about(0.2),
            nursery_kills=about(0.08),
            raising=about(1),
            dying=about(0.15),
            heavy=about(0.1),
            unsendable=about(0.5),
            nesting=about(0.02),
            cancels=about(0.08),
            late=about(0.4),
            retried=about(0.3),
            leaking=about(0.3),
            pools=tuple(Limits.draw(dice) for _ in range(pools)),
            pause_ms=about(20),
        )

    def __str__(self) -> str:
        """One line."""
        return ", ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))
