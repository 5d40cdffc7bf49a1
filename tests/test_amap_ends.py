"""`plait.amap`: nothing is left running, however it ends."""

import asyncio
import contextlib
import gc
import itertools

import plait
import pytest
from crowds import ENV, LOOPS, Crowd, Numbers, add_one, listed, passed
from outside import is_alive, run_program, until
from workloads import pass_gate


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine in an event loop of each kind."""
    return LOOPS[request.param]


def test_a_break_cancels_what_was_begun(run):
    crowd = Crowd()

    async def enter(n):
        return n if n == 0 else await crowd.enter(n)

    async def main():
        async for _ in plait.amap(enter, itertools.count(), concurrency=10):
            await passed(lambda: crowd.inside == 10, "ten at a time")
            break
        gc.collect()
        await passed(lambda: crowd.inside == 0, "their end")
        assert crowd.cancelled == crowd.begun
        await passed(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks")

    run(main())


def test_closing_awaits_what_was_begun(run):
    crowd = Crowd()
    numbers = Numbers()

    async def enter(n):
        return n if n == 0 else await crowd.enter(n)

    async def main():
        async with contextlib.aclosing(plait.amap(enter, numbers(), concurrency=10)) as results:
            async for _ in results:
                await passed(lambda: crowd.inside == 10, "ten at a time")
                break
        assert (crowd.inside, numbers.closed) == (0, True)
        assert crowd.cancelled == crowd.begun
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_cancelling_the_consumer_awaits_what_was_begun(run):
    crowd = Crowd()

    async def consume():
        async for _ in plait.amap(crowd.enter, itertools.count(), concurrency=10):
            raise AssertionError("none ends")

    async def main():
        task = asyncio.ensure_future(consume())
        await passed(lambda: crowd.inside == 10, "ten at a time")
        task.cancel()
        # And again, while it waits for them.
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (crowd.inside, crowd.cancelled) == (0, 10)
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_asyncio_timeout_around_it(run):
    crowd = Crowd()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await listed(plait.amap(crowd.enter, itertools.count(), concurrency=10))
        assert crowd.inside == 0 and crowd.cancelled == 10

    run(main())


def test_a_call_that_raises_takes_the_others_along(run):
    crowd = Crowd()

    async def enter(n):
        if n == 5:
            while crowd.inside < 9:
                await asyncio.sleep(0.001)
            raise ValueError(n)
        return await crowd.enter(n)

    async def first_fails():
        async for _ in plait.amap(enter, itertools.count(5), concurrency=10):
            raise AssertionError("the first one fails")

    async def main():
        with pytest.raises(ValueError):
            await first_fails()
        assert crowd.inside == 0 and crowd.cancelled == crowd.begun >= 9

    run(main())


def test_one_that_was_never_begun_leaves_nothing():
    async def main():
        plait.amap(add_one, itertools.count())
        plait.amap(add_one, Numbers()())
        gc.collect()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_closing_takes_back_what_no_worker_has_begun(backend, gate, tmp_path):
    record = tmp_path / "record"

    def work(n):
        if n:
            pass_gate(gate.folder, n)
        with open(record, "a") as file:
            file.write(f"{n} ")
        return n

    async def main():
        results = plait.amap(work, range(20), backend=backend, workers=2)
        assert await anext(results) == 0
        await passed(lambda: {"1", "2"} <= set(gate.entered()), "two calls")
        await results.aclose()

    asyncio.run(main())
    if backend == "processes":
        # They are stopped, and other workers take their place.
        until(lambda: not any(map(is_alive, gate.entered().values())), "the end of both workers")
    gate.open()
    if backend == "threads":
        # They cannot be stopped.
        until(lambda: len(record.read_text().split()) == 3, "the end of both calls")
    else:
        assert record.read_text().split() == ["0"]
    assert sorted(gate.entered()) == ["1", "2"]


def test_ctrl_c_ends_a_program():
    script = """
import asyncio, itertools, os, plait, signal
async def work(n):
    try:
        if n == 9:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        if n == 3:
            print("tidied up")
async def main():
    async for _ in plait.amap(work, itertools.count(), concurrency=10):
        pass
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    assert run_program("-c", script, env=ENV).lines == ["tidied up", "interrupted"]
