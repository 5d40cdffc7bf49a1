"""Workloads that wait and compute, and arguments that cannot be sent."""

import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from choosing.fetching import folder
from choosing.servers import HOST, serving
from choosing.uneven import grind, power
from choosing.workload import Job, Site, equals, workload

MIXED, UNSENDABLE = "mixed", "unsendable"


def download(url: str) -> tuple[int, int]:
    with urllib.request.urlopen(url) as answer:
        rows = json.loads(answer.read())
    prices: dict[str, int] = {}
    for _ in range(8):
        for row in rows:
            for tag in row["tags"]:
                prices[tag] = prices.get(tag, 0) + row["price"] * len(row["name"])
    return len(rows), sum(prices.values()) % 1_000_003


@workload("download, then parse", MIXED, site=serving(speaks="http", latency=0.008, body="records"))
def downloads(site: Site) -> Job:
    count = 250
    urls = [f"http://{HOST}:{site['port']}/{number}" for number in range(count)]

    def check(results: list[Any]) -> None:
        assert [rows for rows, _ in results] == [250] * count, "rows are missing"

    return Job(download, urls, count, check)


def wait_and_grind(item: tuple[float, int]) -> int:
    seconds, rounds = item
    if seconds:
        time.sleep(seconds)
    return grind(rounds)


def items_of(items: list[tuple[float, int]]) -> Job:
    """Return a job of these sleeps and rounds."""
    return Job(wait_and_grind, items, len(items), equals([power(rounds) for _, rounds in items]))


@workload("5 ms of waiting, 5 ms of CPU", MIXED)
def halves(_site: Site) -> Job:
    return items_of([(0.005, 80_000)] * 160)


@workload("waiting and computing by turns", MIXED)
def turns(_site: Site) -> Job:
    return items_of([(0.02, 10) if number % 2 else (0.0, 80_000) for number in range(200)])


@workload("waiting first, computing later", MIXED)
def later(_site: Site) -> Job:
    return items_of([(0.01, 100)] * 400 + [(0.0, 60_000)] * 150)


@workload("a generator of items, CPU", MIXED)
def generated(_site: Site) -> Job:
    count = 400
    numbers = (15_000 + number for number in range(count))
    return Job(grind, numbers, count, equals([power(15_000 + number) for number in range(count)]))


def guarded_wait(item: tuple[Any, int]) -> int:
    lock, number = item
    time.sleep(0.01)
    with lock:
        return number + 1


@workload("a lock among the arguments, I/O", UNSENDABLE, apart=False)
def locks(_site: Site) -> Job:
    lock, count = threading.Lock(), 3000
    return Job(
        guarded_wait, [(lock, number) for number in range(count)], count, equals(list(range(1, count + 1)))
    )


@contextlib.contextmanager
def numbers_in_files() -> Iterator[Site]:
    """A hundred files of 8,000 numbers each."""
    with folder() as site:
        for number in range(100):
            with open(f"{site['folder']}/{number}", "w") as file:
                file.writelines(f"{number * k}\n" for k in range(8000))
        yield site


def add_up(file: Any) -> int:
    total = 0
    with file:
        for line in file:
            total += int(line) % 10_007
    return total


@workload("open files as arguments, CPU", UNSENDABLE, site=numbers_in_files, apart=False)
def open_files(site: Site) -> Job:
    count = 600
    # They are closed by the calls.
    files = [open(f"{site['folder']}/{number % 100}") for number in range(count)]  # noqa: SIM115
    right = [sum(number * k % 10_007 for k in range(8000)) for number in range(100)]
    return Job(add_up, files, count, equals(right * 6))


def drain(numbers: Iterator[int]) -> int:
    found = 0
    for number in numbers:
        found ^= number * 31 & 0xFFFF
    return found


@workload("generators as arguments, CPU", UNSENDABLE, apart=False)
def generators(_site: Site) -> Job:
    count = 300
    streams = [(k * k for k in range(number % 3, 20_000)) for number in range(count)]
    right = [drain(k * k for k in range(start, 20_000)) for start in range(3)]
    return Job(drain, streams, count, equals(right * 100))
