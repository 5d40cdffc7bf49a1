"""A cell that was made with a lock takes it along, and it is the same lock wherever the cell gets to."""

import functools
import os
import signal

import plait
import pytest
from outside import run_program, until

EACH = 200


def is_free(cell):
    """Whether its lock is to be had here; what got it lets go."""
    lock = cell.get_lock()
    if not lock.acquire(False):
        return False
    lock.release()
    return True


def in_three_steps(cell, times=EACH):
    for _ in range(times):
        with cell.get_lock():
            seen = cell.value
            os.sched_yield()
            cell.value = seen + 1


@pytest.fixture(
    params=[lambda lock: plait.Value(int, lock=lock), lambda lock: plait.Array(float, 3, lock=lock)]
)
def made(request):
    return request.param


@pytest.fixture
def held(made):
    """A cell whose lock this program holds."""
    cell = made(True)
    with cell.get_lock():
        yield cell


@pytest.fixture
def pool():
    with plait.ProcessPoolExecutor(2) as pool:
        yield pool


@pytest.mark.parametrize("without", [{}, {"lock": None}, {"lock": False}])
def test_without_a_lock_there_is_none_to_get(without):
    for cell in (plait.Value(int, **without), plait.Array(int, 2, **without)):
        with pytest.raises(ValueError, match=r"was made without a lock: pass lock=True, .*add\(\)"):
            cell.get_lock()


def test_true_makes_an_rlock(made):
    cell = made(True)
    assert type(cell.get_lock()) is plait.RLock and cell.get_lock() is cell.get_lock()
    with cell.get_lock(), cell.get_lock():
        pass


@pytest.mark.parametrize("kind", [plait.Lock, plait.RLock, plait.Semaphore])
def test_a_lock_of_ones_own(made, kind):
    lock = kind()
    assert made(lock).get_lock() is lock


@pytest.mark.parametrize("wrong", [1, 0, "lock", object()])
def test_what_is_no_lock_is_refused(made, wrong):
    with pytest.raises(TypeError, match=r"lock= takes True, False or a lock, such as a plait\.Lock"):
        made(wrong)


def test_as_an_argument(held, pool):
    assert pool.submit(is_free, held).result() is False
    assert pool.submit(is_free, cell=held).result() is False
    assert pool.submit(lambda tree: is_free(tree["cells"][0]), {"cells": [held]}).result() is False
    held.get_lock().release()
    assert pool.submit(is_free, held).result() is True
    held.get_lock().acquire()


def test_in_closures_partials_and_defaults(held, pool):
    def default(cell=held):
        return is_free(cell)

    assert pool.submit(lambda: is_free(held)).result() is False
    assert pool.submit(functools.partial(is_free, held)).result() is False
    assert pool.submit(default).result() is False


_mine = None


def keep(cell):
    global _mine
    _mine = cell


def mine_is_free():
    return is_free(_mine)


def test_in_initargs(held):
    with plait.ProcessPoolExecutor(1, initializer=keep, initargs=(held,)) as pool:
        assert pool.submit(mine_is_free).result() is False
        held.get_lock().release()
        assert pool.submit(mine_is_free).result() is True
        held.get_lock().acquire()


def test_in_forked_children(held):
    for expected in (False, True):
        child = os.fork()
        if not child:
            os._exit(10 + is_free(held))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10 + expected
        (held.get_lock().acquire if expected else held.get_lock().release)()


def test_in_a_process_and_a_thread_of_ones_own(held):
    for kind in (plait.Process, plait.Thread):
        one = kind(target=is_free, args=(held,))
        one.start()
        assert one.join() is False


def test_with_a_result(made, pool):
    """One that a worker made, and one that comes back."""
    cell = pool.submit(made, True).result()
    with cell.get_lock():
        again = pool.submit(lambda: cell).result()
        assert pool.submit(is_free, cell).result() is pool.submit(is_free, again).result() is False
    assert pool.submit(is_free, again).result() is True


def test_two_cells_with_one_lock(pool):
    lock = plait.Lock()
    cells = [plait.Value(int, lock=lock), plait.Array(int, 2, lock=lock)]
    with lock:
        assert list(pool.map(is_free, cells)) == [False, False]
    assert pool.submit(lambda first, second: first.get_lock() is second.get_lock(), *cells).result() is True


def test_no_step_is_lost_behind_it():
    """Calls on processes and on threads, which begin when all are there."""
    counter, begun = plait.Value(int, lock=True), plait.Value(int)

    def work():
        begun.add()
        until(lambda: begun.value == 4, "the others to begin")
        in_three_steps(counter)

    with plait.ProcessPoolExecutor(2) as processes, plait.ThreadPoolExecutor(2) as threads:
        for future in [pool.submit(work) for pool in (processes, processes, threads, threads)]:
            future.result()
    assert counter.value == 4 * EACH


def test_a_holder_that_dies_leaves_it_to_the_next(made):
    cell, holds = made(True), plait.Value(bool)

    def hold_for_ever():
        cell.get_lock().acquire()
        holds.value = True
        signal.pause()

    with plait.ProcessPoolExecutor(1) as pool:
        future = pool.submit(hold_for_ever)
        until(lambda: holds.value, "the worker to hold the lock")
        # On a busy machine its call begins before its start is told.
        [worker] = until(lambda: pool.stats().workers, "word of the worker")
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(plait.OwnerDied), cell.get_lock():
            pass
        assert isinstance(future.exception(), plait.WorkerDied)
        assert pool.submit(is_free, cell).result() is True


@pytest.mark.once
def test_a_coroutine_awaits_it_while_a_worker_has_it():
    script = """
import asyncio
import plait

accounts, holds = plait.Array(float, [10.0, 0.0], lock=True), plait.Value(bool)

def move(amount, may_end):
    with accounts.get_lock():
        holds.value = True
        accounts[0] -= amount
        may_end.wait()
        accounts[1] += amount

async def main():
    may_end = plait.Event()
    async with plait.ProcessPoolExecutor(1) as pool:
        moving = pool.submit(move, 4.0, may_end)
        while not holds.value:
            await asyncio.sleep(0.001)
        asyncio.get_running_loop().call_soon(may_end.set)
        async with accounts.get_lock():
            print(list(accounts))
        await moving

asyncio.run(main())
"""
    assert run_program("-c", script).lines == ["[6.0, 4.0]"]
