"""One million calls of x + 1 on clusters of this machine: plait's map beside Dask's and Ray's own.

`make bench-cluster` runs it; `ARGS="--only dask"` a part. All sides of an engine use one connection, and two
workers of one call at a time.

- Dask: `Client.map` with `gather` makes a task of each item. Chunked by hand, it gets lists of items and
  gives lists of results, into which Dask looks; of several sizes the fastest counts. Who knows that pickles
  the lists first, which is what plait does, so that is shown without a goal.
- Ray: one `remote` for each item, and chunks by hand without a goal.
- A node: one worker of Dask with a thread for each core, and calls that keep the GIL: in its threads, and
  with the pool that plait starts there. How much that gains is bounded by the cores of this machine.

What would take minutes is measured on fewer items, and its time for all of them reckoned from that. Rounds
are interleaved, and medians shown.
"""

import argparse
import contextlib
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import distributed
import plait

# Items of the sides that take long.
FEW, SOME = 1_000, 20_000
LISTS, PICKLES = (1_000, 10_000), (10_000, 100_000)
# What plait's rate is to be, as a multiple of the others'.
DASK_GOALS = {"item by item": 50.0, "lists": 1.0, "pickles": None}
RAY_GOALS = {"one remote each": 100.0, "remote chunks": None}
NODE_GOALS = {"in its threads": 1.5}

# Steps of a call that keeps the GIL, some milliseconds, and how many such calls there are.
STEPS, CALLS = 50_000, 300

# What is connected, and a number of items: the sum of what came of them.
Side = Callable[[Any, int], int]


def add_one(number: int) -> int:
    return number + 1


def add_ones(numbers: list[int]) -> list[int]:
    return [add_one(number) for number in numbers]


def on_plait(client: distributed.Client, items: int) -> int:
    return sum(plait.map(add_one, range(items), backend=client))


def item_by_item(client: distributed.Client, items: int) -> int:
    return sum(client.gather(client.map(add_one, range(items), pure=False)))


def add_pickled(numbers: bytes) -> bytes:
    return pickle.dumps(add_ones(pickle.loads(numbers)))


def chunks(items: int, size: int) -> list[list[int]]:
    return [list(range(first, min(first + size, items))) for first in range(0, items, size)]


def by_hand(size: int) -> Side:
    def run(client: distributed.Client, items: int) -> int:
        return sum(map(sum, client.gather(client.map(add_ones, chunks(items, size), pure=False))))

    return run


def by_pickles(size: int) -> Side:
    def run(client: distributed.Client, items: int) -> int:
        sent = [pickle.dumps(chunk) for chunk in chunks(items, size)]
        return sum(
            sum(pickle.loads(each)) for each in client.gather(client.map(add_pickled, sent, pure=False))
        )

    return run


def on_ray(ray: Any, items: int) -> int:
    return sum(plait.map(add_one, range(items), backend="ray"))


def one_remote_each(ray: Any, items: int) -> int:
    call = ray.remote(add_one)
    return sum(ray.get([call.remote(number) for number in range(items)]))


def remote_chunks(size: int) -> Side:
    def run(ray: Any, items: int) -> int:
        call = ray.remote(add_ones)
        return sum(map(sum, ray.get([call.remote(chunk) for chunk in chunks(items, size)])))

    return run


def count_on(number: int) -> int:
    for _ in range(STEPS):
        number += 1
    return number - STEPS + 1


def on_node(which: int) -> Side:
    def run(clients: list[distributed.Client], items: int) -> int:
        return sum(plait.map(count_on, range(items), backend=clients[which]))

    return run


def seconds(side: Side, connected: Any, items: int) -> float:
    began = time.perf_counter()
    found = side(connected, items)
    took = time.perf_counter() - began
    assert found == items * (items + 1) // 2, "a wrong sum"
    return took


