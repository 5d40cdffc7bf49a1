"""Pools that come and go amid the storm: made, used, and ended in every way there is."""

import asyncio
import concurrent.futures as cf
import gc
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import plait
import tasks
from calls import Call
from ends import Late, Value
from kinds import AMPLE
from rough import PATIENCE, Rough
from weather import Limits


class Lives(Rough):
    """One pool after the other."""

    title = "lives"

    def step(self) -> None:
        ways: list[Callable[[], None]] = [
            self.leave_with,
            self.shut_down,
            self.shut_down_later,
            self.cancel_futures,
            self.forget,
            self.abort,
            self.raise_out,
            self.leave_async,
            self.fail_to_start,
            self.use_threads,
        ]
        self.dice.choices(ways, [3, 2, 2, 3, 3, 2, 1, 1, 0.2, 1])[0]()
        self.storm.over.wait(self.dice.uniform(0, self.storm.weather.pause_ms / 1000))

    def make(self, limits: Limits) -> Any:
        """A pool of some size, which faults may hit."""
        self.beat("makes a pool")
        workers = self.dice.randint(1, self.storm.workers + 1)
        options = limits.options()
        if self.dice.random() < 0.2:
            options.update(initializer=tasks.get_ready, initargs=(workers,))
        if self.dice.random() < 0.1:
            options["preload"] = ("json",)
        pool = plait.ProcessPoolExecutor(workers, **options)
        self.storm.pools.add(pool)
        self.storm.findings.count("pools")
        return pool

    def fill(self, pool: Any, limits: Limits, first: int, size: int) -> list[Call]:
        """Calls on it, most of them tiny."""
        if self.dice.random() < 0.5:
            return self.submit(pool, limits, first, min(size, 30))
        calls = []
        for number in range(first, first + size):
            future = pool.submit(tasks.tiny, number)
            end = Value(tasks.answer(number))
            calls.append(Call(number, "tiny", future, end, limits.timeout, limits.retries))
        self.waiting = [(call.number, call.future) for call in calls]
        return calls

    def live(self, end: Callable[[Any, list[Call]], None]) -> None:
        """A whole life; `end` ends the pool, and need not wait for its calls."""
        size = self.dice.choice([0, 1, 5, 100, 3000])
        limits = Limits.draw(self.dice)
        if self.dice.random() < 0.3:
            few = self.dice.choice([1, 2, 10, 50])
            # A worker costs milliseconds.
            limits, size = replace(limits, recycle_after=few), min(size, 50 * few)
        if self.dice.random() < 0.3:
            limits = replace(limits, timeout=AMPLE, retries=self.dice.randint(0, 2))
        with self.storm.ledger.numbers(size) as first:
            pool = self.make(limits)
            calls = self.fill(pool, limits, first, size)
            if self.dice.random() < 0.3:
                self.disturb(calls)
            self.beat(f"ends a pool by {end.__name__}")
            try:
                end(pool, calls)
            finally:
                self.storm.pools.remove(pool)
            del pool
            self.beat(f"waits for {len(calls)} calls after {end.__name__}")
            self.dice.choice(self.ways())(calls)
            self.close(calls)

    def gone(self, pool: Any) -> None:
        """After a shutdown that waited there is nothing left of a pool."""
        stats = pool._stats()
        if stats["pids"] or stats["pending"]:
            self.storm.findings.complain(f"shutdown(wait=True) came back to {stats}")

    def all_done(self, calls: list[Call]) -> None:
        """After it every call has ended."""
        open_calls = [str(call) for call in calls if not call.future.done()]
        if open_calls:
            self.storm.findings.complain(f"shutdown(wait=True) came back before {open_calls[:5]}")

    def leave_with(self) -> None:
        def by_with(pool: Any, calls: list[Call]) -> None:
            with pool:
                self.in_order(calls[: self.dice.randint(0, len(calls))])
            self.gone(pool)
            self.all_done(calls)

        self.live(by_with)

    def shut_down(self) -> None:
        def by_shutdown(pool: Any, calls: list[Call]) -> None:
            pool.shutdown()
            self.gone(pool)
            self.all_done(calls)

        self.live(by_shutdown)

    def shut_down_later(self) -> None:
        def by_shutdown_without_waiting(pool: Any, calls: list[Call]) -> None:
            pool.shutdown(wait=False)
            try:
                pool.submit(tasks.answer, 1)
            except RuntimeError:
                return
            self.storm.findings.complain("a pool took a call after its shutdown")

        self.live(by_shutdown_without_waiting)

    def cancel_futures(self) -> None:
        def by_cancelling(pool: Any, calls: list[Call]) -> None:
            for call in calls:
                call.may_be_cancelled = True
            time.sleep(self.dice.expovariate(500))
            wait = self.dice.random() < 0.5
            pool.shutdown(wait=wait, cancel_futures=True)
            if wait:
                self.gone(pool)
                self.all_done(calls)

        self.live(by_cancelling)

    def forget(self) -> None:
        """Garbage finishes what it was given, and goes."""
        references = []

        def by_forgetting(pool: Any, _: list[Call]) -> None:
            references.append(weakref.ref(pool))

        self.live(by_forgetting)
        deadline = time.monotonic() + PATIENCE
        while references[0]() is not None:
            gc.collect()
            if time.monotonic() > deadline:
                self.storm.findings.complain(
                    f"a forgotten pool lives on: {gc.get_referrers(references[0]())}"
                )
                return
            time.sleep(0.001)

    def abort(self) -> None:
        def by_abort(pool: Any, calls: list[Call]) -> None:
            for call in calls:
                call.may_be_cancelled = call.may_be_lost = True
            time.sleep(self.dice.expovariate(500))
            self.storm.findings.count("pools killed")
            self.dice.choice([pool.kill_workers, pool.terminate_workers])()
            if self.dice.random() < 0.5:
                pool.shutdown()
                self.gone(pool)
                self.all_done(calls)

        self.live(by_abort)

    def raise_out(self) -> None:
        def by_raising(pool: Any, calls: list[Call]) -> None:
            try:
                with pool:
                    raise ArithmeticError
            except ArithmeticError:
                pass
            self.gone(pool)
            self.all_done(calls)

        self.live(by_raising)

    def leave_async(self) -> None:
        def by_async_with(pool: Any, calls: list[Call]) -> None:
            async def main() -> None:
                async with pool:
                    pass

            asyncio.run(main())
            self.gone(pool)
            self.all_done(calls)

        self.live(by_async_with)

    def fail_to_start(self) -> None:
        """An initializer that raises breaks its pool, and no other."""
        self.beat("breaks a pool")
        pool = plait.ProcessPoolExecutor(2, initializer=tasks.fail_to_get_ready)
        self.storm.findings.count("pools")
        with self.storm.ledger.numbers(20) as first:
            calls = []
            for number in range(first, first + 20):
                try:
                    future = pool.submit(tasks.tiny, number)
                except cf.process.BrokenProcessPool:
                    break
                calls.append(Call(number, "tiny", future, None, may_be_broken=True))  # type: ignore[arg-type]
            self.waiting = [(call.number, call.future) for call in calls]
            self.in_order(calls)
            pool.shutdown()
            self.gone(pool)
            self.close(calls)

    def use_threads(self) -> None:
        """The same questions to a pool of threads."""
        size = self.dice.choice([0, 10, 1000])
        with self.storm.ledger.numbers(size) as first:
            pool = plait.ThreadPoolExecutor(self.dice.randint(1, 4))
            calls = []
            for number in range(first, first + size):
                if self.dice.random() < 0.005:
                    # Such a call is left behind, and its thread replaced.
                    timeout = round(self.dice.uniform(0.001, 0.05), 4)
                    future = pool.options(timeout=timeout).submit(tasks.slow, number, 2.0)
                    calls.append(Call(number, "late thread", future, Late(), timeout))
                    continue
                future = pool.submit(tasks.tiny, number)
                calls.append(Call(number, "thread", future, Value(tasks.answer(number))))
            self.waiting = [(call.number, call.future) for call in calls]
            self.disturb(calls)
            cancel = self.dice.random() < 0.3
            for call in calls:
                call.may_be_cancelled |= cancel
            self.beat("ends a pool of threads")
            pool.shutdown(wait=self.dice.random() < 0.7, cancel_futures=cancel)
            self.dice.choice(self.ways())(calls)
            self.close(calls)
