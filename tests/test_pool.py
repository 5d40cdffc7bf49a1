"""`plait.Pool` and `plait.ThreadPool`: what each method gives, and what programs see of one."""

import multiprocessing.pool
import os
import pickle
import threading
import warnings

import plait
import pytest
import workloads as w
from outside import until
from plait._process import default_workers


@pytest.fixture(params=["Pool", "ThreadPool"])
def kind(request):
    return getattr(plait, request.param)


@pytest.fixture
def pool(kind):
    with kind(2) as pool:
        yield pool
    pool.join()


def test_calls(pool):
    assert pool.apply(w.arguments, (1, 2), {"a": 3}) == ((1, 2), {"a": 3})
    assert pool.apply(w.nothing) is None
    assert pool.apply_async(w.arguments, [1], {"a": 3}).get() == ((1,), {"a": 3})


@pytest.mark.parametrize("chunksize", [None, 1, 3, 1000])
def test_maps(pool, chunksize):
    expected = [w.add_one(x) for x in range(100)]
    assert pool.map(w.add_one, range(100), chunksize) == expected
    assert pool.map(w.add_one, (x for x in range(100)), chunksize) == expected
    assert pool.map_async(w.add_one, range(100), chunksize).get() == expected
    pairs = [(x, 1) for x in range(100)]
    assert pool.starmap(w.add, pairs, chunksize) == expected
    assert pool.starmap_async(w.add, pairs, chunksize).get() == expected
    assert list(pool.imap(w.add_one, range(100), chunksize or 1)) == expected
    assert sorted(pool.imap_unordered(w.add_one, range(100), chunksize or 1)) == expected


def test_a_map_longer_than_what_is_sent_at_once(pool):
    expected = [x + 1 for x in range(3000)]
    assert pool.map(w.add_one, range(3000), 1) == expected
    assert pool.starmap(w.add, ((x, 1) for x in range(3000)), 1) == expected


def test_empty_maps(pool):
    assert pool.map(w.add_one, []) == []
    assert pool.starmap(w.add_one, []) == []
    assert list(pool.imap(w.add_one, [])) == []
    assert list(pool.imap_unordered(w.add_one, iter([]))) == []
    result = pool.map_async(w.add_one, [])
    assert result.ready() and result.successful() and result.get(0) == []


def test_what_cannot_be_imported_is_sent():
    base = 5
    with plait.Pool(1) as pool:
        assert pool.map(lambda x: x + base, range(10)) == list(range(5, 15))
        assert list(pool.imap(lambda x: x + base, range(10), 4)) == list(range(5, 15))


def test_results_say_how_far_they_are(pool, gate):
    result = pool.apply_async(w.pass_gate, (gate.folder, "a", 7))
    several = pool.map_async(w.add_one, range(3))
    gate.wait_for("a")
    assert not result.ready()
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    result.wait(0.01)
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.01)
    gate.open()
    result.wait()
    assert result.ready() and result.successful() and result.get() == 7
    several.wait()
    assert several.ready() and several.successful()


def test_a_map_that_is_late(kind, gate):
    with kind(1) as pool:
        result = pool.starmap_async(w.pass_gate, [(gate.folder, "a"), (gate.folder, "b")])
        gate.wait_for("a")
        with pytest.raises(multiprocessing.TimeoutError):
            result.get(0.01)
        result.wait(0.01)
        assert not result.ready()
        with pytest.raises(ValueError, match="not ready"):
            result.successful()
        gate.open()
        assert result.get() == [None, None]


def test_they_are_the_stdlibs_for_whom_asks(pool, kind):
    assert isinstance(pool, multiprocessing.pool.Pool)
    assert isinstance(pool, multiprocessing.pool.ThreadPool) == (kind is plait.ThreadPool)
    assert isinstance(pool.apply_async(w.nothing), multiprocessing.pool.AsyncResult)
    assert isinstance(pool.map_async(w.add_one, []), multiprocessing.pool.AsyncResult)
    assert isinstance(pool.imap(w.add_one, []), multiprocessing.pool.IMapIterator)
    assert issubclass(kind, multiprocessing.pool.Pool)


def test_no_method_is_left_to_the_stdlib(kind):
    for name, member in vars(multiprocessing.pool.Pool).items():
        if callable(member) and not name.startswith("_"):
            assert getattr(kind, name) is not member, name


def test_a_class_of_ones_own(kind):
    class Mine(kind):
        def __init__(self, *args, **kwargs):
            self.made = True
            super().__init__(*args, **kwargs)

    with Mine(1) as pool:
        assert pool.made and pool.map(w.add_one, [1]) == [2]


