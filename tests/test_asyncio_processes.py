"""Coroutine functions on worker processes: an event loop in each, with so many coroutines at a time."""

import asyncio
import functools
import itertools
import os
import threading

import plait
import pytest
from crowds import add, add_one, ask, fail_on, pid_and_thread, server
from outside import is_alive, until
from plait._asyncio import chunks
from workloads import add_one as plain_add_one


def on_processes(fn, *iterables, **options):
    return plait.map(fn, *iterables, backend="processes", **{"workers": 2, **options})


class Counted:
    """Notes how many of its coroutines run in this process at a time."""

    inside = most = 0

    @classmethod
    async def enter(cls, n):
        Counted.inside += 1
        Counted.most = max(Counted.most, Counted.inside)
        await asyncio.sleep(0.001)
        Counted.inside -= 1
        return os.getpid(), Counted.most


def test_results_come_in_order():
    assert list(on_processes(add_one, range(3000))) == list(range(1, 3001))
    assert list(on_processes(add, range(10), itertools.count(10))) == list(range(10, 30, 2))
    assert list(on_processes(add_one, [])) == []


@pytest.mark.parametrize("chunksize", [1, 7, 1000])
def test_chunks_do_not_show(chunksize):
    assert list(on_processes(add_one, range(100), chunksize=chunksize)) == list(range(1, 101))


def test_each_worker_has_a_loop_in_its_main_thread():
    seen = set(on_processes(pid_and_thread, range(200), chunksize=5))
    assert os.getpid() not in {pid for pid, _ in seen}
    assert {thread for _, thread in seen} == {"MainThread"}
    assert len(seen) <= 2


@pytest.mark.parametrize("concurrency", [1, 10])
def test_the_limit_holds_in_each_worker(concurrency):
    seen = list(on_processes(Counted.enter, range(200), concurrency=concurrency))
    assert {most for _, most in seen} <= set(range(1, concurrency + 1))
    assert max(most for _, most in seen) == concurrency


def test_many_in_a_chunk_wait_at_one_time():
    with server() as (port, seen):
        results = on_processes(functools.partial(ask, port), range(300), concurrency=50)
        assert list(results) == list(range(300))
    assert seen["most"] > 2 and seen["answered"] == 300


@pytest.mark.parametrize("chunksize", [None, 1, 10])
def test_a_call_that_raises_comes_after_the_results_before_it(chunksize):
    results = on_processes(fail_on, range(50), [21] * 50, chunksize=chunksize)
    assert [next(results) for _ in range(21)] == list(range(21))
    with pytest.raises(ValueError, match="item 21") as caught:
        next(results)
    assert "fail_on" in str(caught.value.__cause__)
    assert list(results) == []


@pytest.mark.parametrize("at", [0, 1, 37])
def test_an_input_that_raises_comes_after_the_results_before_it(at):
    def numbers():
        yield from range(at)
        raise OSError(f"no item {at}")

    results = on_processes(add_one, numbers())
    assert [next(results) for _ in range(at)] == list(range(1, at + 1))
    with pytest.raises(OSError, match=f"no item {at}"):
        next(results)


def test_a_result_that_cannot_be_sent_fails_alone():
    async def work(n):
        return threading.Lock() if n == 5 else n

    results = on_processes(work, range(10), chunksize=10)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(plait.NotPicklable, match="lock"):
        next(results)


def test_large_results():
    import numpy as np

    async def make(n):
        return np.full(300_000, n)

    for n, array in enumerate(on_processes(make, range(6), chunksize=3)):
        assert array.shape == (300_000,) and array[0] == array[-1] == n


def test_closures_and_endless_inputs():
    offset = 5

    async def work(n):
        await asyncio.sleep(0)
        return n + offset

    results = on_processes(work, itertools.count(), concurrency=10)
    assert [next(results) for _ in range(200)] == list(range(5, 205))
    results.close()
    assert list(results) == []


def test_buffersize_bounds_the_reading():
    taken = 0

    def numbers():
        nonlocal taken
        for n in itertools.count():
            taken += 1
            yield n

    results = on_processes(add_one, numbers(), buffersize=9)
    for n in range(100):
        assert next(results) == n + 1
        assert taken <= n + 10
    results.close()


def test_tries_again(tmp_path):
    async def flaky(n):
        mark = tmp_path / str(n)
        if not mark.exists():
            mark.touch()
            raise OSError(n)
        return n

    assert list(on_processes(flaky, range(20), retries=1)) == list(range(20))


