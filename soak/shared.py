"""What processes share: queues, locks, cells, arrays."""

import asyncio
from collections.abc import Callable

import plait
import tasks
import work
from feature import Feature
from kinds import AMPLE


class Shared(Feature):
    """Each thing made, used among processes, and dropped."""

    title = "shared things"

    def ways(self) -> list[Callable[[], None]]:
        return [
            self.queue,
            self.queue_of_the_dying,
            self.queue_in_a_loop,
            self.lock,
            self.lock_of_the_dead,
            self.cells,
            self.arrays,
            self.large,
        ]

    def queue(self) -> None:
        """Jobs to two workers, an answer for each."""
        size = self.dice.choice([1, 50, 500])
        jobs: plait.Queue[int] = plait.Queue(maxsize=self.dice.choice([0, 100]))
        answers: plait.Queue[tuple[int, int]] = plait.Queue()
        with self.storm.ledger.numbers(size) as first:
            calls = [self.lasting.calm.submit(work.serve, jobs, answers) for _ in range(2)]
            for number in range(first, first + size):
                jobs.put(number, timeout=AMPLE)
            jobs.shutdown()
            got = dict(answers.get(timeout=AMPLE) for _ in range(size))
            self.expect_answers("a queue", first, size, [got.get(n) for n in range(first, first + size)])
            for call in calls:
                call.result()
        self.expect("what is left in the queues", (jobs.qsize(), answers.qsize(), jobs.lost), (0, 0, 0))

    def queue_of_the_dying(self) -> None:
        """What a dead process had taken comes back: every job is answered."""
        size = self.dice.choice([10, 100])
        jobs: plait.Queue[int] = plait.Queue(redeliver=True)
        answers: plait.Queue[tuple[int, int]] = plait.Queue()
        with self.storm.ledger.numbers(size) as first:
            for number in range(first, first + size):
                jobs.put(number)
            dying = plait.Process(target=work.serve_a_few, args=(jobs, answers, self.dice.randrange(size)))
            dying.start()
            try:
                dying.join()
            except plait.WorkerDied:
                self.storm.findings.count("died")
            else:
                self.storm.findings.complain("a process that kills itself has ended well")
            call = self.lasting.calm.submit(work.serve, jobs, answers)
            jobs.join()
            jobs.shutdown()
            call.result()
            got = [answers.get(timeout=AMPLE) for _ in range(size)]
            right = {number: tasks.answer(number) for number in range(first, first + size)}
            self.expect("a queue that redelivers", dict(got), right)
            self.expect("what is left in it", (answers.qsize(), jobs.lost), (0, 0))
        self.storm.findings.count("verified", size)

    def queue_in_a_loop(self) -> None:
        """Coroutines at one end, the process that echoes at the other of a pair of their own."""

        async def ask(size: int) -> list[int]:
            questions: plait.Queue[int] = plait.Queue()
            answers: plait.Queue[int] = plait.Queue()
            call = self.lasting.calm.submit(work.echo, questions, answers)
            for number in range(size):
                await questions.put_async(number)
            questions.shutdown()
            values = [await answers.get_async() for _ in range(size)]
            await call
            return values

        size = self.dice.choice([1, 50])
        self.expect("a queue in a loop", asyncio.run(ask(size)), list(range(size)))
        self.storm.findings.count("verified", size)

    def lock(self) -> None:
        """Two workers and this thread count up, each in turn."""
        times = self.dice.choice([1, 20, 200])
        lock, counts = plait.Lock(), plait.Array(int, 1)
        calls = [self.lasting.calm.submit(work.count_up, lock, counts, times) for _ in range(2)]
        work.count_up(lock, counts, times)
        for call in calls:
            call.result()
        self.expect("counting under a lock", counts[0], 3 * times)
        self.storm.findings.count("verified", 2)

    def lock_of_the_dead(self) -> None:
        """Whoever comes next is told, once."""
        lock = plait.Lock()
        holder = plait.Process(target=work.die_holding, args=(lock,))
        holder.start()
        try:
            holder.join()
        except plait.WorkerDied:
            self.storm.findings.count("died")
        try:
            lock.acquire()
        except plait.OwnerDied as died:
            self.expect("the dead owner", died.pid, holder.pid)
        else:
            self.storm.findings.complain("a lock whose holder has died was given without a word")
        self.expect("the lock after that", lock.acquire(timeout=AMPLE), True)
        lock.release()
        self.storm.findings.count("verified")

    def cells(self) -> None:
        """One step each, from workers that add to the same number."""
        size = self.dice.choice([1, 20, 100])
        value = plait.Value(int)
        sums = [call.result() for call in [self.lasting.calm.submit(value.add) for _ in range(size)]]
        self.expect("adding to a cell", (sorted(sums), value.value), (list(range(1, size + 1)), size))
        self.storm.findings.count("verified", size)

    def arrays(self) -> None:
        """Memory that workers write to in place."""
        size = self.dice.choice([1000, 100_000, 4_000_000])
        block, value = plait.share(bytearray(size)), self.dice.randrange(1, 256)
        parts = [block[: size // 2], block[size // 2 :]]
        calls = [self.lasting.calm.submit(work.fill, part, value) for part in parts]
        self.expect("what was written", sum(call.result() for call in calls), size)
        self.expect("a shared block", bytes(block) == bytes([value]) * size, True)
        self.storm.findings.count("verified", 2)

    def large(self) -> None:
        """Large arguments and results, which go by shared memory."""
        data = self.dice.randbytes(1000) * self.dice.choice([1, 100, 3000])
        values = list(self.lasting.calm.map(work.enlarge, [data] * 3))
        self.expect("large results", all(value == data + data[:1000] for value in values), True)
        self.storm.findings.count("verified", 3)
