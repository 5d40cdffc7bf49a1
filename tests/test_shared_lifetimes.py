"""Shared memory lives as long as anybody refers to it, in whichever process, and no longer.

Every test writes through more memory before it looks again, so that memory given back too early would show.
"""

import gc
import os
import signal

import numpy as np
import parcels as p
import plait
import pytest
import sharing as s
import workloads as w
from conftest import Gate
from outside import is_alive, run_program, until

pytestmark = pytest.mark.once

LARGE = 32 << 20
TIMES = 5


@pytest.fixture
def worker():
    """A pool of one worker that need not import NumPy first."""
    with plait.ProcessPoolExecutor(1, preload=["numpy"]) as pool:
        yield pool


def churn(pool):
    """Uses memory of all sizes, with other contents."""
    for n in (1_000, 70_000, 3_000_000):
        assert p.is_filled(pool.submit(w.identity, p.filled(n, 0xBB)).result(), 0xBB)
        assert (pool.submit(s.new_zeros, n, 7).result() == 7).all()
        assert (plait.full(n, 8.0) == 8).all()


def large(value=1):
    """Shared memory with something on each page."""
    return plait.full(LARGE, value, "u1")


def stays_flat(once):
    """Does something again and again: when the memory is warm, it is not more than it was."""
    once()
    once()
    before = s.commons()
    for _ in range(TIMES):
        once()
    until(
        lambda: s.commons() <= before + LARGE * 3 // 2,
        lambda: f"memory to come back: {s.commons() >> 20} MiB, {before >> 20} MiB before",
    )


def kill(pid):
    """Kills a worker, and waits for its end."""
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "the end of the worker")


def test_shared_memory_is_counted():
    arrays = [large() for _ in range(TIMES)]
    assert s.commons() >= TIMES * LARGE
    assert all(p.is_filled(array, 1) for array in arrays)


# --- who keeps it


def test_the_parent_alone():
    stays_flat(large)


def test_a_view_keeps_the_memory(worker):
    def once():
        array = large()
        view = array[5::1000]
        del array
        churn(worker)
        assert p.is_filled(view, 1)

    stays_flat(once)


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[::2]], ids=["all", "a view"])
def test_a_worker_keeps_what_the_parent_drops(worker, view):
    def once():
        array = large()
        worker.submit(p.keep, "array", view(array)).result()
        array[:] = 5
        del array
        churn(worker)
        assert worker.submit(p.kept_is_filled, "array", 5).result()
        back = worker.submit(p.kept, "array").result()
        worker.submit(p.forget).result()
        churn(worker)
        assert p.is_filled(back, 5)

    stays_flat(once)


def test_the_parent_keeps_what_the_worker_drops(worker):
    def once():
        array = large()
        worker.submit(p.keep, "array", array).result()
        worker.submit(p.forget).result()
        churn(worker)
        assert p.is_filled(array, 1)

    stays_flat(once)


def test_a_worker_keeps_what_it_made(worker):
    def once():
        worker.submit(lambda: p.keep("array", large(3))).result()
        churn(worker)
        back = worker.submit(p.kept, "array").result()
        worker.submit(p.forget).result()
        churn(worker)
        assert p.is_filled(back, 3)

    stays_flat(once)


