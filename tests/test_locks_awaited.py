"""Coroutines wait for locks without blocking their loop, and lose nothing when they are cancelled."""

import asyncio
import signal
import threading

import lockers as l
import plait
import pytest
from outside import PATIENCE, finish, run_program, start_program


async def begun(*tasks):
    """Let tasks run until they wait."""
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


def test_the_loop_goes_on_while_one_waits():
    async def main():
        lock = plait.Lock()
        lock.acquire()
        waiting = asyncio.create_task(lock.acquire_async(PATIENCE))
        await begun(waiting)
        lock.release()
        assert await waiting
        assert lock.locked()

    asyncio.run(main())


def test_times_are_kept():
    async def main():
        lock, rlock, condition = plait.Lock(), plait.RLock(), plait.Condition()
        lock.acquire()
        rlock.acquire()
        assert not await lock.acquire_async(0.01)
        assert not await rlock.acquire_async(0.01), "a task is another holder than its thread"
        assert not await plait.Semaphore(0).acquire_async(0.01)
        assert not await plait.Event().wait_async(0.01)
        async with condition:
            assert not await condition.wait_async(0.01)
            assert not await condition.wait_for_async(lambda: 0, 0.01)
        with pytest.raises(threading.BrokenBarrierError):
            await plait.Barrier(2).wait_async(0.01)

    asyncio.run(main())


@pytest.mark.parametrize("kind", [plait.Lock, plait.RLock, lambda: plait.Semaphore(1)])
def test_who_is_cancelled_has_nothing(kind):
    async def main():
        lock = kind()
        assert await lock.acquire_async()
        first, second = (asyncio.create_task(lock.acquire_async(PATIENCE)) for _ in range(2))
        await begun(first, second)
        first.cancel()
        release(lock)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second, "the next one has it"

    asyncio.run(main())


def release(lock):
    release = getattr(lock, "release_async", lock.release)
    release()


@pytest.mark.parametrize("kind", [plait.Lock, lambda: plait.Semaphore(1)])
def test_what_comes_with_the_cancellation_goes_back(kind):
    async def main():
        lock = kind()
        for steps in range(30):
            lock.acquire()
            task = asyncio.create_task(lock.acquire_async(PATIENCE))
            await begun(task)
            lock.release()
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                # It came first.
                assert await task
                lock.release()
            except asyncio.CancelledError:
                pass
            assert await asyncio.to_thread(lock.acquire, timeout=PATIENCE), f"lost after {steps} steps"
            lock.release()

    asyncio.run(main())


def test_an_rlock_is_its_tasks():
    async def main():
        lock = plait.RLock()
        async with lock, lock:
            assert lock._recursion_count() == 0, "the thread does not hold it"
            other = asyncio.create_task(lock.acquire_async(0.01))
            assert not await other
            with pytest.raises(RuntimeError, match="another thread, task or process"):
                lock.release()
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.release_async()
        assert not lock.locked()

    asyncio.run(main())


def test_a_condition_has_its_lock_again_when_its_waiter_is_cancelled():
    async def main():
        condition = plait.Condition()
        held = []

        async def wait():
            async with condition:
                try:
                    await condition.wait_async()
                finally:
                    held.append(condition._is_owned())

        task = asyncio.create_task(wait())
        await begun(task)
        async with condition:
            task.cancel()
            await asyncio.sleep(0)
            # It cannot end before it has the lock.
            assert not task.done()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held == [True] and not condition._lock.locked()

    asyncio.run(main())


def test_a_notification_is_passed_on_by_who_is_cancelled():
    async def main():
        condition = plait.Condition()

        async def wait():
            async with condition:
                return await condition.wait_async(PATIENCE)

        first, second = (asyncio.create_task(wait()) for _ in range(2))
        while condition._places.waiting() < 2:
            await asyncio.sleep(0)
        async with condition:
            first.cancel()
            condition.notify(2)
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await second

    asyncio.run(main())


def test_a_coroutine_that_is_cancelled_at_a_barrier_breaks_it():
    async def main():
        barrier = plait.Barrier(3)
        tasks = [asyncio.create_task(barrier.wait_async()) for _ in range(2)]
        await begun(*tasks)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        with pytest.raises(threading.BrokenBarrierError):
            await tasks[1]

    asyncio.run(main())


def test_many_wait_for_one():
    async def main():
        lock, inside = plait.Lock(), []

        async def turn(number):
            async with lock:
                inside.append(number)
                await asyncio.sleep(0)
                assert inside[-1] == number

        await asyncio.gather(*map(turn, range(300)))
        assert sorted(inside) == list(range(300))

    asyncio.run(main())


def test_what_was_waited_for_in_a_loop_that_is_closed_goes_back():
    lock = plait.Lock()
    lock.acquire()
    loop = asyncio.new_event_loop()
    task = loop.create_task(lock.acquire_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    lock.release()
    assert lock.acquire(timeout=PATIENCE)


def test_a_forked_child_has_coroutines_of_its_own():
    async def first():
        await plait.Event().wait_async(0.01)

    asyncio.run(first())
    lock, cells = plait.Lock(), plait.zeros(1, "int64")
    what = (lambda *args: asyncio.run(l.count_async(*args)), None)
    l.Parties("forked", what, lock, cells, count=2).results()
    assert cells[0] == 2 * l.ROUNDS


WAITS = {
    "lock": "lock = plait.Lock(); lock.acquire(); ready(); lock.acquire()",
    "rlock": "lock = plait.RLock(); plait.Thread(target=lock.acquire).start(); ready(); lock.acquire()",
    "semaphore": "s = plait.Semaphore(0); ready(); s.acquire(timeout=100)",
    "event": "e = plait.Event(); ready(); e.wait()",
    "condition": "c = plait.Condition(); c.acquire(); ready(); c.wait()",
    "barrier": "b = plait.Barrier(2); ready(); b.wait()",
    "async": "ready(); asyncio.run(plait.Event().wait_async())",
}


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait(wait):
    program = f"""
import asyncio, plait, threading
def ready(): print("ready", flush=True)
try:
    {WAITS[wait]}
except KeyboardInterrupt:
    print("interrupted")
"""
    program = start_program("-c", program)
    assert program.stdout.readline() == "ready\n"
    program.send_signal(signal.SIGINT)
    assert finish(program).out == "interrupted\n"


def test_nothing_prevents_the_exit():
    program = """
import asyncio, plait, threading
lock = plait.Lock()
lock.acquire()
threading.Thread(target=lock.acquire, daemon=True).start()
async def main():
    waiting = asyncio.create_task(lock.acquire_async())
    await asyncio.sleep(0.05)
asyncio.run(main())
print("end")
"""
    assert run_program("-c", program).lines == ["end"]