def test_it_says_what_it_is(kind):
    pool = kind(2)
    assert repr(pool) == f"<plait.{kind.__name__} state=RUN pool_size=2>"
    pool.close()
    assert repr(pool) == f"<plait.{kind.__name__} state=CLOSE pool_size=2>"
    pool.terminate()
    assert repr(pool) == f"<plait.{kind.__name__} state=TERMINATE pool_size=2>"
    pool.join()


@pytest.mark.parametrize("processes", [0, -1])
def test_workers_there_have_to_be(kind, processes):
    with pytest.raises(ValueError, match="Number of processes must be at least 1"):
        kind(processes)


def test_arguments_that_cannot_be(kind):
    with pytest.raises(TypeError, match="initializer must be a callable"):
        kind(1, 5)
    with pytest.raises(TypeError):
        kind("many")


@pytest.mark.parametrize("value", [0, -1, 0.5, "12"])
def test_lifetimes_that_cannot_be(value):
    with pytest.raises(ValueError, match="maxtasksperchild must be a positive int or None"):
        plait.Pool(1, maxtasksperchild=value)


def test_chunks_that_cannot_be(pool):
    for method in (pool.map, pool.starmap, pool.imap, pool.imap_unordered, pool.map_async):
        with pytest.raises(ValueError, match=r"Chunksize must be 1\+, not 0"):
            method(w.add_one, [1], 0)


def test_a_context_is_taken_and_not_needed():
    with plait.Pool(1, context=multiprocessing.get_context("spawn")) as pool:
        assert pool.apply(w.add_one, (1,)) == 2
        assert pool._ctx.get_start_method() == "spawn"


def test_the_default_is_as_many_as_there_are_processors_or_cores(kind):
    with kind() as pool:
        assert pool._processes == (plait.cpu_count() if kind is plait.ThreadPool else default_workers())


def test_more_than_there_can_be_are_as_many_as_there_can_be():
    with plait.Pool(1000) as pool:
        assert pool._processes == 1000
        assert pool.map(w.add_one, range(10)) == list(range(1, 11))


def test_it_is_not_sent(pool, kind):
    with pytest.raises(NotImplementedError, match="pool objects cannot be passed between processes"):
        pickle.dumps(pool)
    if kind is plait.Pool:
        with pytest.raises(NotImplementedError):
            pool.apply(w.identity, (pool,))


def test_one_that_nobody_closed_is_warned_of(kind):
    pool = kind(1)
    result = pool.apply_async(w.add_one, (1,))
    with pytest.warns(ResourceWarning, match="unclosed running multiprocessing pool"):
        del pool
    # What was submitted is done all the same.
    assert result.get() == 2


def test_one_that_was_closed_is_not(kind):
    pool = kind(1)
    pool.apply(w.nothing)
    pool.close()
    pool.join()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del pool


def test_one_that_was_never_made_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError):
            plait.Pool(0)


def test_workers_can_be_looked_at(gate):
    with plait.Pool(3) as pool:
        workers = pool._pool
        assert len({worker.pid for worker in workers}) == 3
        assert all(worker.is_alive() and worker.exitcode is None for worker in workers)
        result = pool.apply_async(w.pass_gate, (gate.folder, "a"))
        [pid] = gate.wait_for("a")
        until(lambda: len(pool._cache) == 1, "one call to be left")
        assert pool._taskqueue.qsize() == 1 and not pool._taskqueue.empty()
        [worker] = [worker for worker in workers if worker.pid == pid]
        worker.terminate()
        with pytest.raises(plait.WorkerDied, match="SIGTERM"):
            result.get()
        assert not pool._cache
        until(lambda: not worker.is_alive(), "the end of the worker")


def test_threads_can_be_looked_at():
    with plait.ThreadPool(3) as pool:
        threads = pool._pool
        assert len(threads) == 3 and all(thread.daemon and thread.is_alive() for thread in threads)
        assert pool.apply(threading.current_thread) in threads
        assert len(pool._cache) == 0
    pool.join()
    assert not any(thread.is_alive() for thread in threads)


def test_workers_are_replaced_after_their_calls():
    with plait.Pool(1, maxtasksperchild=3) as pool:
        pids = [pool.apply(os.getpid) for _ in range(9)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3]


def test_an_initializer_runs_in_each_worker_at_once(tmp_path):
    path = tmp_path / "began"
    with plait.Pool(3, w.append, (str(path), "x")):
        until(lambda: path.exists() and len(path.read_text().split()) == 3, "three initializers")


def test_an_initializer_runs_in_each_thread_at_once():
    began = []
    with plait.ThreadPool(3, lambda mark: began.append((mark, threading.get_ident())), ("x",)):
        until(lambda: len(set(began)) == 3, "three initializers")


def test_what_an_initializer_leaves_is_there_for_calls():
    with plait.Pool(2, w.set_state, ("key", 5)) as pool:
        assert {value for value, *_ in pool.map(w.get_state, ["key"] * 20, 1)} == {5}
