"""Workloads where more workers do not help, or harm: limits, collapses, locks, shared state."""

import threading
import time
from typing import Any

from choosing.fetching import by_urllib, crc
from choosing.servers import HOST, serving
from choosing.uneven import grind, power
from choosing.workload import Job, Site, equals, workload

LIMITS, STATE = "limits", "shared state"


def pages(site: Site, count: int) -> Job:
    """Return a job that fetches so many pages."""
    urls = [f"http://{HOST}:{site['port']}/{number}" for number in range(count)]
    return Job(by_urllib, urls, count, equals([crc(number) for number in range(count)]))


@workload("a server of 8 at a time", LIMITS, site=serving(speaks="http", latency=0.02, at_most=8))
def limited(site: Site) -> Job:
    return pages(site, 200)


@workload("a server that collapses over 8", LIMITS, site=serving(speaks="http", latency=0.02, collapses=8))
def collapsing(site: Site) -> Job:
    return pages(site, 200)


@workload("a lock for a third of the wait", LIMITS, apart=False)
def contended(_site: Site) -> Job:
    lock, taken = threading.Lock(), []

    def visit(number: int) -> int:
        time.sleep(0.004)
        with lock:
            time.sleep(0.002)
            taken.append(number)
        return number

    count = 200

    def check(results: list[Any]) -> None:
        equals(list(range(count)))(results)
        assert sorted(taken) == results, f"{len(taken)} visits were seen"

    return Job(visit, range(count), count, check)


@workload("a closure's list, I/O", STATE, apart=False)
def noting(_site: Site) -> Job:
    seen: list[int] = []

    def note(number: int) -> int:
        time.sleep(0.01)
        seen.append(number)
        return number * 2

    count = 3000

    def check(results: list[Any]) -> None:
        equals([number * 2 for number in range(count)])(results)
        assert sorted(seen) == list(range(count)), f"{len(seen)} calls were noted"

    return Job(note, range(count), count, check)


@workload("a closure's counter, CPU", STATE, apart=False)
def counting(_site: Site) -> Job:
    lock, counts = threading.Lock(), {"calls": 0, "sum": 0}

    def count_one(rounds: int) -> int:
        value = grind(rounds)
        with lock:
            counts["calls"] += 1
            counts["sum"] += value
        return value

    rounds = [20_000 + number % 7 for number in range(300)]

    def check(results: list[Any]) -> None:
        equals([power(number) for number in rounds])(results)
        assert counts == {"calls": len(rounds), "sum": sum(results)}, f"counted {counts}"

    return Job(count_one, rounds, len(rounds), check)
