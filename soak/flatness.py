"""Whether a series of figures stays flat: a robust slope, and the ends of the run beside each other.

Pure: numbers in, a verdict out. Two questions are asked of what follows the warm-up. How much does the figure
rise over the run, by the slope of Theil and Sen (the median of the slopes of all pairs of points, which a few
wild samples cannot move)? And how much higher is the median of the last quarter than that of the first? Each
rise may be as large as the figure's bound allows.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import median
from typing import Any

Point = tuple[float, float]

# The part of a run that warms up, and the most seconds of it.
WARM_UP_SHARE, WARM_UP_SECONDS = 0.2, 300.0
# Pairs grow by the square: a long series is first made of so many medians.
STRETCHES = 200
# Fewer seconds than that after the warm-up tell nothing.
FEWEST = 8
# Bounds are for runs of so many seconds after the warm-up, or more: what a figure wanders by fades only then.
LONG = 900.0


@dataclass(frozen=True)
class Bound:
    """How much a figure may rise in a run: so much, and such a share of what it was in the first quarter."""

    least: float
    share: float = 0.0

    def allows(self, first: float, seconds: float = LONG) -> float:
        """The largest rise of a figure that began as `first`, in a run of so many seconds.

        Of few samples the medians wander: by the square root of how many there are too few.
        """
        return (self.least + self.share * first) * math.sqrt(max(1.0, LONG / seconds))


@dataclass(frozen=True)
class Verdict:
    """What was seen of one figure, in its own unit."""

    name: str
    unit: str
    # The medians of the quarters; both rises, and what they may be.
    first: float
    last: float
    rise: float
    allowed: float
    # Of what others on the machine can move, such as a time, both rises must be too large.
    both: bool = False

    @property
    def grew(self) -> bool:
        """Whether it rose by more than it may, by either answer, or by both."""
        rises = (self.rise, self.last - self.first)
        return (min(rises) if self.both else max(rises)) > self.allowed

    def __str__(self) -> str:
        """One line that names the cause."""
        return (
            f"{self.name} grew: {self.first:,.4g} {self.unit} in the first quarter, {self.last:,.4g} in the "
            f"last, {self.rise:+,.4g} by its slope; {self.allowed:,.4g} more are allowed"
        )


def warm_up(seconds: float) -> float:
    """How many seconds of a run of so many do not count."""
    return min(WARM_UP_SHARE * seconds, WARM_UP_SECONDS)


def slope(points: Sequence[Point]) -> float:
    """The median of the slopes of all pairs of points: a unit a second; 0 for fewer than two."""
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(points, 2) if t != s]
    return median(slopes) if slopes else 0.0


def stretches(points: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """The points in so many parts of about the same length, none of them empty."""
    count = min(count, len(points))
    edges = [len(points) * at // count for at in range(count + 1)] if count else [0]
    return [points[start:end] for start, end in pairwise(edges)]


def quarters(points: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """The first and the last of four parts."""
    parts = stretches(points, 4)
    return parts[0], parts[-1]


def judge(name: str, unit: str, points: Sequence[Point], bound: Bound) -> Verdict | None:
    """The verdict on a series of (seconds, figure), its warm-up gone; None when it is too short for one."""
    if len(points) < FEWEST:
        return None
    thin = [
        (median(at for at, _ in part), median(value for _, value in part))
        for part in stretches(points, STRETCHES)
    ]
    first, last = (median(value for _, value in part) for part in quarters(points))
    seconds = points[-1][0] - points[0][0]
    rise = slope(thin) * seconds
    return Verdict(name, unit, first, last, rise, bound.allows(first, seconds))


def judge_parts(
    name: str,
    unit: str,
    parts: Sequence[tuple[float, Any]],
    figure: Callable[[Sequence[Any]], float],
    parts_a_point: int,
    bound: Bound,
) -> Verdict | None:
    """The same of what only several samples together have, such as a percentile; both rises count.

    `figure` makes it of a list of samples: of so many for a point of the slope, of all of a quarter.
    """
    if len(parts) < FEWEST:
        return None
    points = [
        (median(at for at, _ in part), figure([sample for _, sample in part]))
        for part in stretches(parts, max(2, min(STRETCHES, len(parts) // parts_a_point)))
    ]
    first, last = (figure([sample for _, sample in part]) for part in quarters(parts))
    rise = slope(points) * (parts[-1][0] - parts[0][0])
    return Verdict(name, unit, first, last, rise, bound.allows(first), both=True)
