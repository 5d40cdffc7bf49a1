"""Work on event loops that is timed, as in `workloads`."""

import asyncio
import gc
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any

import tasks
from cpu import Meter
from workloads import measurement

WARM_UP = 0.2
"""Seconds of calls before those that are timed: the system takes its time to give each side a processor."""


def coroutines(contender: Any, count: int, limit: int, seconds: float = 0.0) -> dict[str, float]:
    """Run so many coroutines that wait, at most `limit` of them at a time."""
    inputs = [(number, seconds) for number in range(count)]
    gc.collect()
    with Meter(os.getpid()) as meter:
        results = contender.coroutines(tasks.wait, inputs, limit)
    return measurement(meter, count, results, list(range(1, count + 1)))


def one_by_one(contender: Any, count: int, awaited: bool) -> dict[str, float]:
    """One call of a warm pool at a time, awaited in a loop, or waited for by the thread."""
    submit = contender.submit

    async def main() -> tuple[Meter, list[int]]:
        end = time.monotonic() + WARM_UP
        while time.monotonic() < end:
            await submit(tasks.successor, 0)
        with Meter(os.getpid()) as meter:
            results = [await submit(tasks.successor, number) for number in range(count)]
        return meter, results

    if awaited:
        meter, results = asyncio.run(main())
    else:
        end = time.monotonic() + WARM_UP
        while time.monotonic() < end:
            submit(tasks.successor, 0).result()
        with Meter(os.getpid()) as meter:
            results = [submit(tasks.successor, number).result() for number in range(count)]
    return measurement(meter, count, results, list(range(1, count + 1)))


class PlaitMap:
    """`plait.map` of coroutine functions."""

    packages = ("plait",)

    def start(self, workers: int) -> None:
        """Load it."""
        import plait

        self._map = plait.map

    def coroutines(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], inputs: list[tuple[Any, ...]], limit: int
    ) -> list[Any]:
        """Run all."""
        return list(self._map(fn, *zip(*inputs), backend="asyncio", concurrency=limit))

    def stop(self) -> None:
        """Leave it."""


class PlaitAmap:
    """`plait.amap` of coroutine functions, in a loop of the caller's."""

    packages = ("plait",)

    def start(self, workers: int) -> None:
        """Load it."""
        import plait

        self._amap = plait.amap

    def coroutines(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], inputs: list[tuple[Any, ...]], limit: int
    ) -> list[Any]:
        """Run all."""

        async def main() -> list[Any]:
            return [result async for result in self._amap(fn, *zip(*inputs), concurrency=limit)]

        return asyncio.run(main())

    def stop(self) -> None:
        """Leave it."""


class TaskGroup:
    """`asyncio.TaskGroup` with a `Semaphore`, as its documentation shows them."""

    packages = ()

    def start(self, workers: int) -> None:
        """Nothing to start."""

    def coroutines(
        self, fn: Callable[..., Coroutine[Any, Any, Any]], inputs: list[tuple[Any, ...]], limit: int
    ) -> list[Any]:
        """Run all."""

        async def main() -> list[Any]:
            semaphore = asyncio.Semaphore(limit)

            async def limited(args: tuple[Any, ...]) -> Any:
                async with semaphore:
                    return await fn(*args)

            async with asyncio.TaskGroup() as group:
                made = [group.create_task(limited(args)) for args in inputs]
            return [task.result() for task in made]

        return asyncio.run(main())

    def stop(self) -> None:
        """Nothing to stop."""


WORKLOADS: dict[str, Callable[..., dict[str, float]]] = {
    work.__name__: work for work in (coroutines, one_by_one)
}
CONTENDERS: dict[str, type[Any]] = {
    "plait.map, asyncio": PlaitMap,
    "plait.amap": PlaitAmap,
    "TaskGroup": TaskGroup,
}
