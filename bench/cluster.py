"""One million calls of x + 1 on a Dask cluster of this machine: plait's map beside Dask's own.

`make bench-cluster` runs it. All sides use one client, two workers of one thread each. `Client.map` with
`gather` makes a task of each item. Chunked by hand, it gets lists of items and gives lists of results, into
which Dask looks; of several sizes the fastest counts. Who knows that pickles the lists first, which is what
plait does, so that is shown without a goal. What would take minutes is measured on fewer items, and its time
for all of them reckoned from that. Rounds are interleaved, and medians shown.
"""

import argparse
import pickle
import statistics
import sys
import time
from collections.abc import Callable

import distributed
import plait

# Items of the sides that take long.
FEW, SOME = 1_000, 20_000
LISTS, PICKLES = (1_000, 10_000), (10_000, 100_000)
# What plait's rate is to be, as a multiple of the others'.
GOALS = {"item by item": 50.0, "lists": 1.0, "pickles": None}


Side = Callable[[distributed.Client, int], int]


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


def seconds(side: Side, client: distributed.Client, items: int) -> float:
    began = time.perf_counter()
    found = side(client, items)
    took = time.perf_counter() - began
    assert found == items * (items + 1) // 2, "a wrong sum"
    return took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    few, some = min(FEW, arguments.items), min(SOME, arguments.items)
    sides = {"plait": (on_plait, arguments.items), "item by item": (item_by_item, few)}
    sides |= {f"lists of {size:,}": (by_hand(size), some) for size in LISTS}
    sides |= {f"pickles of {size:,}": (by_pickles(size), arguments.items) for size in PICKLES}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for side, items in sides.values():
            seconds(side, client, min(items, 1_000))
        for _ in range(arguments.rounds):
            for name, (side, items) in sides.items():
                took = seconds(side, client, items)
                rates[name].append(items / took)
                print(f"  {name}: {items:,} items in {took:.2f} s", file=sys.stderr)
    print(f"{'':<18} {'items':>10} {'items/s':>12} {'all of them':>12}  spread")
    for name, (_, items) in sides.items():
        rate = statistics.median(rates[name])
        note = "" if items == arguments.items else "  (reckoned)"
        lowest, highest = min(rates[name]), max(rates[name])
        took = f"{arguments.items / rate:.2f} s"
        print(f"{name:<18} {items:>10,} {rate:>12,.0f} {took:>12}  {lowest:,.0f}-{highest:,.0f}{note}")
    missed = False
    for peer, goal in GOALS.items():
        ratios = [
            statistics.median(ours / theirs for ours, theirs in zip(rates["plait"], rates[name]))
            for name in rates
            if name.startswith(peer)
        ]
        reached = goal is None or min(ratios) >= goal
        missed = missed or not reached
        said = "" if goal is None else f", the goal is {goal:g}x{'' if reached else ': MISSED'}"
        print(f"plait against {peer}: {min(ratios):.2f}x{said}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
