"""Locks and their kin do what they are for: in threads, processes, forked children and coroutines."""

import math
import threading

import lockers as l
import plait
import pytest
from outside import PATIENCE, until


@pytest.fixture(params=[*l.KINDS, "mixed"])
def kind(request):
    return request.param


@pytest.fixture
def cells():
    """Numbers that all see, and nobody guards."""
    return plait.zeros(8, "int64")


def test_one_has_a_lock_at_a_time(kind, cells):
    parties = l.Parties(kind, l.COUNT, plait.Lock(), cells)
    assert parties.results() == list(range(parties.count))
    assert cells[0] == parties.count * l.ROUNDS


def test_an_rlock_is_acquired_again_by_its_holder(kind, cells):
    parties = l.Parties(kind, l.COUNT_AGAIN, plait.RLock(), cells)
    parties.results()
    assert cells[0] == parties.count * l.ROUNDS


@pytest.mark.parametrize("semaphore", [plait.Semaphore, plait.BoundedSemaphore])
def test_so_many_have_a_semaphore_at_a_time(kind, cells, semaphore):
    permits = semaphore(2)
    l.Parties(kind, l.CROWD, permits, plait.Lock(), cells).results()
    assert cells[0] == 0 and 1 <= cells[1] <= 2
    assert permits._value == 2


def test_all_hear_an_event(kind):
    event, here = plait.Event(), plait.Semaphore(0)
    parties = l.Parties(kind, l.HEAR, event, here)
    for _ in range(parties.count):
        assert here.acquire(timeout=PATIENCE)
    event.set()
    assert parties.results() == [True] * parties.count


def test_each_notification_is_for_one(kind, cells):
    condition, here = plait.Condition(), plait.Semaphore(0)
    parties = l.Parties(kind, l.CONSUME, condition, cells, here)
    for _ in range(parties.count):
        assert here.acquire(timeout=PATIENCE)
    for _ in range(parties.count):
        with condition:
            cells[0] += 1
            condition.notify()
    assert parties.results() == [True] * parties.count
    assert cells[0] == 0


def test_all_meet_at_a_barrier(kind, cells):
    barrier = plait.Barrier(4 if kind == "mixed" else 3)
    results = l.Parties(kind, l.MEET, barrier, cells).results()
    for indices in zip(*results):
        assert sorted(indices) == list(range(barrier.parties))
    assert barrier.n_waiting == 0 and not barrier.broken


def test_notify_all_lets_all_go():
    condition, here, gone = plait.Condition(plait.Lock()), plait.Semaphore(0), []

    def wait():
        with condition:
            here.release()
            gone.append(condition.wait(PATIENCE))

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert here.acquire(timeout=PATIENCE)
    with condition:
        condition.notify_all()
    for thread in threads:
        thread.join(PATIENCE)
    assert gone == [True] * 4


def test_a_wait_that_nobody_ends_ends_with_its_time():
    lock = plait.Lock()
    with lock:
        assert not lock.acquire(timeout=0.01) and not lock.acquire(False)
    assert not plait.Semaphore(0).acquire(timeout=0.01)
    assert not plait.Event().wait(0.01)
    with plait.Condition() as _, (condition := plait.Condition()):
        assert not condition.wait(0.01)
        assert not condition.wait_for(lambda: 0, 0.01)
    with pytest.raises(threading.BrokenBarrierError):
        plait.Barrier(2).wait(0.01)


def test_the_last_to_come_calls_the_action():
    called = []
    barrier = plait.Barrier(2, action=lambda: called.append(threading.get_ident()))
    thread = threading.Thread(target=barrier.wait)
    thread.start()
    until(lambda: barrier.n_waiting == 1, "the other")
    barrier.wait(PATIENCE)
    thread.join(PATIENCE)
    assert called == [threading.get_ident()]


def test_a_condition_is_locked_as_its_lock_is():
    condition = plait.Condition()
    assert not condition.locked()
    with condition:
        assert condition.locked()
    assert not condition.locked()


def test_what_is_wrong_is_said():
    with pytest.raises(RuntimeError, match="unlocked lock"):
        plait.Lock().release()
    with pytest.raises(RuntimeError, match="un-acquired lock"):
        plait.RLock().release()
    with pytest.raises(ValueError, match="non-blocking"):
        plait.Lock().acquire(False, 1)
    with pytest.raises(ValueError, match="non-negative"):
        plait.Lock().acquire(timeout=-2)
    with pytest.raises(OverflowError):
        plait.Event().wait(1e100)
    with pytest.raises(ValueError, match="number of seconds"):
        plait.Event().wait(math.nan)
    for permits in (-1, 2**31):
        with pytest.raises(ValueError, match="initial value"):
            plait.Semaphore(permits)
    with pytest.raises(ValueError, match="too many"):
        plait.BoundedSemaphore(1).release()
    with pytest.raises(ValueError, match="one or more"):
        plait.Semaphore(1).release(0)
    with pytest.raises(ValueError, match="parties"):
        plait.Barrier(0)
    with pytest.raises(TypeError, match=r"plait\.Lock or plait\.RLock"):
        plait.Condition(threading.Lock())
    with pytest.raises(RuntimeError, match="un-acquired lock"):
        plait.Condition().wait()
    with pytest.raises(RuntimeError, match="un-acquired lock"):
        plait.Condition().notify()


def test_a_thread_does_not_release_the_rlock_of_another():
    lock, said = plait.RLock(), []

    def release():
        try:
            lock.release()
        except RuntimeError as error:
            said.append(str(error))

    with lock:
        thread = threading.Thread(target=release)
        thread.start()
        thread.join(PATIENCE)
    assert "another thread" in said[0]


def test_a_threadings_condition_takes_plaits_locks():
    for lock in (plait.Lock(), plait.RLock()):
        condition = threading.Condition(lock)
        with condition:
            assert not condition.wait(0.01)
            condition.notify()
