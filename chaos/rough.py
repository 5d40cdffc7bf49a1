"""Calls of every kind, and every way to wait for them."""

import asyncio
import concurrent.futures as cf
import time
from collections import deque
from collections.abc import Callable

import plait
from actor import Actor
from calls import Afterlife, Call
from ends import Refused
from weather import Limits

# Ended calls that are looked at again.
REMEMBERED = 300
# Seconds within which callbacks come after the end that they tell of.
PATIENCE = 60.0


class Rough(Actor):
    """Batches of calls of all kinds on the pools that last."""

    title = "rough"

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._ended: deque[Afterlife] = deque()

    def step(self) -> None:
        at = self.dice.randrange(len(self.storm.pools.lasting))
        pool, limits = self.storm.pools.lasting[at], self.storm.weather.pools[at]
        self.batch(pool, limits, self.dice.randint(1, 40), self.dice.choice(self.ways()))
        self.storm.over.wait(self.dice.uniform(0, self.storm.weather.pause_ms / 1000))

    def ways(self) -> list[Callable[[list[Call]], None]]:
        """Every way to wait."""
        return [
            self.in_order,
            self.backwards,
            self.by_wait,
            self.by_first,
            self.as_completed,
            self.by_looking,
            self.by_timeouts,
            self.by_asyncio,
            self.by_callbacks,
        ]

    def batch(
        self, pool: plait.ProcessPoolExecutor, limits: Limits, size: int, wait: Callable[[list[Call]], None]
    ) -> None:
        """Submits, disturbs, waits, judges."""
        with self.storm.ledger.numbers(size) as first:
            calls = self.submit(pool, limits, first, size)
            self.disturb(calls)
            self.beat(f"waits for {len(calls)} calls {wait.__name__}")
            wait(calls)
            self.close(calls)

    def submit(self, pool: plait.ProcessPoolExecutor, limits: Limits, first: int, size: int) -> list[Call]:
        """Calls drawn by the weather, of which some want callbacks."""
        self.beat(f"submits {size} calls")
        calls = []
        for number in range(first, first + size):
            made = self.storm.kinds.draw(number, self.dice, limits)
            timeout, retries = made.timeout or limits.timeout, made.retries or limits.retries
            view = (
                pool
                if (timeout, retries) == (limits.timeout, limits.retries)
                else pool.options(timeout=timeout, retries=retries)
            )
            try:
                future = view.submit(made.function, *made.args)
            except Exception as error:
                if not isinstance(made.end, Refused) or type(error) is not made.end.error:
                    raise
                self.storm.findings.count("raised")
                self.storm.findings.count("verified")
                continue
            call = Call(number, made.function.__name__, future, made.end, timeout, retries)
            for _ in range(self.dice.choice([0, 0, 1, 2])):
                call.listen()
            calls.append(call)
        self.waiting = [(call.number, call.future) for call in calls]
        return calls

    def disturb(self, calls: list[Call]) -> None:
        """Takes some back, at once or after a while."""
        for call in calls:
            if self.dice.random() < self.storm.weather.cancels:
                if self.dice.random() < 0.5:
                    time.sleep(self.dice.uniform(0, 0.003))
                call.cancel = call.future.cancel()
            elif call.future.running() and self.dice.random() < self.storm.weather.cancels:
                call.cancel = call.future.cancel()

    def close(self, calls: list[Call]) -> None:
        """All must have ended; each is judged, and some are looked at later again."""
        self.beat("judges")
        for call in calls:
            self.storm.judge.judge(call)
        deadline = time.monotonic() + PATIENCE
        while any(call.told < call.callbacks for call in calls) and time.monotonic() < deadline:
            time.sleep(0.001)
        self.waiting = []
        for call in calls:
            late = self.dice.random() < 0.05
            if late:
                # Of what has ended it is told at once.
                call.listen()
            self.storm.judge.judge_callbacks(call)
            self._ended.append(Afterlife(call))
        while len(self._ended) > REMEMBERED:
            self._ended.popleft().check(self.storm.findings)

    def finish(self) -> None:
        """The last ones are looked at too."""
        while self._ended:
            self._ended.popleft().check(self.storm.findings)

    # --- ways to wait; each returns when all have ended

    def in_order(self, calls: list[Call]) -> None:
        for call in calls:
            self.ended(call)

    def backwards(self, calls: list[Call]) -> None:
        self.in_order(calls[::-1])

    def ended(self, call: Call) -> None:
        try:
            call.future.result()
        except cf.CancelledError:
            pass
        except BaseException as error:
            # An exception is one object, whoever asks.
            if not call.future.cancelled() and call.future.exception(0) is not error:
                self.storm.findings.complain(f"{call} raises {error!r}, then {call.future.exception(0)!r}")

    def by_wait(self, calls: list[Call]) -> None:
        left = {call.future for call in calls}
        while left:
            done, left = cf.wait(left, timeout=self.dice.choice([0, 0.001, 0.05, None]))
            self.agree(done, left)

    def by_first(self, calls: list[Call]) -> None:
        left = {call.future for call in calls}
        while left:
            when = self.dice.choice([cf.FIRST_COMPLETED, cf.FIRST_EXCEPTION])
            done, left = cf.wait(left, return_when=when)
            if not done:
                self.storm.findings.complain(f"wait({when}) came back with nothing")
            self.agree(done, left)

    def agree(self, done: "set[cf.Future]", left: "set[cf.Future]") -> None:
        for future in done:
            if not future.done():
                self.storm.findings.complain(f"wait() calls done what is not: {future!r}")

    def as_completed(self, calls: list[Call]) -> None:
        futures = [call.future for call in calls]
        seen = list(cf.as_completed(futures))
        if len(seen) != len(futures) or set(seen) != set(futures):
            self.storm.findings.complain(f"as_completed gave {len(seen)} of {len(futures)} futures")

    def by_looking(self, calls: list[Call]) -> None:
        while not all(call.future.done() for call in calls):
            time.sleep(0.0005)

    def by_timeouts(self, calls: list[Call]) -> None:
        for call in calls:
            while True:
                try:
                    call.future.exception(timeout=self.dice.choice([0, 0.001, 0.02]))
                    break
                except cf.CancelledError:
                    break
                except TimeoutError:
                    continue

    def by_callbacks(self, calls: list[Call]) -> None:
        import threading

        left = threading.Semaphore(0)
        for call in calls:
            call.future.add_done_callback(lambda _: left.release())
        for _ in calls:
            left.acquire()

    def by_asyncio(self, calls: list[Call]) -> None:
        asyncio.run(self.gather(calls))

    async def gather(self, calls: list[Call]) -> None:
        async def one(call: Call) -> None:
            try:
                await call.future
            except (Exception, asyncio.CancelledError, SystemExit):
                return

        waiting = [asyncio.ensure_future(one(call)) for call in calls]
        for waiter, call in zip(waiting, calls):
            if self.dice.random() < self.storm.weather.cancels:
                await asyncio.sleep(self.dice.uniform(0, 0.005))
                # As `asyncio.wait_for` does: the call is taken back too, if it can be.
                waiter.cancel()
                call.may_be_stopped = True
        await asyncio.gather(*waiting, return_exceptions=True)
        while not all(call.future.done() for call in calls):
            await asyncio.sleep(0.001)
