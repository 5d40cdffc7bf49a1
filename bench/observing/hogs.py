"""Native code that keeps the GIL: whether it is told as such, and by the right name."""

import time
from collections.abc import Callable
from typing import Any

from observing.watching import Target, recording

Work = Callable[[], Any]


def _json() -> Work:
    import json

    text = json.dumps(list(range(400_000)))
    return lambda: json.loads(text)


def _pattern() -> Work:
    import re

    text, pattern = "a" * 20_000, re.compile("(?:a|b)*c|a+d")
    return lambda: pattern.findall(text)


def _sorted() -> Work:
    numbers = [n * 7919 % 1_000_003 for n in range(500_000)]
    return lambda: sorted(numbers)


def _pickle() -> Work:
    import pickle

    rows = [[n, str(n), float(n)] for n in range(150_000)]
    return lambda: pickle.dumps(rows)


def _long() -> Work:
    number = 7**300_000
    return lambda: number * number


def _csv() -> Work:
    import csv

    lines = ["1,2,3,four,5.5"] * 200_000
    return lambda: list(csv.reader(lines))


def _decimal() -> Work:
    import decimal

    context = decimal.Context(prec=600_000)
    number = context.divide(decimal.Decimal(1), decimal.Decimal(7))
    return lambda: context.multiply(number, number)


def _sleep() -> Work:
    import ctypes

    keep = ctypes.PyDLL(None).usleep
    return lambda: keep(50_000)


#: What makes the work, and parts of names of which one must be in that of the function told, in lower case.
KINDS: dict[str, tuple[Callable[[], Work], tuple[str, ...]]] = {
    "json": (_json, ("json", "scan")),
    "re": (_pattern, ("sre", "pattern")),
    "sorted": (_sorted, ("sort",)),
    "pickle": (_pickle, ("pickle",)),
    "long": (_long, ("long", "mul")),
    "csv": (_csv, ("list", "reader", "csv")),
    "decimal": (_decimal, ("dec", "mpd")),
    "ctypes": (_sleep, ("cfuncptr", "ctypes", "ffi", "sleep")),
}


def measure(kind: str, seconds: float) -> dict[str, Any]:
    """Record it; return whether it was told, and the share of the names that are right."""
    with Target("hog", kind) as target, recording(target.pid) as found:
        time.sleep(seconds)
    wanted = KINDS[kind][1]
    shots = [shot for thread in found["threads"] for shot in thread["shots"]]
    named = [shot["function"] or "" for shot in shots]
    held = {"holds-native": 0, "holds-blocked": 0, "holds-python": 0}
    for span in (span for thread in found["threads"] for span in thread["spans"]):
        # Collections of garbage come with what is made.
        if span["state"] in held:
            held[span["state"]] += span["to"] - span["from"]
    return {
        "native share": 1 - held["holds-python"] / sum(held.values()),
        "shots": len(shots),
        "right": sum(any(part in name.lower() for part in wanted) for name in named),
        "names": sorted(set(named)),
        "pauses us": sorted(shot["pause"] / 1e3 for shot in shots),
    }


def false_alarms(seconds: float) -> dict[str, Any]:
    """Record two threads of pure Python work; return the time that was taken for native."""
    with Target("loops", 2) as target, recording(target.pid) as found:
        time.sleep(seconds)
    spans = [span for thread in found["threads"] for span in thread["spans"]]
    taken = sum(span["to"] - span["from"] for span in spans if span["state"] == "holds-native")
    return {"share": taken / found["length"], "seconds": found["length"] / 1e9}
