"""`plait.Queue` from threads, processes and coroutines, each and all at the same time."""

import asyncio
import copy
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import plait
import pytest
import queued
from outside import TESTS, stat_of, until

KINDS = {
    "threads": (plait.Thread, queued.produce, queued.consume),
    "processes": (plait.Process, queued.produce, queued.consume),
    "coroutines": (plait.Thread, queued.produce_in_loop, queued.consume_in_loop),
    "coroutines of processes": (plait.Process, queued.produce_in_loop, queued.consume_in_loop),
}


def started(kind, role, *args):
    make, produce, consume = KINDS[kind]
    one = make(target=produce if role == "producer" else consume, args=args)
    one.start()
    return one


def check_all(jobs, producers, consumers, count):
    """Runs them, and sees that each item was taken once, those of one producer in order."""
    taken = plait.Queue()
    takers = [started(kind, "consumer", jobs, taken) for kind in consumers]
    makers = [started(kind, "producer", jobs, who, count) for who, kind in enumerate(producers)]
    for maker in makers:
        maker.join()
    jobs.join()
    jobs.shutdown()
    lists = [taken.get(timeout=60) for _ in takers]
    for taker in takers:
        taker.join()
    for mine in lists:
        for who in range(len(producers)):
            numbers = [number for maker, number in mine if maker == who]
            assert numbers == sorted(numbers)
    everything = sorted(item for mine in lists for item in mine)
    assert everything == [(who, number) for who in range(len(producers)) for number in range(count)]
    assert (jobs.qsize(), jobs.empty(), jobs.lost) == (0, True, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("maxsize", [0, 3])
def test_many_of_one_kind(kind, maxsize):
    check_all(plait.Queue(maxsize), [kind] * 2, [kind] * 2, 300)


def test_all_kinds_at_the_same_time():
    check_all(plait.Queue(5, maxbytes=200), list(KINDS), list(KINDS), 100)


def test_it_is_a_queue_of_the_stdlib():
    jobs = plait.Queue(2)
    assert (jobs.maxsize, jobs.maxbytes, jobs.empty(), jobs.full(), jobs.qsize()) == (2, 0, True, False, 0)
    with pytest.raises(queue.Empty):
        jobs.get_nowait()
    with pytest.raises(queue.Empty):
        jobs.get(timeout=0.001)
    jobs.put(1)
    jobs.put({"a": [2]}, timeout=1)
    for put in (
        jobs.put_nowait,
        lambda item: jobs.put(item, False),
        lambda item: jobs.put(item, timeout=0.001),
    ):
        with pytest.raises(queue.Full):
            put(3)
    assert (jobs.full(), jobs.qsize()) == (True, 2)
    assert [jobs.get(), jobs.get(block=False)] == [1, {"a": [2]}]
    for call in (lambda: jobs.get(timeout=-1), lambda: jobs.put(1, timeout=-1)):
        with pytest.raises(ValueError, match="non-negative"):
            call()
    jobs.task_done()
    jobs.task_done()
    with pytest.raises(ValueError, match="too many times"):
        jobs.task_done()
    assert plait.Queue(-1).maxsize == 0
    assert "2 items" not in repr(jobs) and "maxsize 2" in repr(jobs)
    assert plait.Queue[int].__origin__ is plait.Queue


def test_bytes_bound_it():
    jobs = plait.Queue(maxbytes=10_000)
    jobs.put(b"x" * 6_000)
    with pytest.raises(queue.Full):
        jobs.put_nowait(b"x" * 6_000)
    jobs.put(b"y" * 3_000)
    jobs.get()
    jobs.get()
    jobs.put(b"z" * 500_000)
    with pytest.raises(queue.Full):
        jobs.put_nowait(1)
    assert len(jobs.get()) == 500_000


def test_what_is_shut_gives_what_is_left():
    jobs = plait.Queue()
    jobs.put(1)
    jobs.put(2)
    jobs.shutdown()
    assert list(jobs) == [1, 2]
    for call in (jobs.get, jobs.get_nowait, lambda: jobs.put(1), lambda: jobs.put_nowait(1)):
        with pytest.raises(plait.ShutDown):
            call()
    assert jobs.is_shutdown and "shut down" in repr(jobs)
    if sys.version_info >= (3, 13):
        assert plait.ShutDown is queue.ShutDown


def test_what_is_shut_at_once_drops_the_rest():
    jobs = plait.Queue()
    for item in (1, 2, b"x" * 100_000):
        jobs.put(item)
    assert jobs.get() == 1
    jobs.shutdown(immediate=True)
    with pytest.raises(plait.ShutDown):
        jobs.get()
    joined = plait.Thread(target=jobs.join)
    joined.start()
    jobs.task_done()
    joined.join()


def test_who_waits_hears_that_it_is_shut():
    jobs, full = plait.Queue(), plait.Queue(1)
    full.put(1)
    calls = [(jobs.get,), (full.put, 2)]
    with plait.ProcessPoolExecutor(2) as executor:
        waits = [executor.submit(queued.ending, *call) for call in calls]
        threads = [plait.Thread(target=queued.ending, args=call) for call in calls]
        for thread in threads:
            thread.start()
        until(lambda: all(wait.running() for wait in waits), "they wait")
        jobs.shutdown()
        full.shutdown()
        assert [wait.result() for wait in waits] == ["ShutDown"] * 2
        assert [thread.join() for thread in threads] == ["ShutDown"] * 2


def test_it_goes_wherever_values_go():
    jobs, way = plait.Queue(), plait.Queue()
    way.put(jobs)
    with plait.ProcessPoolExecutor(1, initializer=queued.keep, initargs=(jobs,)) as executor:
        executor.submit(queued.put_into, way, {"queue": jobs}).result()
        executor.submit(queued.closure_over(jobs), "in a closure").result()
        executor.submit(lambda: jobs.put("captured")).result()
        executor.submit(queued.put_kept, "in initargs").result()
    assert [jobs.get(timeout=60) for _ in range(5)] == [
        "by argument",
        "by a queue",
        "in a closure",
        "captured",
        "in initargs",
    ]
    same = pickle.loads(pickle.dumps(jobs))
    same.put(1)
    assert copy.copy(jobs).get() == 1


def test_a_forked_child_has_it():
    jobs, answers = plait.Queue(), plait.Queue()
    jobs.put(1)
    child = os.fork()
    if child == 0:
        try:
            answers.put(("child", jobs.get(), os.getpid()))
            asyncio.run(answers.put_async("from its loop"))
        finally:
            os._exit(0)
    assert answers.get(timeout=60) == ("child", 1, child)
    assert answers.get(timeout=60) == "from its loop"
    os.waitpid(child, 0)
    assert jobs.empty()


def test_a_worker_makes_one_for_its_program():
    with plait.ProcessPoolExecutor(1) as executor:
        jobs = executor.submit(plait.Queue, 3).result()
        executor.submit(jobs.put, "made there").result()
        assert (jobs.maxsize, jobs.get(timeout=60)) == (3, "made there")


def test_what_cannot_be_sent_is_refused_where_it_is_put():
    jobs = plait.Queue()
    with pytest.raises(plait.NotPicklable, match=r"^item\[1\]\['lock'\]") as caught:
        jobs.put([1, {"lock": threading.Lock()}])
    assert caught.value.path == "item[1]['lock']"
    assert jobs.empty()
    with pytest.raises(plait.NotPicklable):
        asyncio.run(jobs.put_async(threading.Lock()))


def test_large_items_are_whole_and_the_takers_own():
    numpy = pytest.importorskip("numpy")
    jobs, answers = plait.Queue(), plait.Queue()
    child = plait.Process(target=queued.double, args=(jobs, answers))
    child.start()
    array = numpy.arange(300_000, dtype="i8")
    for _ in range(20):
        jobs.put(array)
    results = [answers.get(timeout=60) for _ in range(20)]
    jobs.put(None)
    child.join()
    for number, result in enumerate(results):
        assert (result == array * 2).all()
        result[:] = number
    assert [int(result[7]) for result in results] == list(range(20)), "each is its taker's own"
    assert array[7] == 7


@pytest.mark.parametrize("value", [b"x" * 300_000, "ä" * 300_000, bytearray(200_000), [b"y" * 100_000] * 3])
def test_long_values_of_all_kinds(value):
    jobs = plait.Queue()
    jobs.put(value)
    assert jobs.get() == value


def test_arrays_of_a_dropped_queue_stay():
    numpy = pytest.importorskip("numpy")
    jobs = plait.Queue()
    jobs.put(numpy.arange(100_000))
    array = jobs.get()
    del jobs
    others = [plait.Queue() for _ in range(5)]
    for other in others:
        other.put(numpy.zeros(100_000))
    assert (array == numpy.arange(100_000)).all()


def test_coroutines_wait_beside_each_other():
    async def main():
        jobs = plait.Queue(1)
        getters = [asyncio.ensure_future(jobs.get_async()) for _ in range(3)]
        await asyncio.sleep(0)
        for item in range(3):
            await jobs.put_async(item)
        assert sorted(await asyncio.gather(*getters)) == [0, 1, 2]
        with pytest.raises(queue.Empty):
            await jobs.get_async(timeout=0.001)
        await jobs.put_async(1)
        with pytest.raises(queue.Full):
            await jobs.put_async(2, timeout=0.001)
        with pytest.raises(ValueError, match="non-negative"):
            await jobs.get_async(timeout=-1)
        await jobs.get_async()
        for _ in range(4):
            jobs.task_done()
        await jobs.join_async()

    asyncio.run(main())


def test_a_cancelled_coroutine_takes_and_puts_nothing():
    async def main():
        jobs, full = plait.Queue(), plait.Queue(1)
        full.put("first")
        for _ in range(20):
            waits = [asyncio.ensure_future(jobs.get_async()), asyncio.ensure_future(full.put_async("other"))]
            patient = asyncio.ensure_future(jobs.get_async())
            await asyncio.sleep(0)
            jobs.put("item")
            # Room comes and goes at the same moment.
            assert full.get() == "first"
            for wait in waits:
                wait.cancel()
            done = await asyncio.gather(*waits, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in done)
            assert await asyncio.wait_for(patient, 60) == "item"
            assert full.empty()
            full.put("first")

    asyncio.run(main())


@contextmanager
def program(*args):
    """A program of its own."""
    with subprocess.Popen(
        [sys.executable, str(TESTS / "queued.py"), *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("end", ["get", "put", "join"])
def test_ctrl_c_ends_a_wait(end):
    with program("waits", end) as running:
        assert running.stdout.readline() == "waiting\n"
        until(lambda: stat_of(running.pid)[1] == "S", "it sleeps")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate()
        assert out == f"interrupted {0 if end == 'get' else 1}\n", err


def test_nothing_keeps_a_program_from_its_end():
    with program("fills") as running:
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out, err) == (0, "1200\n", "")


def test_no_thread_stands_behind_it():
    jobs = plait.Queue()
    before = threading.active_count()
    jobs.put(1)
    jobs.get()
    assert threading.active_count() == before


def test_a_thread_that_fails_leaves_its_item_to_others():
    jobs = plait.Queue()
    jobs.put("not a number")
    failing = plait.Thread(target=lambda: int(jobs.get()))
    failing.start()
    with pytest.raises(ValueError, match="invalid literal"):
        failing.join()
    assert jobs.lost == 0
    jobs.task_done()
    jobs.join()


def test_what_a_process_put_is_there_after_its_end():
    jobs = plait.Queue()
    child = plait.Process(target=queued.put_many, args=(jobs, [b"x" * 100_000, 2, "three"]))
    child.start()
    child.join()
    assert [len(jobs.get_nowait()), jobs.get_nowait(), jobs.get_nowait()] == [100_000, 2, "three"]


def test_a_queue_that_nobody_has_is_gone():
    with plait.ProcessPoolExecutor(1) as executor:
        address = pickle.dumps(executor.submit(plait.Queue).result())
        until(lambda: pickle.loads(address).empty(), "it was on its way, and can be had again")


SENDING = """
import plait


class Mine:
    "Of this script: the first pickler sends it as a name, and another one has to send all of it."


def first(items, mine):
    return items.get()


if __name__ == "__main__":
    with plait.ProcessPoolExecutor(1) as executor:
        for number in range(1000):
            items = plait.Queue()
            items.put(number)
            assert executor.submit(first, items, Mine()).result() == number
    print(plait.Queue().__reduce__()[1][2] & 0xFFFF_FFFF)
"""


def test_places_of_what_has_arrived_are_used_again(tmp_path):
    (tmp_path / "sending.py").write_text(SENDING)
    command = [sys.executable, str(tmp_path / "sending.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # A queue takes 42 lines. What has arrived waits for a while, since it may be unpickled again.
    assert int(done.stdout) < 20_000
