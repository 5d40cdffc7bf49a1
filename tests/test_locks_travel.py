"""Locks are the same wherever they get to: by argument, closure, initializer, result and fork."""

import copy
import functools
import multiprocessing
import os
import pickle
import sys

import lockers as l
import plait
import pytest
from outside import PATIENCE, run_program
from plait import _core

pytestmark = pytest.mark.once

ALL = [plait.Lock, plait.RLock, plait.Semaphore, plait.BoundedSemaphore, plait.Event, plait.Condition]


def hold(lock):
    """Whether it is to be had here."""
    return lock.acquire(False)


@pytest.fixture
def held():
    lock = plait.Lock()
    lock.acquire()
    return lock


def test_a_worker_that_was_there_before_the_first_lock_gets_it():
    program = """
import plait, os
with plait.ProcessPoolExecutor(1) as pool:
    before = pool.submit(os.getpid).result()
    lock = plait.Lock()
    lock.acquire()
    assert pool.submit(lock.acquire, False).result() is False
    lock.release()
    assert pool.submit(lock.acquire, False).result() is True
    assert lock.locked() and pool.submit(os.getpid).result() == before
"""
    assert run_program("-c", program).lines == []


def test_arguments_closures_defaults_and_partials(held, processes):
    def default(lock=held):
        return hold(lock)

    assert processes.submit(hold, held).result() is False
    assert processes.submit(lambda: hold(held)).result() is False
    assert processes.submit(default).result() is False
    assert processes.submit(functools.partial(hold, lock=held)).result() is False
    assert list(plait.map(hold, [held] * 3, backend="processes")) == [False] * 3


_given = []


def keep(lock):
    _given.append(lock)


def hold_given():
    return hold(_given[0])


def test_initargs(held):
    with plait.ProcessPoolExecutor(1, initializer=keep, initargs=(held,)) as pool:
        assert pool.submit(hold_given).result() is False
        held.release()
        assert pool.submit(hold_given).result() is True


def hold_below(lock):
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(hold, lock).result(), pool.submit(make).result()


def make():
    lock = plait.Lock()
    lock.acquire()
    return lock


def test_pools_in_workers_and_locks_from_them(held, processes):
    below, made = processes.submit(hold_below, held).result()
    assert below is False
    with pytest.raises(plait.OwnerDied):
        made.acquire()
    assert hold(made)


def test_a_lock_outlives_the_worker_that_made_it():
    with plait.ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        made = [pool.submit(make) for _ in range(3)]
        locks = [future.result() for future in made]
    assert len({lock.__reduce__()[1][2] for lock in locks}) == 3


def test_a_process_of_ones_own(held):
    process = plait.Process(target=hold, args=(held,))
    process.start()
    assert process.join() is False


def give(lock, pipe):
    pipe.send(hold(lock))


def answer(pipe):
    while (lock := pipe.recv()) is not None:
        pipe.send(hold(lock))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessings_processes(held, method):
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe()
    import warnings

    with warnings.catch_warnings():
        # Of forking with threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        started = [
            context.Process(target=give, args=(held, theirs)),
            context.Process(target=answer, args=(theirs,)),
        ]
        started[0].start()
        assert mine.recv() is False
        started[1].start()
    # And by a pipe, when it runs.
    mine.send(held)
    assert mine.recv() is False
    held.release()
    mine.send(held)
    assert mine.recv() is True
    mine.send(None)
    for process in started:
        process.join(PATIENCE)
        assert process.exitcode == 0
    if method == "forkserver":
        multiprocessing.forkserver._forkserver._stop()
    if method != "fork":
        multiprocessing.resource_tracker._resource_tracker._stop()


def test_what_a_forked_child_makes_is_its_own():
    mine = plait.Lock()
    parties = l.Parties("forked", (make_two, None), mine, count=3)
    names = [name for names in parties.results() for name in names]
    assert len(set(names)) == 6


def make_two(other, at):
    locks = [plait.Lock(), plait.Lock()]
    assert all(map(hold, locks))
    return list(map(line_of, locks))


def line_of(lock):
    return lock.__reduce__()[1][2] & 0xFFFFFFFF


def test_what_a_forked_child_has_is_not_given_to_others():
    locks = [plait.Lock()]
    locks[0].acquire()
    # Not `line_of`, by which it would count as sent.
    ready = os.pipe()

    def look():
        assert os.read(ready[0], 1) and locks[0].locked() and not hold(locks[0])

    with l.child(look) as (_, told):
        # The parent lets go of it, and makes others, before the child has used it.
        locks.clear()
        others = [plait.Lock() for _ in range(100)]
        assert not any(other.locked() for other in others)
        assert all(map(hold, others))
        for other in others:
            other.release()
        os.write(ready[1], b".")
        assert os.read(told, 1) == b"."
    for end in ready:
        os.close(end)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_kind_is_pickled_and_copied_as_the_same(kind):
    thing = kind()
    for same in (pickle.loads(pickle.dumps(thing)), copy.copy(thing), copy.deepcopy(thing)):
        assert type(same) is kind
        if kind is plait.Event:
            same.set()
            assert thing.is_set()
            same.clear()
        else:
            assert same.acquire(False)
            thing.release()


def test_a_barrier_keeps_its_action_and_its_time():
    barrier = plait.Barrier(1, action=functools.partial(pow, 2, 3), timeout=5.0)
    same = pickle.loads(pickle.dumps(barrier))
    assert (same.parties, same._timeout, same._action()) == (1, 5.0, 8)


def test_a_million_locks_leave_room_for_more():
    program = """
import pickle, plait
for _ in range(300_000):
    plait.Lock()
for _ in range(30_000):
    pickle.dumps(plait.Lock())
    plait.Condition(), plait.Semaphore(3)
kept = pickle.dumps(plait.Lock())
for _ in range(3_000):
    pickle.dumps(plait.Condition(plait.Lock()))
assert pickle.loads(kept).acquire(False)
"""
    assert run_program("-c", program).lines == []


def test_a_lock_that_cannot_be_reached_says_why():
    arrived, (cls, (identity, places), name) = plait.Lock().__reduce__()
    assert places[0][0] == os.getpid()
    with pytest.raises(plait.PlaitError, match=rf"process {2**22 + 1}, .* has ended, is on another machine"):
        arrived(cls, (identity ^ 1, [(2**22 + 1, 3)]), name)
    with pytest.raises(plait.PlaitError, match="is no more"):
        arrived(cls, (identity, places), name ^ 1 << 40)
    # What the number stands for may be another file by now.
    with open(__file__) as file, pytest.raises(plait.PlaitError, match="cannot be reached"):
        arrived(cls, (identity ^ 1, [(os.getpid(), file.fileno())]), name)


def test_a_program_of_another_person_of_this_machine_gets_it_by_pickle(held):
    program = "import pickle, sys; print(pickle.loads(bytes.fromhex(sys.argv[1])).acquire(False))"
    assert run_program("-c", program, pickle.dumps(held).hex()).lines == ["False"]


def test_where_the_memory_is_said_once():
    plait.Lock()
    identity, places = _core.lock_address()
    assert (identity, places) == _core.lock_address()
    assert places[0][0] == os.getpid() and os.readlink(f"/proc/self/fd/{places[0][1]}").endswith("(deleted)")
    assert sys.getsizeof(plait.Lock()) < 200
