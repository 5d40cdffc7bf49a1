"""What the one parent of a real pool can do: its processor time for each task, and how it deals with deaths.

`make scale` runs it after the simulation. The tasks do nothing. Times are processor time of the parent, with
all its threads: on a machine of few processors the rates that follow from it are those of a parent that has
one to itself. Dead workers are killed at one moment, each with a call in hand that may be tried once more;
it is over when every one of these calls has begun again.
"""

import argparse
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator

import machine
import plait


def same(number: int) -> int:
    return number


def gathered(pool: plait.ProcessPoolExecutor, tasks: int) -> None:
    for future in [pool.submit(same, number) for number in range(tasks)]:
        future.result()


def mapped(pool: plait.ProcessPoolExecutor, tasks: int) -> None:
    for _ in pool.map(same, range(tasks), chunksize=1, buffersize=10_000):
        pass


def in_chunks(pool: plait.ProcessPoolExecutor, tasks: int) -> None:
    for _ in pool.map(same, range(tasks), chunksize=100, buffersize=100_000):
        pass


WAYS: dict[str, Callable[[plait.ProcessPoolExecutor, int], None]] = {
    "submit, then result": gathered,
    "map, each item a task": mapped,
    "map, 100 items a task": in_chunks,
}


def passing(tasks: int, rounds: int) -> None:
    print(f"\nA real pool of two workers, {tasks:,} tasks: the parent's time, medians of {rounds} rounds")
    with plait.ProcessPoolExecutor(2) as pool:
        costs: dict[str, list[float]] = {name: [] for name in WAYS}
        for nth in range(rounds + 1):
            for name, way in WAYS.items():
                before = time.process_time()
                way(pool, tasks)
                if nth:
                    costs[name].append((time.process_time() - before) / tasks)
    for name, found in costs.items():
        cost = statistics.median(found)
        print(f"{name:<24} {cost * 1e6:6.2f} µs for each item {1 / cost:12,.0f} items/s")


def wait_in(number: int, begun: "plait.Array[int]", is_over: "plait.Value[bool]") -> None:
    begun.add(number)
    while not is_over.value:
        time.sleep(0.02)


def until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.005)


def kill(workers: int, dying: int) -> tuple[float, float]:
    """Seconds of the parent's processor time, and by the clock, until all is on its way again."""
    begun, is_over = plait.Array(int, workers), plait.Value(bool)
    with plait.ProcessPoolExecutor(workers, retries=1) as pool:
        futures = [pool.submit(wait_in, number, begun, is_over) for number in range(workers)]
        until(lambda: sum(begun) == workers)
        victims = [worker.pid for worker in pool.stats().workers if worker.pid][:dying]
        clock, processor = time.perf_counter(), time.process_time()
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        until(lambda: sum(begun) == workers + dying)
        spent = time.process_time() - processor, time.perf_counter() - clock
        is_over.value = True
        for future in futures:
            future.result()
        assert max(begun) == 2 and pool.stats().retried == dying
    return spent


def crowds(workers: int) -> Iterator[int]:
    return (max(1, workers * percent // 100) for percent in (1, 10, 50))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer tasks and workers")
    quick = parser.parse_args().quick
    print("machine: " + ", ".join(f"{name} {value}" for name, value in machine.describe().items()))
    passing(2_000 if quick else 200_000, 1 if quick else 5)
    workers = 10 if quick else 100
    print(f"\nA real pool of {workers} workers, each with a call in hand, killed at one moment")
    for dying in crowds(workers):
        processor, clock = kill(workers, dying)
        told = f"all calls run again after {clock * 1e3:.0f} ms; the parent's time {processor * 1e3:.1f} ms"
        print(f"{dying:4} die: {told}")


if __name__ == "__main__":
    main()