@contextlib.contextmanager
def dask_cluster(workers: int, threads: int) -> Iterator[distributed.Client]:
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=threads, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextlib.contextmanager
def nodes() -> Iterator[list[distributed.Client]]:
    """A worker with plait's pool, and one without."""
    threads = max(2, plait.cpu_count())
    with dask_cluster(1, threads) as pooled:
        os.environ["PLAIT_MAX_WORKERS"] = "1"
        with dask_cluster(1, threads) as threaded:
            del os.environ["PLAIT_MAX_WORKERS"]
            # Until the pool is there.
            for _ in range(3):
                seconds(on_node(0), [pooled], CALLS)
            yield [pooled, threaded]


@contextlib.contextmanager
def ray_of_its_own() -> Iterator[Any]:
    import ray

    # All of the program use the one that plait starts.
    with plait.Executor("ray", 2):
        yield ray


Sides = dict[str, tuple[Side, int]]


def dask_sides(items: int) -> Sides:
    sides: Sides = {"plait": (on_plait, items), "item by item": (item_by_item, min(FEW, items))}
    sides |= {f"lists of {size:,}": (by_hand(size), min(SOME, items)) for size in LISTS}
    return sides | {f"pickles of {size:,}": (by_pickles(size), items) for size in PICKLES}


def ray_sides(items: int) -> Sides:
    sides: Sides = {"plait": (on_ray, items), "one remote each": (one_remote_each, min(FEW, items))}
    return sides | {f"remote chunks of {size:,}": (remote_chunks(size), items) for size in PICKLES}


def node_sides(_: int) -> Sides:
    return {"plait": (on_node(0), CALLS), "in its threads": (on_node(1), CALLS)}


PARTS: dict[str, tuple[Any, Callable[[int], Sides], dict[str, float | None]]] = {
    "dask": (lambda: dask_cluster(2, 1), dask_sides, DASK_GOALS),
    "ray": (ray_of_its_own, ray_sides, RAY_GOALS),
    "node": (nodes, node_sides, NODE_GOALS),
}


def measured(connect: Any, sides: Sides, rounds: int) -> dict[str, list[float]]:
    """Items a second, by side and round."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    with connect() as connected:
        for side, items in sides.values():
            seconds(side, connected, min(items, 1_000))
        for _ in range(rounds):
            for name, (side, items) in sides.items():
                took = seconds(side, connected, items)
                rates[name].append(items / took)
                print(f"  {name}: {items:,} items in {took:.2f} s", file=sys.stderr)
    return rates


def show(part: str, sides: Sides, rates: dict[str, list[float]]) -> None:
    most = max(items for _, items in sides.values())
    print(f"{part:<24} {'items':>10} {'items/s':>12} {'all of them':>12}  spread")
    for name, (_, items) in sides.items():
        rate = statistics.median(rates[name])
        note = "" if items == most else "  (reckoned)"
        lowest, highest = min(rates[name]), max(rates[name])
        took = f"{most / rate:.2f} s"
        print(f"{name:<24} {items:>10,} {rate:>12,.0f} {took:>12}  {lowest:,.0f}-{highest:,.0f}{note}")


def are_reached(goals: dict[str, float | None], rates: dict[str, list[float]]) -> bool:
    """Show what plait's rate is of the others', and whether that is what it shall be."""
    all_are = True
    for peer, goal in goals.items():
        ratios = [
            statistics.median(ours / theirs for ours, theirs in zip(rates["plait"], rates[name]))
            for name in rates
            if name.startswith(peer)
        ]
        reached = goal is None or min(ratios) >= goal
        all_are = all_are and reached
        said = "" if goal is None else f", the goal is {goal:g}x{'' if reached else ': MISSED'}"
        print(f"plait against {peer}: {min(ratios):.2f}x{said}")
    return all_are


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS, help="a part of it")
    arguments = parser.parse_args()
    all_are = True
    for part in [arguments.only] if arguments.only else PARTS:
        connect, sides_of, goals = PARTS[part]
        sides = sides_of(arguments.items)
        try:
            rates = measured(connect, sides, arguments.rounds)
        except ImportError as missing:
            print(f"{part}: not measured: {missing}")
            continue
        show(part, sides, rates)
        all_are = are_reached(goals, rates) and all_are
    return 0 if all_are else 1


if __name__ == "__main__":
    sys.exit(main())
