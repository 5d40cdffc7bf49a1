"""What the soak runs in workers and processes besides the storm's tasks."""

import asyncio
import contextlib
import os
import signal

import plait
import tasks


async def tiny_later(number):
    """A task of the ledger as a coroutine."""
    await asyncio.sleep(0)
    return tasks.tiny(number)


def tiny_or_raise(number):
    """A task; one in seven raises."""
    value = tasks.tiny(number)
    if number % 7 == 0:
        raise ValueError(number)
    return value


def add(a, b):
    return a + b


def talk(number):
    print(f"call {number}")
    return tasks.tiny(number)


# --- queues


def echo(questions, answers):
    """Gives back what it gets, until there is nothing more."""
    for question in questions:
        answers.put(question)


def serve(jobs, answers):
    """Answers jobs, until there are none."""
    for job in jobs:
        answers.put((job, tasks.answer(job)))
        jobs.task_done()


def serve_a_few(jobs, answers, count):
    """Answers some jobs, and dies with the next in its hands."""
    for job in jobs:
        if not count:
            os.kill(os.getpid(), signal.SIGKILL)
        answers.put((job, tasks.answer(job)))
        jobs.task_done()
        count -= 1


# --- locks and shared memory


@contextlib.contextmanager
def held(lock):
    """Hold a lock, whoever has died with it."""
    while True:
        try:
            lock.acquire()
            break
        except plait.OwnerDied:
            continue
    try:
        yield
    finally:
        lock.release()


def count_up(lock, counts, times):
    """Reads and writes, of which each would lose others without the lock."""
    for _ in range(times):
        with held(lock):
            counts[0] = counts[0] + 1


def die_holding(lock):
    """Ends its process with the lock in its hands."""
    with held(lock):
        os.kill(os.getpid(), signal.SIGKILL)


def fill(part, value):
    """Writes to shared memory; gives how much of it."""
    view = memoryview(part).cast("B")
    view[:] = bytes([value]) * len(view)
    return len(view)


def enlarge(data):
    """Large in, large out."""
    return bytes(data) + bytes(data[:1000])


# --- processes


def end_with(code):
    raise SystemExit(code)


def wait_for(event):
    event.wait()
    return os.getpid()
