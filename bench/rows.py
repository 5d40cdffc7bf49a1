"""What is measured and what must come out: the rows of the design's table of goals, as data.

A row sets plait's side against one or more peers. A goal is a ratio, the peer's figure over plait's, of
wall time per task (throughput) or of CPU time per task. Peers that need a second for what plait does in a
millisecond make fewer calls; all figures are per task.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Side:
    """One contender's part in a row: how many calls in a full run, and in a quick one."""

    contender: str
    count: int
    quick: int
    parameters: dict[str, Any] = field(default_factory=dict)
    # The name in the table where the contender's own does not say enough.
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.contender


@dataclass(frozen=True)
class Goal:
    """plait's figure is to be at least `at_least` times smaller; without a bound the ratio is only shown."""

    metric: str
    at_least: float | None
    # The peers it speaks of; of several, the best one counts.
    peers: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    number: int
    title: str
    workload: str
    plait: Side
    peers: tuple[Side, ...]
    goals: tuple[Goal, ...]


WALL, CPU = "wall_us", "cpu_us"
PPE = "ProcessPoolExecutor"
TPE = "ThreadPoolExecutor"
CHUNKS = (500, 2_000, 8_000, 32_000)

ROWS = (
    Row(
        1,
        "small calls, one submit each, pickled (a set in, a set out)",
        "submit_pickled",
        Side("plait", 100_000, 100_000),
        (Side(PPE, 100_000, 10_000),),
        (Goal(WALL, 35, (PPE,)), Goal(CPU, 30, (PPE,))),
    ),
    Row(
        1,
        "the same with a dataclass in and out: pickle's own time is in both",
        "submit_objects",
        Side("plait", 100_000, 50_000),
        (Side(PPE, 30_000, 5_000),),
        (Goal(WALL, None, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        2,
        "the same with plain numbers and strings",
        "submit_plain",
        Side("plait", 100_000, 100_000),
        (Side(PPE, 100_000, 10_000),),
        (Goal(WALL, 60, (PPE,)), Goal(CPU, None, (PPE,))),
    ),
    Row(
        3,
        "the same against loky, Ray and Dask",
        "submit_plain",
        Side("plait", 100_000, 100_000),
        (Side("loky", 10_000, 4_000), Side("Ray", 5_000, 1_500), Side("Dask", 2_000, 500)),
        (
            Goal(WALL, 60, ("loky",)),
            Goal(CPU, None, ("loky",)),
            Goal(WALL, 250, ("Ray",)),
            Goal(CPU, None, ("Ray",)),
            Goal(WALL, 800, ("Dask",)),
            Goal(CPU, None, ("Dask",)),
        ),
    ),
    Row(
        4,
        "one call, round trip, warm pool (wall: median call)",
        "round_trip",
        Side("plait", 10_000, 3_000),
        (Side(PPE, 5_000, 1_500),),
        (Goal(WALL, 25, (PPE,)), Goal(CPU, 15, (PPE,))),
    ),
    Row(
        5,
        "map item by item",
        "map_each",
        Side("plait", 100_000, 100_000),
        (Side("Pool", 100_000, 20_000, label="Pool.imap"),),
        (Goal(WALL, 10, ("Pool.imap",)), Goal(CPU, None, ("Pool.imap",))),
    ),
    Row(
        6,
        "a million tiny items through map, chunk chosen by plait",
        "map_all",
        Side("plait", 1_000_000, 1_000_000),
        tuple(
            Side("Pool", 1_000_000, 1_000_000, {"chunksize": chunk}, label=f"Pool.map, chunks of {chunk:,}")
            for chunk in CHUNKS
        ),
        (
            Goal(WALL, 1.4, tuple(f"Pool.map, chunks of {chunk:,}" for chunk in CHUNKS)),
            Goal(CPU, None, tuple(f"Pool.map, chunks of {chunk:,}" for chunk in CHUNKS)),
        ),
    ),
    Row(
        7,
        "small calls on threads",
        "submit_plain",
        Side("plait threads", 100_000, 100_000),
        (Side(TPE, 100_000, 30_000),),
        (Goal(CPU, 10, (TPE,)), Goal(WALL, None, (TPE,))),
    ),
)
