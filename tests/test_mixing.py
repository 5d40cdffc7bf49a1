"""Threads, processes and loops together: awaits within awaits exhaust no pool and no default executor."""

import asyncio
import concurrent.futures
import contextvars
import os
import threading

import plait
import pytest
from outside import is_alive, until
from workloads import pass_gate

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest"]


def below(depth):
    return [depth - 1] * 3 if depth else []


def add_up(numbers):
    return 1 + sum(numbers)


async def walk(pool, depth):
    nodes = await pool.submit(below, depth)
    return await pool.submit(add_up, await asyncio.gather(*[walk(pool, node) for node in nodes]))


def walk_waiting(pool, depth):
    futures = [pool.submit(walk_waiting, pool, node) for node in below(depth)]
    return add_up(future.result() for future in futures)


def walk_awaiting(pool, depth):
    async def main():
        counts = await asyncio.gather(*[pool.submit(walk_awaiting, pool, node) for node in below(depth)])
        assert asyncio.get_running_loop()._default_executor is None
        return add_up(counts)

    return asyncio.run(main())


def has_default_executor():
    """Whether the running loop was made to have one."""
    return asyncio.get_running_loop()._default_executor is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_many_coroutines_await_few_workers(pool_face, workers):
    async def main():
        async with pool_face(workers) as pool:
            assert await asyncio.gather(*[walk(pool, 4) for _ in range(5)]) == [121] * 5
        assert not has_default_executor()

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_calls_wait_for_calls_of_their_pool(pool_face, workers):
    async def main():
        async with pool_face(workers) as pool:
            found = await asyncio.gather(*[pool.submit(walk_waiting, pool, 3) for _ in range(4)])
            assert found == [40] * 4
        assert not has_default_executor()

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_calls_await_calls_of_their_pool_in_loops_of_their_own(pool_face, workers):
    with pool_face(workers) as pool:
        found = [pool.submit(walk_awaiting, pool, 3) for _ in range(4)]
        assert [future.result() for future in found] == [40] * 4


def test_a_loop_in_a_pools_thread_awaits_another_pool(pool_face):
    def outer(number):
        async def main():
            return await inner.submit(abs, -number) + await inner.submit(abs, -number)

        return asyncio.run(main())

    with pool_face(1) as inner, plait.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(outer, range(50))) == [2 * number for number in range(50)]


def test_leaving_needs_no_default_executor_whose_threads_are_all_held(pool_face):
    async def main():
        loop = asyncio.get_running_loop()
        free = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as one:
            loop.set_default_executor(one)
            held = loop.run_in_executor(None, free.wait)
            async with pool_face(1) as pool:
                assert await pool.submit(abs, -1) == 1
            # Nobody else lets it go.
            assert not held.done()
            free.set()
            assert await held

    asyncio.run(main())


def test_leaving_within_a_worker_needs_no_default_executor_either(process_face):
    def outer(pool):
        async def main():
            async with pool as same:
                future = same.submit(abs, -1)
            return future.done(), asyncio.get_running_loop()._default_executor

        return asyncio.run(main())

    with process_face(1) as pool:
        assert pool.submit(outer, pool).result() == (True, None)


