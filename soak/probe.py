"""How long a small call takes, of each kind, while all else goes on: in this program, in a thread of it.

One kind needs no plait: a byte to a bare process and back. Where that takes longer than at the beginning, the
machine has become slower, or busier, and the rest is judged by that.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import plait
import tasks
import work
from actor import Actor
from feature import Soak
from latencies import BARE, KINDS, class_of

# Calls of each kind in a second; starting a process is dearer, and done once in so many rounds.
A_SECOND = 20
SELDOM = 10


class Probe(Actor):
    """Calls each kind in turn, and counts how long it took."""

    title = "probe"

    def __init__(self, soak: Soak) -> None:
        super().__init__(soak.storm)
        self.lasting = soak.lasting
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[int]] = {}
        self._number = 0

    def kinds(self) -> dict[str, Callable[[int], Any]]:
        """By name; each gives `tasks.answer` of the number that it is called with."""
        lasting, answer = self.lasting, tasks.answer
        return {
            BARE: self.bare,
            **dict(
                zip(
                    KINDS,
                    (
                        lambda n: lasting.calm.submit(answer, n).result(),
                        lambda n: lasting.threads.submit(answer, n).result(),
                        lambda n: lasting.loop.submit(answer_later, n).result(),
                        lambda n: lasting.auto.submit(answer, n).result(),
                        lambda n: next(plait.map(answer, [n], backend="threads")),
                        lambda n: lasting.pool.apply(answer, (n,)),
                        self.queue,
                        self.lock,
                        self.process,
                    ),
                    strict=True,
                )
            ),
        }

    def step(self) -> None:
        self._number += 1
        for kind, call in self.kinds().items():
            if kind == "Process" and self._number % SELDOM:
                continue
            self.beat(f"calls {kind}")
            began = time.perf_counter()
            value = call(self._number)
            seconds = time.perf_counter() - began
            if value != tasks.answer(self._number):
                self.storm.findings.complain(f"a small call of {kind} gave {value!r}")
            self.storm.findings.count("small calls")
            self.storm.findings.count("verified")
            with self._lock:
                self._counts.setdefault(kind, Counter())[class_of(seconds)] += 1
        self.storm.over.wait(self.dice.uniform(0, 2 / A_SECOND))

    def take(self) -> dict[str, dict[str, int]]:
        """The counts since it was asked last, by kind."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return {kind: {str(name): count for name, count in counts.items()} for kind, counts in taken.items()}

    def bare(self, number: int) -> int:
        pipe = self.lasting.bare
        assert pipe.stdin and pipe.stdout
        pipe.stdin.write(b".")
        return tasks.answer(number) if pipe.stdout.read(1) == b"." else -1

    def queue(self, number: int) -> int:
        self.lasting.questions.put(number)
        return tasks.answer(self.lasting.answers.get())

    def lock(self, number: int) -> int:
        with self.lasting.lock:
            return tasks.answer(number)

    def process(self, number: int) -> Any:
        process = plait.Process(target=work.add, args=(0, tasks.answer(number)))
        process.start()
        return process.join()


async def answer_later(number: int) -> int:
    """As a coroutine."""
    return tasks.answer(number)
