"""Tiny calls by the ten thousand, between the faults: by `submit` and by the maps."""

import itertools
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import plait
import tasks
from actor import Actor
from calls import Call
from ends import Value
from kinds import AMPLE, PLENTY
from plait import WorkerDied

SIZES = (1, 2, 30, 400, 2000, 2000, 10_000, 30_000)
WORKERS_PER_ROUND = 20
# Read ahead by an endless map at most, whatever its chunks.
AHEAD = 1 << 19


def count_up(first: int, room: int, read: list[int]) -> Any:
    """Numbers without end; fails when more are read than any bounded map would."""
    for number in range(first, first + room):
        read[0] += 1
        yield number
    raise OverflowError(f"an endless input was read {room} items ahead")


class Bulk(Actor):
    """One thread that submits, waits and verifies."""

    title = "bulk"
    all_sizes: tuple[int, ...] = SIZES
    own_sizes: tuple[int, ...] = (10, 1000, 100_000, 300_000)

    def step(self) -> None:
        at = self.dice.randrange(len(self.storm.pools.lasting))
        pool, limit = self.storm.pools.lasting[at], self.storm.weather.pools[at].recycle_after
        # A worker costs milliseconds: a pool that replaces them often gets less to do.
        self.sizes = [size for size in self.all_sizes if limit is None or size <= WORKERS_PER_ROUND * limit]
        way = self.dice.choices(
            [self.submit, self.executor_map, self.endless, self.own_map, self.abandoned, self.surviving],
            [6, 3, 1, 2, 0.5, 0.5],
        )[0]
        way(pool)

    def submit(self, pool: plait.ProcessPoolExecutor) -> None:
        """Many futures, some taken back, all looked at."""
        size = self.dice.choice(self.sizes)
        with self.storm.ledger.numbers(size) as first:
            self.beat(f"submits {size} calls")
            submit, tiny = pool.submit, tasks.tiny
            futures = [submit(tiny, number) for number in range(first, first + size)]
            self.waiting = list(enumerate(futures, first))
            taken_back: dict[int, bool] = {}
            if self.dice.random() < 0.3:
                for at in self.dice.sample(range(size), int(size * min(0.5, self.storm.weather.cancels))):
                    taken_back[at] = futures[at].cancel()
            self.beat(f"waits for {size} calls")
            self.settle(first, futures, taken_back)
        self.waiting = []

    def settle(self, first: int, futures: list[Future[Any]], taken_back: dict[int, bool]) -> None:
        """Waits for all; the quick way while all is well."""
        size = len(futures)
        try:
            values = [future.result() for future in futures]
        except BaseException:
            values = []
        if values:
            wrong = values != [tasks.answer(number) for number in range(first, first + size)]
            if not wrong and not any(taken_back.values()) and self.storm.ledger.each_began(first, size):
                self.storm.findings.count("ok", size)
                self.storm.findings.count("verified", size)
                return
        for at, future in enumerate(futures):
            number = first + at
            call = Call(number, "tiny", future, Value(tasks.answer(number)), cancel=taken_back.get(at))
            if not future.done():
                try:
                    future.exception()
                except BaseException:
                    pass
            self.storm.judge.judge(call)
            if at % 1000 == 0:
                self.beat(f"judges {size} calls")

    def executor_map(self, pool: plait.ProcessPoolExecutor) -> None:
        """`executor.map` in chunks, to its end."""
        size = self.dice.choice(self.sizes) * 2
        chunksize = self.dice.choice([1, 7, 100, 1000])
        ahead = self.dice.choice([None, None, 10, 5000])
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            self.finite(first, size, pool.map(tasks.tiny, numbers, chunksize=chunksize, buffersize=ahead))

    def own_map(self, _: plait.ProcessPoolExecutor) -> None:
        """`plait.map`, on the pool that it keeps."""
        size = self.dice.choice(self.own_sizes)
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            results = plait.map(tasks.tiny, numbers, backend="processes", workers=self.storm.workers)
            self.finite(first, size, results)

    def surviving(self, pool: plait.ProcessPoolExecutor) -> None:
        """Maps whose items are tried again: no death ends them."""
        size = min(self.dice.choice([1, 100, 1000]), self.sizes[-1])
        with self.storm.ledger.numbers(size) as first:
            numbers = range(first, first + size)
            self.beat(f"maps {size} items that are tried again")
            if self.dice.random() < 0.5:
                limits = {"timeout": AMPLE, "retries": PLENTY}
                workers = self.storm.workers
                results = plait.map(tasks.tiny, numbers, backend="processes", workers=workers, **limits)
            else:
                results = pool.options(timeout=AMPLE, retries=PLENTY).map(tasks.tiny, numbers)
            values = list(results)
            if len(values) != size:
                self.storm.findings.complain(f"a map with retries gave {len(values)} of {size} results")
            self.check(first, values, tries=1 + PLENTY)

    def finite(self, first: int, size: int, results: Any) -> None:
        """Takes all that a map gives; it may end early with the loss of a chunk."""
        self.beat(f"maps {size} items")
        values: list[Any] = []
        try:
            values.extend(results)
            ended = len(values) == size
        except WorkerDied as error:
            ended = self.lost_chunk(error)
        self.check(first, values)
        if not ended:
            self.storm.findings.complain(f"a map over {size} items from {first} ended after {len(values)}")
        elif len(values) == size and not self.storm.ledger.each_began(first, size):
            self.storm.findings.complain(f"a map over {size} items from {first} ran some twice or never")

    def endless(self, pool: plait.ProcessPoolExecutor) -> None:
        """A map over numbers without end, closed after a while."""
        take = self.dice.choice([0, 1, 100, self.sizes[-1]])
        room = take + AHEAD
        read = [0]
        with self.storm.ledger.numbers(room) as first:
            items = count_up(first, room, read)
            self.beat(f"maps without end, takes {take}")
            if self.dice.random() < 0.5:
                results = plait.map(tasks.tiny, items, backend="processes", workers=self.storm.workers)
            else:
                chunksize = self.dice.choice([1, 10, 200])
                ahead = self.dice.randint(1, 2000)
                results = pool.map(tasks.tiny, items, chunksize=chunksize, buffersize=ahead)
            values: list[Any] = []
            try:
                values.extend(itertools.islice(results, take))
                if len(values) != take:
                    self.storm.findings.complain(f"an endless map ended after {len(values)} of {take} items")
            except WorkerDied as error:
                self.lost_chunk(error)
            if self.dice.random() < 0.5:
                results.close()
                rest = list(results)
                if rest:
                    self.storm.findings.complain(f"a closed map went on: {rest[:5]}")
            del results
            self.check(first, values)

    def abandoned(self, pool: plait.ProcessPoolExecutor) -> None:
        """A map that nobody looks at runs all the same."""
        size = self.dice.choice([3, 500])
        with self.storm.ledger.numbers(size) as first:
            self.beat(f"forgets a map over {size} items")
            pool.map(tasks.tiny, range(first, first + size), chunksize=5)
            # In one queue: what is sent now runs after it.
            last = pool.submit(tasks.answer, 1)
            self.waiting = [(first, last)]
            try:
                last.result()
            except (WorkerDied, BrokenProcessPool):
                return
            finally:
                self.waiting = []

    def lost_chunk(self, error: WorkerDied) -> bool:
        """A map has ended with this; whether the storm explains it."""
        self.storm.findings.count("died")
        explained = self.storm.coroner.explains(error.pid)
        if not explained:
            self.storm.findings.complain(f"a map ended with the death of {error.pid}, which nobody killed")
        return True

    def check(self, first: int, values: list[Any], tries: int = 1) -> None:
        """What a map gave, from its first item on."""
        if values != [tasks.answer(number) for number in range(first, first + len(values))]:
            at = next(at for at, value in enumerate(values) if value != tasks.answer(first + at))
            self.storm.findings.complain(f"a map gave {values[at]!r} for item {at} from {first}")
        elif not self.storm.ledger.each_began(first, len(values), tries):
            self.storm.findings.complain(
                f"of {len(values)} results of a map from {first} not each was run as often as it may"
            )
        self.storm.findings.count("ok", len(values))
        self.storm.findings.count("verified", len(values))
