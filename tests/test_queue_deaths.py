"""Producers and consumers that are killed: nobody waits for ever, and no item is torn."""

import asyncio
import os
import random
import signal

import plait
import pytest
import queued
from outside import until
from platforms import death_is_known

pytestmark = pytest.mark.once


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(plait.WorkerDied):
        process.join()


def start(target, *args):
    process = plait.Process(target=target, args=args)
    process.start()
    return process


def test_what_a_dead_process_had_taken_is_lost_and_told():
    jobs, told = plait.Queue(), plait.Queue()
    jobs.put("lost")
    jobs.put("left")
    taker = start(queued.take_and_hang, jobs, told)
    assert told.get(timeout=60) == (taker.pid, "lost")
    assert jobs.lost == 0
    joiner = plait.Thread(target=jobs.join)
    joiner.start()
    assert jobs.get() == "left"
    jobs.task_done()
    kill(taker)
    joiner.join()
    assert jobs.lost == 1
    with pytest.raises(ValueError, match="too many times"):
        jobs.task_done()


@pytest.mark.parametrize("size", [3, 100_000])
def test_what_a_dead_process_had_taken_comes_back(size):
    jobs, told = plait.Queue(redeliver=True), plait.Queue()
    queued.put_many(jobs, ["x" * size, "done", "left"])
    taker = start(queued.take_two_and_hang, jobs, told)
    assert told.get(timeout=60) == [size, 4]
    assert (jobs.redeliver, jobs.qsize()) == (True, 1)
    kill(taker)
    death_is_known()
    assert jobs.qsize() == 2
    # It said that the first was done.
    assert (jobs.get(), jobs.returns) == ("done", 1)
    jobs.task_done()
    assert (jobs.get(), jobs.returns) == ("left", 0)
    jobs.task_done()
    jobs.join()
    assert (jobs.lost, "redeliver" in repr(jobs)) == (0, True)


def test_who_waits_for_an_item_hears_that_one_came_back():
    jobs, told = plait.Queue(redeliver=True), plait.Queue()
    jobs.put("again")
    taker = start(queued.take_and_hang, jobs, told)
    assert told.get(timeout=60) == (taker.pid, "again")

    async def take():
        item = asyncio.ensure_future(jobs.get_async())
        await asyncio.sleep(0)
        kill(taker)
        return await item, jobs.returns

    assert asyncio.run(take()) == ("again", 1)
    jobs.task_done()
    jobs.join()


def test_each_coroutine_is_done_with_its_own_item():
    jobs, told = plait.Queue(redeliver=True), plait.Queue()
    queued.put_many(jobs, ["slow", "fast"])
    taker = start(queued.take_in_tasks_and_hang, jobs, told)
    assert told.get(timeout=60) == "done with the fast one"
    kill(taker)
    assert (jobs.get(), jobs.returns, jobs.qsize()) == ("slow", 1, 0)
    jobs.task_done()
    jobs.join()


def test_an_array_that_came_back_is_as_it_was_put():
    numpy = pytest.importorskip("numpy")
    jobs, told = plait.Queue(redeliver=True), plait.Queue()
    jobs.put(numpy.arange(100_000))
    taker = start(queued.spoil_and_hang, jobs, told)
    assert told.get(timeout=60) == "spoilt"
    kill(taker)
    array = jobs.get()
    jobs.task_done()
    # What is done stays while it is looked at.
    for number in range(5):
        jobs.put(numpy.full(100_000, number))
    assert (array == numpy.arange(100_000)).all()


def test_producers_and_consumers_are_killed_at_random():
    dice = random.Random(7)
    jobs, seen = plait.Queue(20), plait.Queue()
    producers = [start(queued.put_for_ever, jobs, who) for who in range(2)]
    consumers = [start(queued.take_for_ever, jobs, seen) for _ in range(2)]
    number = {producer.pid: who for who, producer in enumerate(producers)}
    highest = {}
    for round_ in range(12):
        # Each round sees items pass, whoever was killed in the one before.
        for _ in range(dice.randrange(20, 120)):
            item = seen.get(timeout=60)
            assert len(item) == 2, f"torn: {item[:2]}"
            who, at = item
            # Consumers may overtake each other; nothing comes twice.
            assert at not in highest.setdefault(who, set())
            highest[who].add(at)
        if dice.random() < 0.5:
            victim = producers.pop(dice.randrange(2))
            kill(victim)
            producers.append(start(queued.put_for_ever, jobs, 2 + round_))
            number[producers[-1].pid] = 2 + round_
        else:
            kill(consumers.pop(dice.randrange(2)))
            consumers.append(start(queued.take_for_ever, jobs, seen))
    for process in producers + consumers:
        kill(process)
    rest = []
    while not jobs.empty():
        rest.append(jobs.get(timeout=60))
    assert all(queued.is_whole(item) for item in rest)
    jobs.put("still a queue")
    assert jobs.get(timeout=60) == "still a queue"


def test_a_worker_killed_in_get_blocks_nobody():
    jobs = plait.Queue()
    with plait.ProcessPoolExecutor(2) as executor:
        waiting = executor.submit(jobs.get)
        until(waiting.running, "it waits")
        waiting.cancel()
        jobs.put(1)
        assert jobs.get(timeout=60) == 1


def test_who_ends_without_saying_done_has_lost_its_items():
    jobs = plait.Queue()
    queued.put_many(jobs, ["taken", "left"])
    taker = start(jobs.get)
    assert taker.join() == "taken"
    death_is_known()
    assert (jobs.lost, jobs.get()) == (1, "left")
    jobs.task_done()
    jobs.join()
