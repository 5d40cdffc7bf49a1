"""How long calls took, as counts in classes 5 % apart: small, easily added up, good for any percentile."""

import math
from collections import Counter
from collections.abc import Iterable

# What needs no plait, and the others: the names of small calls.
BARE = "a pipe, without plait"
KINDS = (
    "processes",
    "threads",
    "asyncio",
    "auto",
    "map",
    "Pool.apply",
    "Queue, there and back",
    "Lock",
    "Process",
)

RATIO = math.log(1.05)

# Class to count, as JSON has it.
Counts = dict[str, int]


def class_of(seconds: float) -> int:
    """The class that a time belongs to."""
    return round(math.log(max(seconds, 1e-9)) / RATIO)


def together(many: Iterable[Counts]) -> Counter[int]:
    """The counts of all."""
    total: Counter[int] = Counter()
    for counts in many:
        for name, count in counts.items():
            total[int(name)] += count
    return total


def percentile(many: Iterable[Counts], share: float) -> float:
    """The seconds within which this share of the calls was done; 0 without calls."""
    total = together(many)
    wanted = share * total.total()
    passed = 0
    for name in sorted(total):
        passed += total[name]
        if passed >= wanted:
            return math.exp(name * RATIO)
    return 0.0