def test_a_call_over_its_time_fails_alone():
    async def hang(n):
        await asyncio.sleep(3600 if n == 3 else 0)
        return n

    results = on_processes(hang, range(10), timeout=0.05, chunksize=10)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(plait.TaskTimeout, match="hang took longer"):
        next(results)
    # The worker, and its loop, are as they were.
    assert list(on_processes(add_one, range(5))) == [1, 2, 3, 4, 5]


def test_a_worker_that_dies_is_made_up_for(tmp_path):
    async def deadly(n):
        mark = tmp_path / "died"
        if n == 7 and not mark.exists():
            mark.touch()
            os._exit(3)
        await asyncio.sleep(0)
        return n

    assert list(on_processes(deadly, range(20), retries=1)) == list(range(20))
    (tmp_path / "died").unlink()
    with pytest.raises(plait.WorkerDied):
        list(on_processes(deadly, range(20), chunksize=20))


def test_closing_stops_what_workers_have_begun(tmp_path):
    begun, record = tmp_path / "begun", tmp_path / "record"

    async def work(n):
        if n == 0:
            return n
        begun.touch()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            with open(record, "a") as file:
                file.write("x")

    results = on_processes(work, range(7), chunksize=1, concurrency=5)
    assert next(results) == 0
    until(begun.exists, "the start of a coroutine")
    results.close()
    # The workers are free again, or others stand in for them.
    assert list(on_processes(add_one, range(100))) == list(range(1, 101))
    assert list(on_processes(plain_add_one, range(100))) == list(range(1, 101))


def test_dropping_one_that_nobody_has_looked_at(tmp_path):
    record = tmp_path / "record"

    async def work(n):
        with open(record, "a") as file:
            file.write(f"{os.getpid()}\n")
        await asyncio.sleep(3600)

    results = on_processes(work, range(2), chunksize=1)
    until(lambda: record.exists() and len(record.read_text().split()) == 2, "the start of two coroutines")
    del results
    workers = [int(pid) for pid in record.read_text().split()]
    until(lambda: not any(map(is_alive, workers)), "the end of the workers that ran them")


def test_within_a_worker():
    def work(n):
        return sum(plait.map(add_one, range(n), backend="processes")), sum(plait.map(add_one, range(n)))

    assert list(on_processes(work, [3, 4], chunksize=1)) == [(6, 6), (10, 10)]


def test_the_order_to_stop_ends_a_chunk_wherever_it_strikes():
    """A task catches what a signal raises in its coroutine; it must not pass for that call's failure."""
    from plait._errors import CallStopped

    stopped, ended = [], []

    async def work(n):
        try:
            if n == 3:
                raise CallStopped
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended.append(n)

    try:
        with pytest.raises(CallStopped):
            chunks.Chunk(work, 10, (None, 0))(*[(n,) for n in range(6)])
    finally:
        assert sorted(ended) == list(range(6)), stopped
    # The next chunk has a loop of its own.
    sent = chunks.Chunk(add_one, 10, (None, 0))((1,))
    assert [chunks.arrived(each) for each in sent] == [2]
    chunks._loop.close()
    chunks._loop = None


def test_the_order_to_stop_may_strike_in_the_loop(capfd):
    """An event loop goes on whatever a callback raises, and would only print it."""
    from plait._errors import CallStopped

    ended = []

    def struck():
        raise CallStopped

    async def work(n):
        if n == 3:
            asyncio.get_running_loop().call_soon(struck)
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(n)

    with pytest.raises(CallStopped):
        chunks.Chunk(work, 10, (None, 0))(*[(n,) for n in range(6)])
    assert sorted(ended) == list(range(6))
    assert capfd.readouterr() == ("", "")
    chunks._loop = None


def test_other_errors_in_the_loop_are_shown(caplog):
    def broken():
        raise OSError("a callback of the user's")

    async def work(n):
        asyncio.get_running_loop().call_soon(broken)
        await asyncio.sleep(0.01)
        return n

    sent = chunks.Chunk(work, 10, (None, 0))((1,))
    assert [chunks.arrived(each) for each in sent] == [1]
    assert "a callback of the user's" in caplog.text
    chunks._loop.close()
    chunks._loop = None


def test_bad_input_is_refused_at_once():
    async def numbers():
        yield 1

    with pytest.raises(TypeError, match=r"plait\.amap"):
        on_processes(add_one, numbers())
    with pytest.raises(TypeError, match="not iterable"):
        on_processes(add_one, 5)
