"""Workloads of unusual size: tiny items by the million, large arguments, large results, much memory."""

import random
from typing import Any

from choosing.workload import Job, Site, each, equals, workload

TINY, LARGE = "tiny items", "large data"


def square(number: int) -> int:
    return number * number


@workload("squares, 4,000,000", TINY)
def squares(_site: Site) -> Job:
    count = 4_000_000

    def check(results: list[Any]) -> None:
        assert len(results) == count and results[::1000] == [n * n for n in range(0, count, 1000)]
        assert sum(results) == (count - 1) * count * (2 * count - 1) // 6, "the squares do not add up"

    return Job(square, range(count), count, check)


def tidy(name: str) -> str:
    return name.strip().lower().replace("_", "-")


@workload("strings, 1,500,000", TINY)
def strings(_site: Site) -> Job:
    count = 1_500_000
    names = [f" Some_Name_{number} " for number in range(count)]
    return Job(tidy, names, count, equals([f"some-name-{number}" for number in range(count)]))


def collatz(number: int) -> int:
    steps = 0
    while number != 1:
        number = number * 3 + 1 if number & 1 else number >> 1
        steps += 1
    return steps


@workload("a few µs each, 200,000", TINY)
def small_calls(_site: Site) -> Job:
    items = [27 + 2 * (number % 3) for number in range(200_000)]
    return Job(collatz, items, len(items), equals([(111, 18, 106)[number % 3] for number in range(200_000)]))


def total(values: Any) -> float:
    return float(values.sum())


@workload("arrays of 40 MB, added up", LARGE)
def summing(_site: Site) -> Job:
    import numpy

    arrays = [numpy.full(5_000_000, float(number)) for number in range(6)]
    return Job(total, arrays * 80, 480, equals([5_000_000.0 * number for number in range(6)] * 80))


def walk(values: Any) -> int:
    found, last = 0, 0
    for value in values[::60].tolist():
        if value > last:
            found += 1
        last = value
    return found


@workload("arrays of 10 MB, Python over a part", LARGE)
def walking(_site: Site) -> Job:
    import numpy

    arrays = [
        numpy.arange(1, 10_000_000 // 8, dtype=numpy.int64)[:: 1 - 2 * (n % 2)].copy() for n in range(10)
    ]
    right = [len(range(0, 1_249_999, 60)) if n % 2 == 0 else 1 for n in range(10)]
    return Job(walk, arrays * 80, 800, equals(right * 80))


def normals(seed: int) -> Any:
    import numpy

    return numpy.random.default_rng(seed).standard_normal(2_000_000)


@workload("results of 16 MB", LARGE)
def large_results(_site: Site) -> Job:
    import numpy

    assert numpy
    return Job(normals, range(24), 24, each(lambda values: abs(float(values[::16].mean())) < 0.05, 24))


def sentences(seed: int) -> list[str]:
    drawn = random.Random(seed)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    return [" ".join(drawn.choice(words) for _ in range(3)) for _ in range(2500)]


@workload("results of 2,500 strings", LARGE)
def lists(_site: Site) -> Job:
    return Job(sentences, range(250), 250, each(lambda lines: len(lines) == 2500, 250))


def paint(number: int) -> float:
    import numpy

    canvas = numpy.full((3000, 2500), float(number))
    canvas += numpy.arange(2500)
    return float(canvas.mean())


@workload("60 MB allocated in each call", LARGE)
def memory(_site: Site) -> Job:
    import numpy

    assert numpy
    return Job(paint, range(60), 60, equals([number + 1249.5 for number in range(60)]))
