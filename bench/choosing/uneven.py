"""Workloads whose calls are not alike: heavy tails, giants, slow first calls."""

import functools
import random
import socket
import threading
import time

from choosing.servers import HOST, serving
from choosing.workload import Job, Site, each, equals, workload

KIND = "uneven"


def grind(rounds: int) -> int:
    value = 1
    for _ in range(rounds):
        value = value * 69069 % 4294967291
    return value


def power(rounds: int) -> int:
    """Return what `grind` does, without the way there."""
    return pow(69069, rounds, 4294967291)


def grinding(rounds: list[int]) -> Job:
    """Return a job of these many rounds each."""
    return Job(grind, rounds, len(rounds), equals([power(number) for number in rounds]))


@workload("CPU with a heavy tail", KIND)
def tail(_site: Site) -> Job:
    drawn = random.Random(3)
    return grinding([min(2_000_000, int(drawn.lognormvariate(9.2, 1.6))) for _ in range(400)])


@workload("one giant among small", KIND)
def giant(_site: Site) -> Job:
    rounds = [15_000] * 500
    rounds[420] = 3_000_000
    return grinding(rounds)


@workload("the longest first", KIND)
def descending(_site: Site) -> Job:
    return grinding([2_000_000 * 2 // (10 + number) for number in range(200)])


@functools.lru_cache(maxsize=1)
def weights(_run: int) -> list[int]:
    """Return a table that takes a while: each process makes its own, once in a run."""
    return [grind(400 + k) for k in range(2500)]


def weigh(asked: tuple[int, int]) -> int:
    run, number = asked
    table, found = weights(run), 0
    for k in range(6000):
        found = (found + table[(number * 31 + k) % 2500]) % 1_000_003
    return found


@workload("a slow first call", KIND)
def slow_first(_site: Site) -> Job:
    # Each run begins as a new program would, also in worker processes that are there from before.
    count, run = 1000, time.time_ns()
    return Job(
        weigh,
        [(run, number) for number in range(count)],
        count,
        each(lambda found: 0 <= found < 1_000_003, count),
    )


_local = threading.local()


def by_socket(place: tuple[int, int]) -> int:
    port, number = place
    with socket.create_connection((HOST, port)) as connection:
        connection.sendall(b"%d\n" % number)
        return int(connection.makefile("rb").readline())


def through_session(asked: tuple[int, int]) -> int:
    port, _number = asked
    if getattr(_local, "port", None) != port:
        # A greeting of some round trips, as with TLS and a log-in.
        for greeting in range(4):
            by_socket((port, greeting))
        time.sleep(0.05)
        _local.port = port
    return by_socket(asked)


@workload("a session to each thread, then 10 ms", KIND, site=serving(speaks="lines", latency=0.01))
def sessions(site: Site) -> Job:
    count = 600
    asked = [(site["port"], number) for number in range(count)]
    return Job(through_session, asked, count, equals([2 * number for number in range(count)]))
