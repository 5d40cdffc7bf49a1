"""Processes and threads of their own, recordings, and the watches."""

import asyncio
import threading
from collections.abc import Callable

import plait
import tasks
import work
from feature import Feature

# So often something is done that is to be told of, until it is.
HOLDS = 20


class Lone(Feature):
    """`Process` and `Thread`, one at a time."""

    title = "processes"

    def ways(self) -> list[Callable[[], None]]:
        return [self.result, self.failure, self.exit_code, self.killed, self.thread, self.preloaded]

    def result(self) -> None:
        with self.storm.ledger.numbers(2) as first:
            pair = [plait.Process(target=tasks.tiny, args=(number,)) for number in (first, first + 1)]
            for process in pair:
                process.start()
            self.expect_all("two processes", first, 2, [process.join() for process in pair])
            self.expect("exit codes", [process.exitcode for process in pair], [0, 0])

    def failure(self) -> None:
        for kind in (plait.Process, plait.Thread):
            with self.storm.ledger.numbers(1) as number:
                lone = kind(target=tasks.raise_plain, args=(number,))
                lone.start()
                try:
                    self.expect(f"a failing {kind.__name__}", lone.join(), ValueError)
                except ValueError as error:
                    self.expect(f"the error of a {kind.__name__}", str(error), str(number))
        self.storm.findings.count("raised", 2)

    def exit_code(self) -> None:
        code = self.dice.randrange(1, 100)
        process = plait.Process(target=work.end_with, args=(code,))
        process.start()
        self.expect("a process that exits", (process.join(), process.exitcode), (None, code))

    def killed(self) -> None:
        event = plait.Event()
        process = plait.Process(target=work.wait_for, args=(event,))
        process.start()
        if self.dice.random() < 0.5:
            process.kill()
            self.expect("a killed process", (process.join(), process.exitcode), (None, -9))
        else:
            event.set()
            self.expect("a process that waits for an event", process.join(), process.pid)

    def thread(self) -> None:
        with self.storm.ledger.numbers(1) as number:
            thread = plait.Thread(target=tasks.tiny, args=(number,))
            thread.start()
            self.expect_all("a thread", number, 1, [thread.join()])

    def preloaded(self) -> None:
        """A pool of another nursery."""
        with plait.ProcessPoolExecutor(1, preload=("json",)) as pool, self.storm.ledger.numbers(1) as number:
            self.expect_all("a pool with preload", number, 1, [pool.submit(tasks.tiny, number).result()])


class Looks(Feature):
    """Recordings and watches of this very program: of all of it, so one at a time, and seldom."""

    title = "looks"
    pause = 20.0

    def ways(self) -> list[Callable[[], None]]:
        return [self.record, self.watch_gil, self.watch_loop, self.explain]

    def record(self) -> None:
        path = self.soak.folder / "soak.plait"
        with plait.record(path, rate=200) as recording:
            self.storm.over.wait(0.5)
        self.expect("the length of a recording", recording.seconds > 0, True)
        self.expect("a recording's verdict", bool(recording.verdict), True)
        self.expect("a recording's file", path.exists() and path.stat().st_size > 0, True)
        path.unlink()

    def watch_gil(self) -> None:
        told, over = threading.Event(), threading.Event()

        def want() -> None:
            # A hold that keeps nobody waiting is not told.
            while not over.wait(0.01):
                pass

        wanting = threading.Thread(target=want)
        wanting.start()
        try:
            with plait.watch_gil(0.05, lambda _: told.set()), self.storm.ledger.numbers(1) as number:
                # On a busy machine neither who watches nor who wants it may have a turn during one hold.
                for _ in range(HOLDS):
                    tasks.hold_gil(number, 0.3)
                    if told.wait(1):
                        break
                self.expect("telling of a held GIL", told.is_set(), True)
        finally:
            over.set()
            wanting.join()

    def watch_loop(self) -> None:
        told = threading.Event()

        async def block() -> None:
            with (
                plait.watch_loop(0.05, lambda _: told.set(), repeat_after=0),
                self.storm.ledger.numbers(1) as n,
            ):
                for _ in range(HOLDS):
                    await asyncio.sleep(0.05)
                    tasks.busy(n, 0.3)
                    await asyncio.sleep(0.05)
                    if told.is_set():
                        break

        asyncio.run(block())
        self.expect("telling of a blocked loop", told.is_set(), True)

    def explain(self) -> None:
        choice = plait.explain(tasks.answer, range(1000))
        self.expect("what explain chooses for tiny calls", bool(choice.backend), True)
