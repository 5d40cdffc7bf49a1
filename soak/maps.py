"""Maps: on each backend, in and out of event loops, with errors, limits, progress and checkpoints."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import plait
import tasks
import work
from feature import Feature
from kinds import AMPLE, PLENTY

SIZES = (1, 10, 100, 1000, 3000)
# On processes a fault may strike: no death ends a map whose items are tried again.
SURVIVING: dict[str, Any] = {"timeout": AMPLE, "retries": PLENTY}


class Maps(Feature):
    """`plait.map` and `plait.amap`."""

    title = "maps"

    def ways(self) -> list[Callable[[], None]]:
        return [
            self.on_threads,
            self.on_auto,
            self.on_serial,
            self.on_loop,
            self.coroutines_on_processes,
            self.with_errors,
            self.unordered,
            self.with_checkpoint,
            self.with_output,
            self.of_an_executor,
            self.in_a_loop,
            self.left_early,
        ]

    def whole(self, what: str, function: Callable[..., Any], tries: int = 1, **options: Any) -> None:
        """A map to its end, of some size."""
        size = self.dice.choice(SIZES)
        with self.storm.ledger.numbers(size) as first:
            results = plait.map(function, range(first, first + size), **options)
            self.expect_all(what, first, size, list(results), tries)

    def on_threads(self) -> None:
        self.whole("a map on threads", tasks.tiny, backend="threads", workers=self.storm.workers)

    def on_auto(self) -> None:
        self.whole("a map", tasks.tiny, 1 + PLENTY, workers=self.storm.workers, retries=PLENTY)

    def on_serial(self) -> None:
        self.whole("a serial map", tasks.tiny, backend="serial")

    def on_loop(self) -> None:
        self.whole("a map of coroutines", work.tiny_later, backend="asyncio", concurrency=50)

    def coroutines_on_processes(self) -> None:
        options = {"backend": "processes", "workers": self.storm.workers, **SURVIVING}
        self.whole("a map of coroutines on processes", work.tiny_later, 1 + PLENTY, **options)

    def with_errors(self) -> None:
        size = self.dice.choice(SIZES)
        backend = self.dice.choice(["threads", "processes", "serial"])
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            retries = 0 if backend != "processes" else PLENTY
            if self.dice.random() < 0.5:
                results = plait.map(
                    work.tiny_or_raise, numbers, backend=backend, errors="return", retries=retries
                )
                got = [str(value) if isinstance(value, ValueError) else value for value in results]
                right = [str(number) if number % 7 == 0 else tasks.answer(number) for number in numbers]
            else:
                results = plait.map(
                    work.tiny_or_raise, numbers, backend=backend, errors="skip", retries=retries
                )
                got = list(results)
                right = [tasks.answer(number) for number in numbers if number % 7]
                self.expect("what was skipped", results.failed, size - len(right))
            self.expect(f"a map with errors on {backend}", got, right)
            self.storm.findings.count("verified", size)

    def unordered(self) -> None:
        size = self.dice.choice(SIZES)
        seen: list[plait.Progress] = []
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            workers = self.storm.workers
            results = plait.map(
                tasks.tiny,
                numbers,
                backend="processes",
                workers=workers,
                ordered=False,
                progress=seen.append,
                **SURVIVING,
            )
            right = {tasks.answer(number): number for number in numbers}
            values = sorted(results, key=lambda value: right.get(value, 0))
            self.expect_all("an unordered map", first, size, values, 1 + PLENTY)
            self.expect("its progress", (seen[-1].done, seen[-1].failed), (size, 0))

    def with_checkpoint(self) -> None:
        size = self.dice.choice(SIZES[1:])
        path = self.soak.folder / f"{self.name}.ckpt"
        options: dict[str, Any] = {"checkpoint": path, "backend": self.dice.choice(["processes", "threads"])}
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            begun = plait.map(tasks.tiny, numbers, workers=self.storm.workers, **options, **SURVIVING)
            part = list(itertools.islice(begun, self.dice.randrange(size)))
            begun.close()
            rest = plait.map(tasks.tiny, numbers, workers=self.storm.workers, **options, **SURVIVING)
            values = list(rest)
            self.expect("what came before the checkpoint", values[: len(part)], part)
            self.expect_all("a map with a checkpoint", first, size, values, 2 * (1 + PLENTY))
        for left in self.soak.folder.glob(f"{path.name}*"):
            left.unlink()

    def with_output(self) -> None:
        size = self.dice.randint(1, 20)
        with self.storm.ledger.numbers(size) as first:
            results = plait.map(work.talk, range(first, first + size), backend="threads", capture_output=True)
            values = []
            for number, value in enumerate(results, first):
                self.expect("what a call printed", results.stdout, f"call {number}\n")
                values.append(value)
            self.expect_all("a map with output", first, size, values)

    def of_an_executor(self) -> None:
        size = self.dice.choice(SIZES)
        name = self.dice.choice(["calm", "threads", "auto"])
        with self.storm.ledger.numbers(size) as first:
            results = getattr(self.lasting, name).map(tasks.tiny, range(first, first + size))
            self.expect_all(f"the map of {name}", first, size, list(results))

    def in_a_loop(self) -> None:
        asyncio.run(self._in_a_loop())

    async def _in_a_loop(self) -> None:
        size = self.dice.choice(SIZES)
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            values = [value async for value in plait.amap(work.tiny_later, numbers, concurrency=50)]
            self.expect_all("amap of coroutines", first, size, values)
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            backend = self.dice.choice(["threads", "processes"])
            results = plait.amap(
                tasks.tiny, numbers, backend=backend, workers=self.storm.workers, **SURVIVING
            )
            self.expect_all(f"amap on {backend}", first, size, [value async for value in results], 1 + PLENTY)

    def left_early(self) -> None:
        """Endless inputs, left in the middle, in and out of a loop."""
        take = self.dice.choice([1, 10, 100])

        async def leave() -> list[int]:
            values = []
            results = plait.amap(work.add, itertools.count(), itertools.count(), backend="threads")
            async with contextlib.aclosing(results):
                async for value in results:
                    values.append(value)
                    if len(values) == take:
                        break
            return values

        right = [2 * number for number in range(take)]
        self.expect("amap, left early", asyncio.run(leave()), right)
        results = plait.map(work.add, itertools.count(), itertools.count(), backend="threads")
        self.expect("a map, left early", list(itertools.islice(results, take)), right)
        results.close()
        self.storm.findings.count("verified", 2 * take)
