"""Draws the figures of a soak, one below the other, as the docs' other drawings: for light and dark."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

from diagrams import LETTER, STYLE, Drawing
from flatness import stretches, warm_up
from latencies import BARE, percentile, together
from report import figure

# Colours of the curves, light and dark.
COLOURS = {
    "one": ("#00836b", "#2bb795"),
    "two": ("#0072b2", "#56b4e9"),
    "three": ("#b97d00", "#e69f00"),
    "four": ("#7f918c", "#7f918c"),
}
LINES = """\
path.axis { stroke-width: 1; stroke-opacity: 0.35 }
rect.early { stroke: none }"""
LEFT, RIGHT, HIGH, STEP = 50, 390, 92, 150
# Points of a curve; of one of times fewer, so that there are calls enough for each, where they can be had.
POINTS, TIMED, CALLS = 170, (12, 60), 1000

Samples = Sequence[dict[str, Any]]
Curve = Callable[[Samples], float]
Point = tuple[float, float]


def of(*path: str) -> Curve:
    """The median of a figure."""
    return lambda samples: median(figure(sample, path) for sample in samples)


def quick(kind: str, share: float) -> Curve:
    """A percentile of a kind of call, in ms."""
    return lambda samples: 1000 * percentile((sample["latencies"].get(kind, {}) for sample in samples), share)


def all_latencies(kind: str) -> dict[str, Curve]:
    """The curves of a kind."""
    return {"p50": quick(kind, 0.5), "p99": quick(kind, 0.99), "p99.9": quick(kind, 0.999)}


PANELS: dict[str, dict[str, Curve]] = {
    "memory, MB": {
        "all (PSS)": of("tree", "pss"),
        "the program": of("program", "anonymous"),
        "lasting workers": of("lasting", "anonymous"),
    },
    "shared memory, MB, and files of it": {"MB": of("shared", "mb"), "files": of("shared", "files")},
    "descriptors": {
        "all": of("tree", "descriptors"),
        "the program": of("program", "descriptors"),
        "lasting workers": of("lasting", "descriptors"),
    },
    "threads, processes": {
        "threads": of("tree", "threads"),
        "of the program": of("program", "threads"),
        "processes": of("tree", "processes"),
    },
    "a call on processes, ms": all_latencies("processes"),
    "a call on threads, ms": all_latencies("threads"),
    "a queue, there and back, ms": all_latencies("Queue, there and back"),
    "a pipe, without plait, ms": all_latencies(BARE),
}


@dataclass(frozen=True)
class Scale:
    """How high a value lies, and which are marked."""

    marks: tuple[float, ...]
    by_powers: bool = False

    def share(self, value: float) -> float:
        """From 0 at the lowest mark to 1 at the highest."""
        low, high = self.marks[0], self.marks[-1]
        if not self.by_powers:
            return (value - low) / (high - low)
        return math.log(min(max(value, low), high) / low) / math.log(high / low)


# Times lie far apart: a power of ten each.
TIMES = Scale((0.01, 0.1, 1, 10, 100, 1000, 10_000), by_powers=True)


def from_zero(curves: dict[str, list[Point]]) -> Scale:
    """Up to the next larger number that is easy to read."""
    most = max(value for points in curves.values() for _, value in points)
    power = 10.0 ** math.floor(math.log10(max(most, 1)))
    top = next(power * factor for factor in (1, 2, 4, 6, 8, 10) if power * factor >= most)
    return Scale((0, top / 2, top))


class Plot(Drawing):
    """A drawing with curves, all over the same time."""

    def __init__(self, title: str, height: int, seconds: float) -> None:
        """`seconds` is what the width means."""
        super().__init__(title, height)
        self._seconds = seconds

    def style(self) -> str:
        """The colours of the curves, besides those of all drawings."""
        light, dark = (
            "\n".join(
                f"path.{name} {{ stroke: {pair[at]} }}\ntext.{name} {{ fill: {pair[at]} }}"
                for name, pair in COLOURS.items()
            )
            for at in (0, 1)
        )
        return f"{STYLE}\n{light}\n{LINES}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"

    def x(self, at: float) -> float:
        """Where a moment lies."""
        return LEFT + (RIGHT - LEFT) * at / self._seconds

    def panel(self, y: int, title: str, curves: dict[str, list[Point]], early: float, scale: Scale) -> None:
        """One picture: its title, what the curves are called, an axis, the curves."""
        wide = f'width="{self.x(early) - LEFT:.1f}" height="{HIGH}"'
        self._parts.append(f'<rect class="room early" x="{LEFT}" y="{y + 26}" {wide}/>')
        self.words(LEFT, y + 14, title, "left")
        right = float(RIGHT)
        for name, colour in reversed(list(zip(curves, COLOURS))):
            self.words(right, y + 14, name, f"small right {colour}")
            right -= len(name) * LETTER + 9

        def level(value: float) -> float:
            return y + 26 + HIGH * (1 - scale.share(value))

        for mark in scale.marks:
            self._parts.append(f'<path class="axis" d="M {LEFT} {level(mark):g} L {RIGHT} {level(mark):g}"/>')
            self.words(LEFT - 6, level(mark) + 4, f"{mark:,g}", "small right")
        for points, colour in zip(curves.values(), COLOURS):
            way = " L ".join(f"{self.x(at):.1f} {level(value):.1f}" for at, value in points)
            self._parts.append(f'<path class="{colour}" d="M {way}"/>')


def points_of_times(samples: Samples) -> int:
    """How many points a curve of times has."""
    calls = together(sample["latencies"].get(BARE, {}) for sample in samples).total()
    few, many = TIMED
    return min(many, max(few, calls // CALLS))


def draw(samples: Samples) -> str:
    """The picture as a file."""
    seconds = max(samples[-1]["at"], 1e-9)
    plot = Plot("memory, descriptors, threads and latencies over the run", STEP * len(PANELS) + 22, seconds)
    for row, (title, curves) in enumerate(PANELS.items()):
        timed = title.endswith(", ms")
        parts = stretches(samples, points_of_times(samples) if timed else POINTS)
        drawn = {
            name: [(median(sample["at"] for sample in part), curve(part)) for part in parts]
            for name, curve in curves.items()
        }
        plot.panel(STEP * row, title, drawn, warm_up(seconds), TIMES if timed else from_zero(drawn))
    unit, by = ("min", 60) if seconds >= 300 else ("s", 1)
    for share in (0, 0.5, 1):
        kind = ("small left", "small", "small right")[int(2 * share)]
        text = f"{seconds * share / by:.3g} {unit}"
        plot.words(LEFT + (RIGHT - LEFT) * share, STEP * len(PANELS) + 6, text, kind)
    return plot.text()
