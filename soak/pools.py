"""Executors and pools: futures, timeouts, retries, what multiprocessing has; some last and some pass."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError

import plait
import tasks
import work
from feature import Feature
from kinds import AMPLE


class Pools(Feature):
    """`Executor`, `ThreadPoolExecutor`, `Pool`, `ThreadPool`."""

    title = "pools"

    def ways(self) -> list[Callable[[], None]]:
        return [
            self.futures,
            self.coroutines,
            self.late_on_threads,
            self.retried,
            self.cancelled,
            self.of_multiprocessing,
            self.passing,
            self.deadly,
            self.looked_at,
        ]

    def futures(self) -> None:
        """One by one, on pools of each kind."""
        size = self.dice.choice([1, 10, 100])
        for pool in (self.lasting.calm, self.lasting.threads, self.lasting.auto):
            with self.storm.ledger.numbers(size) as first:
                calls = [pool.submit(tasks.tiny, number) for number in range(first, first + size)]
                self.expect_all(f"futures of {pool!r}", first, size, [call.result() for call in calls])

    def coroutines(self) -> None:
        """From a thread, and awaited in a loop."""
        size = self.dice.choice([1, 10, 100])
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            calls = [self.lasting.loop.submit(work.tiny_later, number) for number in numbers]
            self.expect_all("futures of coroutines", first, size, [call.result() for call in calls])

        async def gather() -> list[int]:
            return await asyncio.gather(*(self.lasting.calm.submit(tasks.tiny, number) for number in numbers))

        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            self.expect_all("awaited futures", first, size, asyncio.run(gather()))

    def late_on_threads(self) -> None:
        """A call that takes too long is left behind, and its thread replaced."""
        gate = threading.Event()
        late = self.lasting.threads.options(timeout=0.02).submit(gate.wait)
        self.expect("a late call", type(late.exception()), plait.TaskTimeout)
        gate.set()
        self.storm.findings.count("timed out")

    def retried(self) -> None:
        """What fails at first, and then does not."""
        fails = self.dice.randint(0, 3)
        for pool in (self.lasting.calm, self.lasting.threads):
            with self.storm.ledger.numbers(1) as number:
                call = pool.options(retries=fails, timeout=AMPLE).submit(tasks.flaky, number, fails)
                self.expect_all("a call with retries", number, 1, [call.result()], 1 + fails)

    def cancelled(self) -> None:
        """Calls that are taken back before they have begun, behind one that waits."""
        gate = threading.Event()
        with plait.ThreadPoolExecutor(1) as pool, self.storm.ledger.numbers(5) as first:
            waiting = pool.submit(gate.wait)
            calls = [pool.submit(tasks.tiny, number) for number in range(first, first + 5)]
            self.expect("cancel", [call.cancel() for call in calls], [True] * 5)
            gate.set()
            self.expect("what it waited behind", waiting.result(), True)
            for number, call in enumerate(calls, first):
                try:
                    self.expect("a cancelled call", call.result(), CancelledError)
                except CancelledError:
                    self.expect("how often a cancelled call began", self.storm.ledger.begins(number), 0)
        self.storm.findings.count("cancelled", 5)

    def of_multiprocessing(self) -> None:
        """Every way to ask a `Pool`."""
        self.ask(self.lasting.pool)

    def passing(self) -> None:
        """Pools that come and go."""
        if self.dice.random() < 0.5:
            with plait.ThreadPool(2) as pool:
                self.ask(pool)
            return
        with plait.Pool(1, maxtasksperchild=self.dice.choice([None, 100])) as pool:
            self.ask(pool)
            pool.close()
            pool.join()

    def ask(self, pool: plait.Pool | plait.ThreadPool) -> None:
        size = self.dice.choice([1, 10, 300])
        ways: list[Callable[[range], list[int]]] = [
            lambda numbers: pool.map(tasks.tiny, numbers),
            lambda numbers: list(pool.imap(tasks.tiny, numbers, 10)),
            lambda numbers: pool.starmap(tasks.tiny, [(number,) for number in numbers]),
            lambda numbers: [call.get() for call in [pool.apply_async(tasks.tiny, (n,)) for n in numbers]],
        ]
        with self.storm.ledger.numbers(size) as first:
            values = self.dice.choice(ways)(range(first, first + size))
            self.expect_all(f"a {type(pool).__name__}", first, size, values)
        told: list[int] = []
        heard = threading.Event()

        def hear(value: int) -> None:
            told.append(value)
            heard.set()

        with self.storm.ledger.numbers(1) as number:
            pool.apply_async(tasks.tiny, (number,), callback=hear)
            heard.wait(AMPLE)
            self.expect_all("a callback", number, 1, told)

    def deadly(self) -> None:
        """A call that ends its worker is lost alone, in a pool that goes on."""
        with self.storm.ledger.numbers(2) as number, plait.ProcessPoolExecutor(1) as pool:
            error = pool.submit(tasks.exit_at_once, number, 3).exception()
            self.expect("a deadly call", type(error), plait.WorkerDied)
            self.expect(
                "the call after it", pool.submit(tasks.tiny, number + 1).result(), tasks.answer(number + 1)
            )
        self.storm.findings.count("died")
        self.storm.findings.count("verified", 2)

    def looked_at(self) -> None:
        """What a pool says of itself, which needs some worker."""
        for pool in (self.lasting.calm, self.lasting.threads):
            with self.storm.ledger.numbers(1) as number:
                call = pool.submit(tasks.tiny, number)
                call.result()
                workers = pool.stats().workers
                self.expect(f"whether {pool!r} has workers", bool(workers), True)
