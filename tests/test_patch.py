"""`plait.patch`: the standard library's pools, by names that this module imported before that."""

import asyncio
import concurrent.futures
import gc
import multiprocessing
import multiprocessing.dummy
import multiprocessing.pool
import os
import queue
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.pool import Pool, ThreadPool

import plait
import pytest
from plait._patch import _ledger

CLASSES = (ProcessPoolExecutor, ThreadPoolExecutor, Pool, ThreadPool)


def methods():
    """What the classes define, by name; once served instances that are garbage have gone."""
    gc.collect()
    return [dict(vars(cls)) for cls in CLASSES]


BEFORE = methods()


def square(x):
    return x * x


def add(x, y):
    return x + y


def give_up():
    os._exit(5)


class Counting(ProcessPoolExecutor):
    """Derived before anything was patched."""

    submitted = 0

    def submit(self, fn, /, *args, **kwargs):
        self.submitted += 1
        return super().submit(fn, *args, **kwargs)


class Loud(Pool):
    """A pool with methods of its own."""

    def map(self, func, iterable, chunksize=None):
        return ["loud", *super().map(func, iterable, chunksize)]


class Odd(Pool):
    """A pool with processes of its own."""

    @staticmethod
    def Process(ctx, *args, **kwargs):
        return ctx.Process(*args, **kwargs)


@pytest.fixture
def patch():
    _ledger.forget()
    with plait.patch() as patch:
        yield patch
    assert methods() == BEFORE


def decided():
    """Of each pool so far: its class, whether plait serves it, tasks."""
    return [(entry.face, entry.reason is None, entry.tasks) for entry in _ledger.entries()]


@pytest.mark.parametrize("cls", [ProcessPoolExecutor, ThreadPoolExecutor], ids=lambda cls: cls.__name__)
def test_executors_are_served_and_stay_what_they_are(patch, cls):
    with cls(2) as executor:
        assert type(executor) is cls is getattr(concurrent.futures, cls.__name__)
        assert list(executor.map(square, range(5))) == [0, 1, 4, 9, 16]
        future = executor.submit(add, 1, y=2)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result() == 3
    assert decided() == [(cls.__name__, True, 6)]
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(square, 1)


@pytest.mark.parametrize(
    ("make", "face"),
    [
        (lambda: multiprocessing.Pool(2), "Pool"),
        (lambda: Pool(2), "Pool"),
        (lambda: multiprocessing.get_context("fork").Pool(2), "Pool"),
        (lambda: multiprocessing.get_context("spawn").Pool(2), "Pool"),
        (lambda: ThreadPool(2), "ThreadPool"),
        (lambda: multiprocessing.dummy.Pool(2), "ThreadPool"),
    ],
    ids=["Pool", "pool.Pool", "fork", "spawn", "ThreadPool", "dummy"],
)
def test_pools_are_served_under_every_name(patch, make, face):
    with make() as pool:
        assert isinstance(pool, Pool)
        assert repr(pool) == f"<multiprocessing.pool.{face} state=RUN pool_size=2>"
        assert pool.map(square, range(10)) == [n * n for n in range(10)]
        assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]
        assert pool.apply(add, (1,), {"y": 1}) == 2
        assert pool.apply_async(square, (3,)).get(30) == 9
        assert list(pool.imap(square, iter(range(3)))) == [0, 1, 4]
        assert sorted(pool.imap_unordered(square, range(5), chunksize=2)) == [0, 1, 4, 9, 16]
    assert decided() == [(face, True, 10 + 2 + 1 + 1 + 3 + 5)]


def test_a_class_derived_before_keeps_its_methods(patch):
    with Counting(2) as executor:
        assert list(executor.map(square, range(4))) == [0, 1, 4, 9]
    assert executor.submitted == 4
    with Loud(2) as pool:
        assert isinstance(pool, Loud)
        assert type(pool).__qualname__ == "Loud"
        assert pool.map(square, [3]) == ["loud", 9]
    assert decided() == [("ProcessPoolExecutor", True, 4), ("Pool", True, 1)]


def run_apart(text, **names):
    """Runs a text as a module of its own, since plait reads the one that makes a pool; gives its names."""
    namespace = {"__name__": "apart", **names}
    exec(text, namespace)
    return namespace


BOUNDED = """
import queue
from concurrent.futures import ThreadPoolExecutor

class Bounded(ThreadPoolExecutor):
    def __init__(self, size):
        super().__init__(2)
        self._work_queue = queue.Queue(size)
"""

PEEKING = """
import concurrent.futures

def peek():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        return executor._work_queue.qsize()
"""


def test_what_changes_private_parts_is_left_alone_and_works(patch):
    with run_apart(BOUNDED)["Bounded"](1) as executor:
        assert list(executor.map(square, range(20))) == [n * n for n in range(20)]
        assert isinstance(vars(executor)["_work_queue"], queue.Queue)
    with Odd(2) as pool:
        assert pool.map(square, range(3)) == [0, 1, 4]
    assert decided() == [("ThreadPoolExecutor", False, 0), ("Pool", False, 0)]
    text = patch.report()
    assert "Bounded uses private attributes (_work_queue)" in text
    assert "Odd overrides Process" in text


def test_a_module_that_reads_private_parts_gets_the_real_ones(patch):
    assert run_apart(PEEKING)["peek"]() == 0
    assert decided() == [("ThreadPoolExecutor", False, 0)]


