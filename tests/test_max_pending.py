"""`max_pending=`: `submit` waits while so many calls are pending, but where that could never end."""

import functools
import gc
import threading
import weakref

import long_runs as runs
import plait
import pytest
import workloads as w
from outside import finish, start_program, until

pytestmark = pytest.mark.once

KINDS = {
    "threads": plait.ThreadPoolExecutor,
    "processes": plait.ProcessPoolExecutor,
    "Executor-threads": functools.partial(plait.Executor, "threads"),
    "Executor-processes": functools.partial(plait.Executor, "processes"),
}


@pytest.fixture(params=KINDS)
def make(request):
    return KINDS[request.param]


class Submitter(threading.Thread):
    """Submits from another thread, so that the test can see it wait."""

    def __init__(self, submit, *calls):
        super().__init__()
        self.submit, self.calls, self.futures = submit, calls, []
        self.start()

    def run(self):
        for call in self.calls:
            self.futures.append(self.submit(*call))


@pytest.mark.parametrize("view", [False, True], ids=["itself", "with options"])
def test_submit_waits_until_there_are_fewer(make, gate, view):
    with make(2, max_pending=3) as pool, gate:
        submit = pool.options(retries=1).submit if view else pool.submit
        first = [submit(w.pass_gate, gate.folder, name, name) for name in "abc"]
        submitter = Submitter(submit, *[(w.add_one, n) for n in range(20)])
        gate.wait_for("a", "b")
        # Two run, one waits in the queue: there is no room, however long the other thread is given.
        submitter.join(0.1)
        assert submitter.is_alive() and submitter.futures == []
        gate.open()
        submitter.join()
        assert [future.result() for future in submitter.futures] == list(range(1, 21))
        assert [future.result() for future in first] == list("abc")


def test_never_more_are_pending(make):
    lock = threading.Lock()
    pending, most = 0, 0

    def done(future):
        nonlocal pending
        with lock:
            pending -= 1

    with make(2, max_pending=4) as pool:
        futures = []
        for n in range(300):
            future = pool.submit(w.add_one, n)
            with lock:
                pending += 1
                most = max(most, pending)
            future.add_done_callback(done)
            futures.append(future)
        assert sum(future.result() for future in futures) == sum(range(1, 301))
    # The place is given back first, and the test's own callback comes after that.
    assert most <= 4 + 2


def test_calls_that_fail_or_are_cancelled_make_room(make, gate):
    with make(1, max_pending=2) as pool, gate:
        for n in range(10):
            with pytest.raises(ValueError, match=f"item {n}"):
                pool.submit(w.fail_on, n, n).result()
        running = pool.submit(w.pass_gate, gate.folder, "a")
        gate.wait_for("a")
        for _ in range(10):
            assert pool.submit(w.nothing).cancel()
        gate.open()
        assert running.result() is None


def test_what_is_refused_takes_no_place(make):
    pool = make(1, max_pending=1)
    pool.shutdown()
    for _ in range(5):
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(w.nothing)


def test_a_map_waits_as_well(make):
    with make(2, max_pending=3) as pool:
        assert list(pool.map(w.add_one, range(100))) == list(range(1, 101))
        assert list(pool.map(w.add_one, range(100), chunksize=7)) == list(range(1, 101))


def test_a_call_of_the_pool_itself_does_not_wait():
    with plait.ThreadPoolExecutor(1, max_pending=1) as pool:

        def outer():
            return [pool.submit(w.add_one, n) for n in range(5)]

        assert [future.result() for future in pool.submit(outer).result()] == [1, 2, 3, 4, 5]
    with plait.ProcessPoolExecutor(1, max_pending=1) as pool:
        assert pool.submit(_five, pool).result() == [1, 2, 3, 4, 5]


def _five(pool):
    return [future.result() for future in [pool.submit(w.add_one, n) for n in range(5)]]


def test_a_callback_does_not_wait(make):
    got = []
    with make(1, max_pending=1) as pool:

        def again(future):
            got.append(future.result())
            if len(got) < 20:
                pool.submit(w.add_one, len(got)).add_done_callback(again)

        pool.submit(w.add_one, 0).add_done_callback(again)
        until(lambda: len(got) == 20, "twenty calls, each from the callback of the one before")
    assert got == list(range(1, 21))


def test_a_pool_that_is_dropped_goes(make):
    pool = make(1, max_pending=2)
    assert pool.submit(w.add_one, 1).result() == 2
    gone = weakref.ref(pool)
    del pool
    until(lambda: gc.collect() is not None and gone() is None, "the end of the pool")


CTRL_C = """
import os, signal, sys, threading, plait, workloads
folder, kind = sys.argv[1:]
pool = getattr(plait, kind)(1, max_pending=1)
def tell():
    while not os.path.exists(os.path.join(folder, "entered-a")):
        pass
    os.kill(os.getpid(), signal.SIGINT)
try:
    with pool:
        try:
            pool.submit(workloads.pass_gate, folder, "a")
            threading.Thread(target=tell, daemon=True).start()
            pool.submit(workloads.nothing)
        finally:
            open(os.path.join(folder, "open"), "w").close()
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize("kind", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_ctrl_c_ends_the_wait(kind, tmp_path):
    assert finish(start_program("-c", CTRL_C, tmp_path, kind, env=runs.ENV)).lines == ["heard"]


@pytest.mark.parametrize(
    "most, kind", [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_what_cannot_be_meant(make, most, kind):
    with pytest.raises(kind, match="max_pending"):
        make(1, max_pending=most)


@pytest.mark.parametrize("backend", ["serial", "auto"])
def test_backends_without_a_queue_of_their_own(backend):
    with pytest.raises(ValueError, match="max_pending"):
        plait.Executor(backend, max_pending=3)
