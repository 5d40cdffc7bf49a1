"""Workloads of native code that keeps the GIL: threads of it wait for each other."""

import functools
import json
import pickle
import random
from typing import Any

from choosing.workload import Job, Site, each, equals, workload

KIND = "native, GIL"


@functools.cache
def document(number: int) -> str:
    """Return about 130 kB of JSON."""
    drawn = random.Random(number)
    rows = [
        {"id": k, "name": f"item {k}", "values": [drawn.random() for _ in range(4)], "flag": k % 2 == 0}
        for k in range(1000)
    ]
    return json.dumps(rows)


def count_flags(text: str) -> int:
    return sum(row["flag"] for row in json.loads(text))


@workload("json.loads", KIND)
def json_loads(_site: Site) -> Job:
    texts = [document(number) for number in range(20)] * 20
    return Job(count_flags, texts, len(texts), equals([500] * len(texts)))


def depths(size: int) -> int:
    tree: Any = [{"name": f"leaf {k}", "weights": [k, k + 0.5, str(k)]} for k in range(size)]
    copy = pickle.loads(pickle.dumps(tree))
    return len(copy) + copy[-1]["weights"][0]


@workload("pickle there and back", KIND)
def pickling(_site: Site) -> Job:
    return Job(depths, [1500] * 300, 300, equals([2999] * 300))


def likeness(seed: int) -> float:
    import difflib

    drawn = random.Random(seed)
    words = [drawn.choice("abcdefgh") * drawn.randrange(1, 4) for _ in range(300)]
    other = words[:]
    for _ in range(30):
        other[drawn.randrange(300)] = "z"
    return round(difflib.SequenceMatcher(None, words, other, autojunk=False).ratio(), 4)


@workload("difflib", KIND)
def differences(_site: Site) -> Job:
    import difflib

    assert difflib
    return Job(likeness, range(500), 500, each(lambda ratio: 0.7 < ratio < 1.0, 500))


def steps(seed: int) -> float:
    import numpy

    place, turn = numpy.array([1.0, 0.0]), numpy.array([[0.6, -0.8], [0.8, 0.6]])
    for _ in range(1500):
        place = turn @ place + 0.001
        place = place / numpy.sqrt(place @ place)
    return round(float(abs(place @ place)), 6) + seed


@workload("NumPy, tiny arrays", KIND)
def tiny_arrays(_site: Site) -> Job:
    import numpy

    assert numpy
    return Job(steps, range(200), 200, equals([1.0 + seed for seed in range(200)]))


def spread(values: Any) -> float:
    return values.max() - values.min()


def by_group(seed: int) -> float:
    import numpy
    import pandas

    drawn = numpy.random.default_rng(seed)
    frame = pandas.DataFrame({"key": drawn.integers(0, 60, 3000), "value": drawn.random(3000)})
    return float(round(frame.groupby("key")["value"].apply(spread).mean(), 6))


@workload("pandas, groupby and apply", KIND)
def groups(_site: Site) -> Job:
    by_group(0)
    return Job(by_group, range(300), 300, each(lambda mean: 0.9 < mean < 1.0, 300))