def test_what_a_worker_made_outlives_it():
    with plait.ProcessPoolExecutor(1, preload=["numpy"]) as other:

        def once():
            with plait.ProcessPoolExecutor(1, preload=["numpy"]) as pool:
                array = pool.submit(s.new_zeros, LARGE // 8, 3).result()
                part = pool.submit(s.half, pool.submit(s.new_zeros, 100_000, 4).result()).result()
            churn(other)
            assert (array == 3).all() and (part == 4).all()
            assert other.submit(s.write, array, 5).result() and other.submit(s.write, part, 6).result()
            assert (array == 5).all() and (part == 6).all()

        stays_flat(once)


def test_what_a_worker_made_outlives_its_violent_end(worker):
    def once():
        pid = worker.submit(w.pid).result()
        array = worker.submit(s.new_zeros, LARGE // 8, 3).result()
        kill(pid)
        assert worker.submit(w.add_one, 1).result() == 2
        churn(worker)
        assert (array == 3).all()
        assert worker.submit(s.write, array[::2], 4).result()
        assert array[:2].tolist() == [4, 3]

    stays_flat(once)


def test_a_killed_worker_gives_back_what_it_kept(worker):
    def once():
        array = large()
        pid = worker.submit(p.keep, "array", array).result()
        worker.submit(lambda: p.keep("own", large(2))).result()
        del array
        kill(pid)
        assert worker.submit(w.add_one, 1).result() == 2

    stays_flat(once)


def test_a_worker_killed_while_it_writes_leaves_the_array(worker, gate):
    array = plait.zeros(100_000)

    def write_and_wait(array, folder):
        array[:] = 2
        w.pass_gate(folder, "a")

    running = worker.submit(write_and_wait, array, gate.folder)
    [pid] = gate.wait_for("a")
    kill(pid)
    assert isinstance(running.exception(), plait.WorkerDied)
    churn(worker)
    assert (array == 2).all()
    assert worker.submit(s.write, array, 3).result()
    assert (array == 3).all()


def test_a_task_that_raises_keeps_nothing(worker):
    def fails(array):
        array[0] = 9
        raise ValueError("after it wrote")

    def once():
        array = large()
        with pytest.raises(ValueError, match="after it wrote"):
            worker.submit(fails, array).result()
        assert array[0] == 9
        del array
        # The traceback that was caught has the frames.
        gc.collect()

    stays_flat(once)


def test_an_array_that_waits_in_the_queue_is_kept(worker, gate):
    worker.submit(w.pass_gate, gate.folder, "a")
    gate.wait_for("a")
    futures = [worker.submit(np.sum, plait.full(100_000, float(n))) for n in range(20)]
    churned = [plait.full(100_000, -1.0) for n in range(20)]
    gate.open()
    assert [future.result() for future in futures] == [100_000.0 * n for n in range(20)]
    assert all((array == -1).all() for array in churned)


def test_calls_that_are_cancelled_keep_nothing(worker, tmp_path):
    folders = iter(range(100))

    def once():
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        with Gate(folder) as gate:
            worker.submit(w.pass_gate, gate.folder, "a")
            gate.wait_for("a")
            assert worker.submit(np.sum, large()).cancel()
        worker.submit(w.nothing).result()

    stays_flat(once)


def test_results_that_nobody_fetches_come_back(worker):
    def once():
        worker.submit(s.new_zeros, LARGE // 8, 1)
        worker.submit(w.nothing).result()

    stays_flat(once)


def test_many_small_arrays_come_back(worker):
    def once():
        arrays = [plait.full(5_000, float(n)) for n in range(800)]
        sums = list(worker.map(np.sum, arrays))
        assert sums == [5_000.0 * n for n in range(800)]
        made = list(worker.map(s.new_zeros, [5_000] * 800, range(800)))
        assert all((array == n).all() for n, array in enumerate(made))

    stays_flat(once)


# --- forks and exits


def test_a_forked_child_sees_the_array_and_leaves_it_to_its_parent():
    script = """
import os
import plait
array = plait.zeros(100_000)
child = os.fork()
if child == 0:
    array[:] = 3
    view = array[::2]
    del array, view
    own = plait.full(100_000, 9.0)
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(own.fill, 1).result()
        print("child", pool.submit(sum, own[:4]).result(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", array[0], array[-1])
new = plait.full(100_000, 5.0)
print((array == 3).all())
with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(sum, array[:10:2]).result())
"""
    child, *parent = run_program("-c", script).lines
    assert child == "child 4.0"
    assert parent == ["parent 3.0 3.0", "True", "15.0"]


def test_a_program_may_end_with_shared_arrays():
    script = """
import plait
array = plait.zeros(100_000)
kept = []
pool = plait.ProcessPoolExecutor(1)
kept.append(pool.submit(lambda a: a[::2], array).result())
kept.append(pool.submit(lambda: plait.full(1000, 2.0)).result())
print(kept[0].sum(), kept[1].sum())
"""
    assert run_program("-c", script).lines == ["0.0 2000.0"]


def test_a_worker_outlived_by_a_shared_array_of_its_own_pool():
    script = """
import plait

def outer():
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(plait.full, 1000, 2.0).result()

with plait.ProcessPoolExecutor(1) as pool:
    made = pool.submit(outer).result()
print(made.sum())
"""
    assert run_program("-c", script).lines == ["2000.0"]
