"""Workers of served pools have what those of the standard library's pools would have.

They are forks of the program, or processes that have imported its main script.
"""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.pool import Pool

import parcels
import plait
import pytest
from outside import run_program, until

pytestmark = pytest.mark.once

# Locks of spawned processes need it; it lives as long as this process.
resource_tracker.ensure_running()


# What is tested here is the default before Python 3.14.
@pytest.fixture(autouse=True)
def fork():
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("fork", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


LOCK = None
STATE = "as imported"


@pytest.fixture(autouse=True)
def patch():
    with plait.patch() as patch:
        yield patch


def read_state(_=None):
    return STATE


def read_attribute(name):
    return getattr(parcels, name, None)


def keep(lock):
    global LOCK
    LOCK = lock


def locked(_):
    with LOCK:
        return os.getpid()


def put(value):
    LOCK.put(value)


def set_state(value):
    global STATE
    STATE = value


def who(_=None):
    me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
    return me.name, me._identity, me.daemon, parent.pid, parent.is_alive()


def make_pool(_):
    with Pool(1) as pool:
        return pool.apply(os.getpid)


def write_to(fd):
    return os.write(fd, b"from a worker")


def ignores(number):
    return signal.getsignal(number) is signal.SIG_IGN


def test_globals_of_modules_are_those_of_the_moment_the_pool_is_made(monkeypatch):
    monkeypatch.setattr(parcels, "made_up", "set at run time", raising=False)
    monkeypatch.setitem(globals(), "STATE", "changed")
    with Pool(2) as pool:
        monkeypatch.setitem(globals(), "STATE", "too late")
        monkeypatch.setattr(parcels, "made_up", "too late")
        assert set(pool.map(read_state, range(8))) == {"changed"}
        assert pool.map(read_attribute, ["made_up"]) == ["set at run time"]


def test_executors_fork_at_their_first_call(monkeypatch):
    with ProcessPoolExecutor(2) as executor:
        monkeypatch.setitem(globals(), "STATE", "changed")
        assert executor.submit(read_state).result() == "changed"
        monkeypatch.setitem(globals(), "STATE", "too late")
        assert set(executor.map(read_state, range(8))) == {"changed"}


def test_an_initializer_needs_no_pickle():
    lock = threading.Lock()

    def initializer(value, lock):
        with lock:
            set_state(value)

    with Pool(2, initializer, ("by the initializer", lock)) as pool:
        assert set(pool.map(read_state, range(8))) == {"by the initializer"}
    with ProcessPoolExecutor(2, initializer=lambda: set_state("by a lambda")) as executor:
        assert executor.submit(read_state).result() == "by a lambda"
    assert STATE == "as imported"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_locks_and_queues_go_to_the_initializer(method):
    context = multiprocessing.get_context(method)
    with context.Pool(2, keep, (context.Lock(),)) as pool:
        assert len(pool.map(locked, range(20), chunksize=1)) == 20
    values = context.Queue()
    with context.Pool(1, keep, (values,)) as pool:
        pool.map(put, range(3), chunksize=1)
        assert [values.get(timeout=30) for _ in range(3)] == [0, 1, 2]
    values.close()
    values.join_thread()


def test_open_descriptors_are_inherited():
    read, write = os.pipe()
    try:
        with Pool(1) as pool:
            assert pool.apply(write_to, (write,)) == 13
        assert os.read(read, 100) == b"from a worker"
    finally:
        os.close(read)
        os.close(write)


def test_signal_handlers_are_inherited():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with ProcessPoolExecutor(1) as executor:
            assert executor.submit(ignores, signal.SIGTERM).result()
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_are_children_of_multiprocessing(method):
    context = multiprocessing.get_context(method)
    with context.Pool(1) as pool:
        name, identity, daemon, parent, alive = pool.apply(who)
    assert name == f"{method.capitalize()}PoolWorker-{identity[0]}"
    assert (len(identity), daemon, parent, alive) == (1, True, os.getpid(), True)
    with ProcessPoolExecutor(1, context) as executor:
        name, identity, daemon, _, _ = executor.submit(who).result()
    assert name == f"{method.capitalize()}Process-{identity[0]}"
    assert daemon is False


def test_workers_of_a_pool_have_different_numbers():
    gate = multiprocessing.Barrier(3)
    with Pool(3, keep, (gate,)) as pool:
        numbers = pool.map(meet, range(3), chunksize=1)
    assert len(set(numbers)) == 3


def meet(_):
    LOCK.wait(30)
    return multiprocessing.current_process()._identity


def test_a_daemonic_worker_may_not_have_children_as_ever():
    with Pool(1) as pool, pytest.raises(AssertionError, match="daemonic"):
        pool.apply(make_pool, (1,))


def test_a_pool_in_a_worker_is_the_standard_librarys():
    with ProcessPoolExecutor(1) as executor:
        assert executor.submit(make_pool, 1).result() != os.getpid()


@pytest.mark.parametrize("how", ["with", "close", "gone", "executor"])
def test_nothing_is_left_of_a_pool(how):
    before = children()
    if how == "executor":
        with ProcessPoolExecutor(2) as executor:
            executor.submit(int).result()
    elif how == "gone":
        executor = ProcessPoolExecutor(2)
        executor.submit(int).result()
        del executor
    else:
        with Pool(2) as pool:
            pool.map(abs, range(4))
            if how == "close":
                pool.close()
                pool.join()
    until(lambda: children() <= before, lambda: f"the end of {children() - before}")


def children():
    import outside

    return {child for child in outside.children(os.getpid(), zombies=True) if not outside.is_nursery(child)}


def test_a_process_of_the_programs_own_may_use_pools():
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    process = context.Process(target=use_pool, args=(answers,))
    process.start()
    assert answers.get() == [0, 1, 2]
    process.join(30)
    assert process.exitcode == 0


def use_pool(answers):
    with ProcessPoolExecutor(2) as executor:
        answers.put(list(executor.map(abs, range(3))))


@pytest.mark.parametrize("kind", ["Thread", "Process"])
def test_a_failing_initializer_breaks_an_executor(kind):
    script = f"""
import concurrent.futures, plait
def fail():
    raise ValueError("no database")
if __name__ == "__main__":
    with plait.patch(), concurrent.futures.{kind}PoolExecutor(2, initializer=fail) as executor:
        print(executor._broken)
        future = executor.submit(abs, -1)
        print(isinstance(future.exception(), concurrent.futures.BrokenExecutor), bool(executor._broken))
        try:
            executor.submit(abs, -1)
        except concurrent.futures.BrokenExecutor:
            print("refused")
    print(bool(executor._broken))
    del executor, future
    print("_broken" in vars(concurrent.futures.{kind}PoolExecutor))
"""
    out = run_program("-c", script).out
    assert out.splitlines() == ["False", "True True", "refused", "True", "False"]