def test_workers_can_be_looked_at(patch):
    with ProcessPoolExecutor(1) as executor:
        pid = executor.submit(os.getpid).result()
        assert list(executor._processes) == [pid]
        assert executor._processes[pid].is_alive()
    with ThreadPoolExecutor(1) as executor:
        executor.submit(int).result()
        assert [thread.is_alive() for thread in executor._threads] == [True]


def test_a_worker_that_dies_breaks_its_own_call_alone(patch):
    with ProcessPoolExecutor(1) as executor:
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            executor.submit(give_up).result()
        assert executor.submit(square, 3).result() == 9


def test_what_cannot_be_sent_fails_when_its_result_is_asked_for(patch):
    with ProcessPoolExecutor(1) as executor:
        future = executor.submit(square, threading.Lock())
        with pytest.raises(TypeError, match="pickle"):
            raise future.exception().__cause__ or future.exception()
        assert executor.submit(square, 2).result() == 4


def test_the_default_executor_of_asyncio_is_served(patch):
    async def main():
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, square, 4), await asyncio.to_thread(square, 5)

    assert asyncio.run(main()) == (16, 25)
    assert decided() == [("ThreadPoolExecutor", True, 2)]


def test_executors_that_were_never_used_are_nobodys(patch):
    ProcessPoolExecutor(2).shutdown()
    with ThreadPoolExecutor(2):
        pass
    assert decided() == []
    assert patch.report() == "plait: pools of this program\n  none\n"


def test_plaits_own_pools_are_not_served_twice(patch):
    with plait.ThreadPoolExecutor(1) as executor, plait.ThreadPool(1) as pool:
        assert executor.submit(square, 2).result() == pool.apply(square, (2,)) == 4
    with plait.Pool(1) as pool:
        assert pool.apply(square, (3,)) == 9
    assert decided() == []


def test_wrong_arguments_are_refused_as_ever(patch):
    for make in (ProcessPoolExecutor, ThreadPoolExecutor, Pool, ThreadPool):
        with pytest.raises(ValueError, match=r"greater than 0|at least 1"):
            make(0)
        with pytest.raises(TypeError, match="initializer must be a callable"):
            make(1, initializer=5)
    with pytest.raises(TypeError):
        ProcessPoolExecutor(1, no_such_argument=1)
    with pytest.raises(ValueError, match="incompatible with"):
        ProcessPoolExecutor(1, multiprocessing.get_context("fork"), max_tasks_per_child=1)


def test_a_pool_outlives_the_patch_that_serves_it():
    with plait.patch():
        executor = ProcessPoolExecutor(1)
        executor.submit(int).result()
        pool = Pool(1)
    try:
        assert executor.submit(square, 5).result() == 25
        assert pool.apply(square, (6,)) == 36
        with Pool(1) as other:
            assert type(other) is Pool
    finally:
        executor.shutdown()
        pool.terminate()
        pool.join()
    del executor
    assert methods() == BEFORE


def test_patches_are_counted():
    first, second = plait.patch(), plait.patch()
    assert repr(first) == "<plait.patch(), in place>"
    first.undo()
    first.undo()
    assert repr(first) == "<plait.patch(), undone>"
    assert methods() != BEFORE
    second.undo()
    assert methods() == BEFORE
    kept = plait.patch()
    plait.patch()
    plait.unpatch()
    assert methods() == BEFORE
    kept.undo()
    plait.unpatch()
    assert methods() == BEFORE
    with plait.patch():
        assert methods() != BEFORE


def test_patching_from_many_threads():
    start = threading.Barrier(8)
    wrong = []

    def work():
        start.wait()
        for _ in range(50):
            with plait.patch(), ThreadPoolExecutor(1) as executor:
                if executor.submit(square, 3).result() != 9:
                    wrong.append(executor)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert methods() == BEFORE


def test_joblib_is_served_and_counted(patch):
    joblib = pytest.importorskip("joblib")
    answers = joblib.Parallel(n_jobs=2)(joblib.delayed(square)(n) for n in range(10))
    # Its workers are kept for the next call.
    sys.modules["plait._joblib.pools"].clear(kept=True)
    assert answers == [n * n for n in range(10)]
    assert decided() == [("joblib.Parallel", True, 10)]
    assert __file__ in patch.report()


def test_what_follows_every_process_of_multiprocessing_is_not_deprived_of_it(patch, monkeypatch):
    begin = multiprocessing.process.BaseProcess._bootstrap

    def follow(self, *args, **kwargs):
        return begin(self, *args, **kwargs)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "_bootstrap", follow)
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(square, 3).result() == 9
    assert decided() == [("ProcessPoolExecutor", False, 0)]
    assert "has changed how multiprocessing's processes begin" in patch.report()


def test_large_data_of_the_program_is_there_and_comes_back_changed(patch, monkeypatch):
    numpy = pytest.importorskip("numpy")
    with ProcessPoolExecutor(1) as executor:
        data = executor.submit(numpy.arange, 300_000).result()
    monkeypatch.setitem(globals(), "DATA", data)
    # The default before Python 3.14.
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert [part.sum() for part in pool.map(part_of_data, [0, 200_000])] == [
            data[:100_000].sum(),
            data[200_000:].sum(),
        ]
        assert pool.apply(changed, (data,))[:2].tolist() == [-1, 1]
    assert data[0] == 0


def part_of_data(start):
    return DATA[start : start + 100_000]  # noqa: F821 - set by the test


def changed(array):
    array[0] = -1
    return array
