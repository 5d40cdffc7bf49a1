"""Holders and waiters that are killed: the next ones go on, and are told."""

import asyncio
import os
import signal
import threading

import lockers as l
import plait
import pytest
from outside import PATIENCE, until

pytestmark = pytest.mark.once

LOCKS = [plait.Lock, plait.RLock]


@pytest.fixture(params=LOCKS)
def lock(request):
    return request.param()


def test_the_next_is_told_and_the_lock_is_free(lock):
    with l.done(lock.acquire) as pid:
        assert lock.locked()
        l.kill(pid)
        entered = False
        with pytest.raises(plait.OwnerDied, match=f"process {pid} died") as told, lock:
            entered = True
        assert told.value.pid == pid and not entered
        assert not lock.locked()
    with lock:
        assert lock.locked()
    with lock:
        pass


def test_who_waits_is_told_and_nobody_else(lock):
    told, got = [], []

    def wait():
        try:
            got.append(lock.acquire(timeout=PATIENCE))
            lock.release()
        except plait.OwnerDied as error:
            told.append(error.pid)

    with l.done(lock.acquire) as pid:
        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        l.kill(pid)
        for thread in threads:
            thread.join(PATIENCE)
        assert (told, got) == ([pid], [True, True])


def test_a_coroutine_is_told(lock):
    async def wait():
        with pytest.raises(plait.OwnerDied):
            await lock.acquire_async(PATIENCE)
        assert not lock.locked()
        async with lock:
            pass

    async def main(pid):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        l.kill(pid)
        await waiting

    with l.done(lock.acquire) as pid:
        asyncio.run(main(pid))


def die_with(lock):
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_with_it_does_not_stop_the_others(lock):
    with plait.ProcessPoolExecutor(2) as pool:
        dying = pool.submit(die_with, lock)
        with pytest.raises(plait.WorkerDied):
            dying.result()
        with pytest.raises(plait.OwnerDied):
            lock.acquire()
        assert pool.submit(l.count, lock, [0], 7).result() == 7


def test_who_waits_and_dies_takes_no_turn(lock):
    here = plait.Semaphore(0)

    def wait():
        here.release()
        lock.acquire()

    lock.acquire()
    with l.child(wait) as (pid, _):
        assert here.acquire(timeout=PATIENCE)
        l.kill(pid)
        lock.release()
        assert lock.acquire(timeout=PATIENCE)
        lock.release()


def test_the_permits_of_the_dead_come_back():
    permits = plait.BoundedSemaphore(3)
    permits.acquire()

    def take():
        permits.acquire()
        permits.acquire()

    with l.done(take) as pid:
        assert not permits.acquire(False)
        l.kill(pid)
        assert permits.acquire(timeout=PATIENCE) and permits.acquire(timeout=PATIENCE)
        assert permits._value == 0
    permits.release(3)


def test_an_event_forgets_nobody():
    event = plait.Event()
    with l.done(event.set) as pid:
        l.kill(pid)
        assert event.is_set() and event.wait(PATIENCE)


def test_the_notification_of_a_dead_one_goes_to_the_next():
    condition, here = plait.Condition(), plait.Semaphore(0)

    def wait():
        with condition:
            here.release()
            assert condition.wait(PATIENCE)

    with condition, l.child(wait) as (pid, _):
        # Where the child is cannot have been reached without the lock.
        condition.release()
        assert here.acquire(timeout=PATIENCE)
        condition.acquire()
        thread = threading.Thread(target=wait)
        thread.start()
        condition.release()
        assert here.acquire(timeout=PATIENCE)
        condition.acquire()
        # The child waits for longer. It cannot go on while this holds the lock.
        condition.notify()
        l.kill(pid)
        condition.release()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        condition.acquire()


def test_out_of_a_wait_the_lock_is_held():
    condition, here = plait.Condition(), plait.Semaphore(0)
    told = []

    def notify():
        here.acquire()
        with condition:
            condition.notify()
            here.release()
            signal.pause()

    def wait():
        with condition:
            here.release()
            try:
                condition.wait(PATIENCE)
            except plait.OwnerDied:
                told.append(condition._is_owned())

    with l.child(notify) as (pid, _):
        thread = threading.Thread(target=wait)
        thread.start()
        # The child has the lock, and has notified.
        until(lambda: condition._lock.locked() and not condition._places.waiting() and here._value, "it")
        l.kill(pid)
        thread.join(PATIENCE)
    assert told == [True]
    assert condition.acquire(timeout=PATIENCE)


def test_a_barrier_breaks_when_one_dies_at_it():
    barrier = plait.Barrier(3)
    broken = []

    def wait():
        try:
            barrier.wait(PATIENCE)
        except threading.BrokenBarrierError:
            broken.append(True)

    with l.child(barrier.wait) as (pid, _):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: barrier.n_waiting == 2, "both")
        l.kill(pid)
        thread.join(PATIENCE)
        assert broken == [True] and barrier.broken
        barrier.reset()
        assert not barrier.broken


def test_many_deaths_leave_every_lock_usable():
    lock, permits = plait.Lock(), plait.BoundedSemaphore(2)

    def play():
        while True:
            try:
                with lock, permits:
                    pass
            except plait.OwnerDied:
                pass

    for _ in range(20):
        with l.child(play) as (one, _), l.child(play) as (two, _):
            os.sched_yield()
            l.kill(one)
            l.kill(two)
        try:
            assert lock.acquire(timeout=PATIENCE)
        except plait.OwnerDied:
            assert lock.acquire(timeout=PATIENCE)
        lock.release()
        until(lambda: permits._value == 2, "the permits of the dead")