def test_what_leaving_raises_arrives_and_its_thread_is_gone(monkeypatch):
    class OddPool(plait.ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            seen.append((name.get(), threading.current_thread() is threading.main_thread()))
            super().shutdown(wait, cancel_futures=cancel_futures)
            if len(seen) == 1:
                raise LookupError("shut")

    name = contextvars.ContextVar("name", default="nobody")
    seen = []

    async def main():
        name.set("somebody")
        with pytest.raises(LookupError, match="shut"):
            async with OddPool(1):
                pass

    asyncio.run(main())
    assert seen[0] == ("somebody", False)
    until(lambda: "plait-apart" not in [thread.name for thread in threading.enumerate()], "the thread's end")


def test_a_block_that_is_cancelled_while_it_is_left_gives_its_calls_up(process_face, gate):
    async def main():
        begun = asyncio.Event()

        async def use():
            async with process_face(1) as pool:
                future = pool.submit(pass_gate, gate.folder, "call")
                await asyncio.to_thread(gate.wait_for, "call")
                begun.set()
            return future

        task = asyncio.create_task(use())
        await begun.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    [pid] = gate.wait_for("call")
    until(lambda: not is_alive(pid), "the worker's end")


def test_cancelling_who_awaits_cancels_all_calls_below(process_face, gate):
    async def main():
        async with process_face(2) as pool:

            async def one(name):
                await pool.submit(pass_gate, gate.folder, name)

            async def all_of_them():
                async with asyncio.TaskGroup() as group:
                    for name in range(6):
                        group.create_task(one(name))

            task = asyncio.create_task(all_of_them())
            while len(gate.entered()) < 2:
                await asyncio.sleep(0.005)
            running = gate.entered()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The gate is closed: these are served because those were stopped.
            assert await asyncio.gather(*[pool.submit(abs, -n) for n in range(4)]) == list(range(4))
            until(lambda: not any(map(is_alive, running.values())), "the end of the calls")
        assert not has_default_executor()

    asyncio.run(main())


def test_a_failure_in_a_group_stops_the_call_that_its_sibling_awaits(process_face, gate):
    async def main():
        async with process_face(2) as pool:

            async def hold():
                await pool.submit(pass_gate, gate.folder, "held")

            async def fail():
                while not gate.entered():
                    await asyncio.sleep(0.005)
                await pool.submit(int, "no number")

            with pytest.raises(ExceptionGroup) as raised:
                async with asyncio.TaskGroup() as group:
                    group.create_task(hold())
                    group.create_task(fail())
            assert [type(error) for error in raised.value.exceptions] == [ValueError]
            # The gate is closed.
            [held] = gate.entered().values()
            until(lambda: not is_alive(held), "the end of the call")
            assert await pool.submit(abs, -1) == 1

    asyncio.run(main())


def test_a_callback_in_a_thread_hands_over_to_the_loop(pool):
    """From futures to a loop without awaiting them: each end arrives, in the loop's thread."""

    async def main():
        loop = asyncio.get_running_loop()
        arrived = asyncio.Queue()

        def hand_over(future):
            loop.call_soon_threadsafe(arrived.put_nowait, future.result())

        for number in range(100):
            pool.submit(abs, -number).add_done_callback(hand_over)
        assert sorted([await arrived.get() for _ in range(100)]) == list(range(100))

    asyncio.run(main())


def test_threads_ask_a_loop_that_awaits_them():
    async def main():
        loop = asyncio.get_running_loop()
        asked = []

        async def answer(number):
            asked.append(threading.current_thread() is threading.main_thread())
            await asyncio.sleep(0)
            return 10 * number

        def ask(number):
            return asyncio.run_coroutine_threadsafe(answer(number), loop).result() + 1

        async with plait.ThreadPoolExecutor(2) as pool:
            found = await asyncio.gather(*[pool.submit(ask, number) for number in range(20)])
        assert found == [10 * number + 1 for number in range(20)]
        assert asked == [True] * 20 and not has_default_executor()

    asyncio.run(main())


def test_threads_within_worker_processes(process_face, tmp_path):
    def meet(name):
        # Ends only if all of them run at the same time.
        (tmp_path / f"{os.getpid()}-{name}").touch()
        until(lambda: len(list(tmp_path.glob(f"{os.getpid()}-*"))) == 4, "the other threads")
        return os.getpid(), threading.get_ident()

    def outer(_):
        return list(plait.map(meet, range(4), backend="threads", workers=4))

    with process_face(1) as pool:
        found = pool.submit(outer, None).result()
    assert len({pid for pid, _ in found}) == 1 and found[0][0] != os.getpid()
    assert len({thread for _, thread in found}) == 4
