"""What producers and consumers of the queue tests do, in whichever thread, process or loop."""

import asyncio
import os
import signal
import sys

import plait


def produce(jobs, who, count):
    """Puts so many numbered items."""
    for number in range(count):
        jobs.put((who, number))


def consume(jobs, taken):
    """Takes items until the queue is shut, and says which."""
    mine = []
    for item in jobs:
        mine.append(item)
        jobs.task_done()
    taken.put(mine)


async def _produce(jobs, who, count):
    for number in range(count):
        await jobs.put_async((who, number))


async def _consume(jobs, taken):
    mine = []
    async for item in jobs:
        mine.append(item)
        jobs.task_done()
    await taken.put_async(mine)


def produce_in_loop(jobs, who, count):
    """The same in a coroutine."""
    asyncio.run(_produce(jobs, who, count))


def consume_in_loop(jobs, taken):
    """The same in a coroutine."""
    asyncio.run(_consume(jobs, taken))


def ending(call, *args):
    """Calls it, and says what it raised."""
    try:
        call(*args)
    except Exception as error:
        return type(error).__name__
    return "none"


def double(jobs, results):
    """Answers until it is told to end."""
    while (item := jobs.get()) is not None:
        results.put(item * 2)


def put_many(jobs, items):
    """Puts them, and ends."""
    for item in items:
        jobs.put(item)


def take_and_hang(jobs, told):
    """Takes an item, says so, and never ends by itself."""
    told.put((os.getpid(), jobs.get()))
    signal.pause()


def take_two_and_hang(jobs, told):
    """Takes two items, says that the first is done, and never ends by itself."""
    items = [jobs.get(), jobs.get()]
    jobs.task_done()
    told.put([len(item) for item in items])
    signal.pause()


def take_in_tasks_and_hang(jobs, told):
    """Takes two items in two tasks of a loop, of which one is done, and never ends by itself."""

    async def slow(taken):
        await jobs.get_async()
        taken.set()
        await asyncio.Event().wait()

    async def main():
        taken = asyncio.Event()
        task = asyncio.ensure_future(slow(taken))
        await taken.wait()
        await jobs.get_async()
        jobs.task_done()
        await told.put_async("done with the fast one")
        await task

    asyncio.run(main())


def spoil_and_hang(jobs, told):
    """Takes an array and writes to it."""
    array = jobs.get()
    array[:] = -1
    told.put("spoilt")
    signal.pause()


def put_for_ever(jobs, who):
    """Puts items that can be checked, long and short, until it is killed."""
    number = 0
    while True:
        jobs.put(checkable(who, number))
        number += 1


def take_for_ever(jobs, seen):
    """Takes items and reports those that are not whole, until it is killed."""
    while True:
        item = jobs.get()
        seen.put(item[:2] if is_whole(item) else item)


def checkable(who, number):
    """An item that shows whether it is whole: every fifth goes by reference."""
    size = 100_000 if number % 5 == 0 else number % 50
    return who, number, bytes([number % 251]) * size


def is_whole(item):
    """Whether it is."""
    return item == checkable(*item[:2])


def put_into(jobs, nested):
    """Puts into a queue within a container, and into one that came through a queue."""
    nested["queue"].put("by argument")
    jobs.get().put("by a queue")


def closure_over(jobs):
    """A function that has it."""
    return lambda item: jobs.put(item)


jobs_of_worker = None


def keep(jobs):
    """An initializer."""
    global jobs_of_worker
    jobs_of_worker = jobs


def put_kept(item):
    """Puts into what the initializer kept."""
    jobs_of_worker.put(item)


def main_that_fills():
    """Fills a queue with items that nobody takes, and ends."""
    jobs = plait.Queue()
    child = plait.Process(target=put_many, args=(jobs, [b"x" * 50_000] * 200))
    child.start()
    child.join()
    put_many(jobs, range(1000))
    print(jobs.qsize())


def main_that_waits(end):
    """Waits at an end of a queue for what never comes."""
    jobs = plait.Queue(1)
    try:
        print("waiting", flush=True)
        if end == "get":
            jobs.get()
        elif end == "put":
            jobs.put(1)
            jobs.put(2)
        else:
            jobs.put(1)
            jobs.join()
    except KeyboardInterrupt:
        print("interrupted", jobs.qsize(), flush=True)


if __name__ == "__main__":
    {"fills": main_that_fills, "waits": main_that_waits}[sys.argv[1]](*sys.argv[2:])
