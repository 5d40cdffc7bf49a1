"""What parties do with a lock or its kin: as threads, worker processes, forked children and coroutines.

Each thing to do is a pair, the second of coroutines. `Parties` begins it, and gives what came of it.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import threading
import warnings

import plait
from outside import PATIENCE

KINDS = ["threads", "processes", "forked", "coroutines"]


class Parties:
    """So many parties of a kind, or of all kinds in turn, that do the same."""

    def __init__(self, kind, what, *args, count=3):
        kinds = KINDS if kind == "mixed" else [kind] * count
        blocks, awaits = what
        self.count = len(kinds)
        self._joins = []
        with contextlib.ExitStack() as stack:
            if "processes" in kinds:
                self._pool = stack.enter_context(plait.ProcessPoolExecutor(kinds.count("processes")))
            for at, kind in enumerate(kinds):
                fn = awaits if kind == "coroutines" else blocks
                self._joins.append(getattr(self, f"_{kind}")(fn, (*args, at)))
            self._stack = stack.pop_all()

    def _threads(self, fn, args):
        got = []
        thread = threading.Thread(target=lambda: got.append(fn(*args)))
        thread.start()
        return lambda: (thread.join(PATIENCE), got[0])[1]

    def _processes(self, fn, args):
        future = self._pool.submit(fn, *args)
        return lambda: future.result(PATIENCE)

    def _forked(self, fn, args):
        read, write = os.pipe()
        pid = fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.write(write, pickle.dumps(fn(*args)))
            os._exit(0)
        os.close(write)

        def join():
            with open(read, "rb") as pipe:
                told = pipe.read()
            os.waitpid(pid, 0)
            return pickle.loads(told)

        return join

    def _coroutines(self, fn, args):
        return self._threads(lambda *args: asyncio.run(fn(*args)), args)

    def results(self):
        """What came of each, in order."""
        with self._stack:
            return [join() for join in self._joins]


def fork():
    """`os.fork`, in a program that has threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


@contextlib.contextmanager
def child(fn, *args):
    """A forked child that does something and then sleeps, until the end or until it is killed; its pid."""
    read, write = os.pipe()
    pid = fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            fn(*args)
            os.write(write, b".")
            while True:
                signal.pause()
        os._exit(1)
    os.close(write)
    try:
        yield pid, read
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(read)


@contextlib.contextmanager
def done(fn, *args):
    """As `child`, when it has done it."""
    with child(fn, *args) as (pid, read):
        assert os.read(read, 1) == b".", "the child failed"
        yield pid


def kill(pid):
    """Kill a child; its parent reaps it."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


ROUNDS = 40


def add(cells):
    """Add one to a cell, in two steps, between which others may run."""
    value = cells[0]
    os.sched_yield()
    cells[0] = value + 1


def count(lock, cells, at):
    for _ in range(ROUNDS):
        with lock:
            add(cells)
    return at


async def count_async(lock, cells, at):
    for _ in range(ROUNDS):
        async with lock:
            add(cells)
    return at


def count_again(lock, cells, at):
    for _ in range(ROUNDS):
        with lock, lock:
            add(cells)
    return at


async def count_again_async(lock, cells, at):
    for _ in range(ROUNDS):
        async with lock, lock:
            add(cells)
    return at


def crowd(semaphore, lock, cells, at):
    """Be inside with others, and note how many there were at most."""
    for _ in range(ROUNDS):
        with semaphore:
            with lock:
                cells[0] += 1
                cells[1] = max(cells[1], cells[0])
            os.sched_yield()
            with lock:
                cells[0] -= 1
    return at


async def crowd_async(semaphore, lock, cells, at):
    for _ in range(ROUNDS):
        async with semaphore:
            async with lock:
                cells[0] += 1
                cells[1] = max(cells[1], cells[0])
            await asyncio.sleep(0)
            async with lock:
                cells[0] -= 1
    return at


def hear(event, here, at):
    here.release()
    return event.wait(PATIENCE)


async def hear_async(event, here, at):
    here.release()
    return await event.wait_async(PATIENCE)


def consume(condition, cells, here, at):
    """Take one of the things in the cell, when there is one."""
    with condition:
        here.release()
        got = condition.wait_for(lambda: cells[0] > 0, PATIENCE)
        cells[0] -= 1
    return bool(got)


async def consume_async(condition, cells, here, at):
    async with condition:
        here.release()
        got = await condition.wait_for_async(lambda: cells[0] > 0, PATIENCE)
        cells[0] -= 1
    return bool(got)


def meet(barrier, cells, at):
    """Meet the others again and again; nobody is ever a round ahead."""
    indices = []
    for turn in range(ROUNDS):
        cells[at] = turn
        indices.append(barrier.wait(PATIENCE))
        assert min(cells[: barrier.parties]) >= turn
        barrier.wait(PATIENCE)
    return indices


async def meet_async(barrier, cells, at):
    indices = []
    for turn in range(ROUNDS):
        cells[at] = turn
        indices.append(await barrier.wait_async(PATIENCE))
        assert min(cells[: barrier.parties]) >= turn
        await barrier.wait_async(PATIENCE)
    return indices


COUNT = count, count_async
COUNT_AGAIN = count_again, count_again_async
CROWD = crowd, crowd_async
HEAR = hear, hear_async
CONSUME = consume, consume_async
MEET = meet, meet_async
