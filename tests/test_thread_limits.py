"""Timeouts of calls on threads: a late call is abandoned, alone, and the pool goes on."""

import asyncio
import concurrent.futures as cf
import contextlib
import functools
import gc
import itertools
import threading
from pathlib import Path

import plait
import pytest
import workloads as w
from outside import PATIENCE, run_program, until

pytestmark = pytest.mark.once

# Long enough for a call that does nothing, however busy the machine.
AMPLE = 30


@pytest.fixture(
    params=[plait.ThreadPoolExecutor, functools.partial(plait.Executor, "threads")], ids=["TPE", "Executor"]
)
def make(request):
    """Makes an executor on threads."""
    return request.param


def names_of_threads():
    """Those of all threads of this process, also of those that Python does not know."""
    names = []
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):
            names.append((thread / "comm").read_text().strip())
    return names


class Trap:
    """Calls that wait here until the test ends, or frees them."""

    def __init__(self):
        self.entered = []
        self.left = []
        self._open = threading.Event()

    def __call__(self, value=None):
        self.entered.append(threading.current_thread())
        assert self._open.wait(PATIENCE)
        self.left.append(value)
        return value

    def free(self):
        self._open.set()
        until(lambda: len(self.left) == len(self.entered), "the end of the calls in the trap")


@pytest.fixture
def trap():
    trap = Trap()
    yield trap
    trap.free()


def test_a_call_outlives_its_timeout(make, trap):
    with make(1, timeout=0.1) as pool:
        late = pool.submit(trap, "too late")
        following = pool.submit(threading.current_thread)
        with pytest.raises(
            plait.TaskTimeout, match=r"longer than its timeout of 0\.1 s and was abandoned"
        ) as caught:
            late.result()
        error = caught.value
        assert (error.timeout, error.pid, error.tries) == (0.1, None, 1)
        assert isinstance(error, TimeoutError)
        assert late.done() and not late.cancelled() and not late.running()
        # Its thread is lost to the pool, so another one took its place.
        assert following.result(AMPLE) is not trap.entered[0]
        trap.free()
        assert late.exception() is error, "what comes of it is dropped"


def test_the_error_names_the_function():
    with plait.ThreadPoolExecutor(1, timeout=0.05) as pool:
        with pytest.raises(plait.TaskTimeout, match=r"^workloads\.sleep took longer") as caught:
            pool.submit(w.sleep, 0.3).result()
        assert caught.value.task == "workloads.sleep"


def test_the_pool_keeps_its_number_of_threads(make, trap):
    running, most = set(), []

    def meet(barrier):
        running.add(threading.current_thread())
        most.append(len(running))
        barrier.wait(PATIENCE)
        running.discard(threading.current_thread())

    with make(2) as pool:
        late = [pool.options(timeout=0.05).submit(trap) for _ in range(2)]
        assert all(isinstance(future.exception(), plait.TaskTimeout) for future in late)
        barrier = threading.Barrier(2)
        for future in [pool.submit(meet, barrier) for _ in range(20)]:
            future.result(AMPLE)
        trap.free()
        for future in [pool.submit(meet, barrier) for _ in range(20)]:
            future.result(AMPLE)
        assert max(most) == 2
        until(
            lambda: not any(thread.is_alive() for thread in trap.entered), "the end of the threads in excess"
        )


def test_a_thread_that_nobody_replaced_works_on(trap):
    with plait.ThreadPoolExecutor(1, timeout=0.05) as pool:
        assert pool.submit(trap).exception()
        trap.free()
        assert pool.submit(threading.current_thread).result() is trap.entered[0]


def test_calls_in_time_are_left_alone(make, trap):
    with make(4, timeout=AMPLE) as pool:
        pending = pool.submit(trap, "in time")
        assert list(pool.map(w.add_one, range(2000))) == list(range(1, 2001))
        until(lambda: "plait-deadlines" in names_of_threads(), "the clock that watches the pending call")
        trap.free()
        assert pending.result() == "in time"
    until(lambda: "plait-deadlines" not in names_of_threads(), "the end of a clock with nothing to watch")


def test_the_earliest_deadline_comes_first(trap):
    with plait.ThreadPoolExecutor(3, timeout=AMPLE) as pool:
        patient = pool.submit(trap)
        assert isinstance(pool.options(timeout=0.1).submit(trap).exception(), plait.TaskTimeout)
        assert isinstance(pool.options(timeout=0.05).submit(trap).exception(), plait.TaskTimeout)
        assert patient.running()
        trap.free()
        assert patient.exception() is None


def test_a_call_that_ends_at_its_deadline_ends_once():
    ends = itertools.count()
    with plait.ThreadPoolExecutor(8, timeout=0.005) as pool:
        futures = [pool.submit(w.sleep, 0.0045 + n % 10 * 0.0001) for n in range(400)]
        for future in futures:
            future.add_done_callback(lambda _: next(ends))
        outcomes = {type(future.exception()) for future in futures}
        assert outcomes <= {type(None), plait.TaskTimeout}
        until(lambda: len(futures) == len(cf.wait(futures, 0).done), "the end of all of them")
    until(lambda: repr(ends) == f"count({len(futures)})", "a callback for each")


def test_time_counts_from_the_start_of_a_call(trap):
    with plait.ThreadPoolExecutor(1, timeout=0.1) as pool:
        first = pool.options(timeout=None).submit(trap)
        until(lambda: trap.entered, "the start of the first call")
        second = pool.submit(w.add_one, 1)
        assert not cf.wait([second], 0.3).done
        trap.free()
        assert (first.result(), second.result()) == (None, 2)


def test_a_running_call_is_not_cancelled(make, trap):
    with make(1, timeout=AMPLE) as pool:
        running, waiting = pool.submit(trap, 1), pool.submit(trap, 2)
        until(lambda: trap.entered, "the start of the first call")
        assert running.running() and not running.cancel()
        assert waiting.cancel()
        trap.free()
        assert running.result() == 1
    assert trap.left == [1]


def test_everybody_hears_of_it(trap):
    heard = threading.Event()
    threads = []

    def callback(_):
        threads.append(threading.current_thread())
        heard.set()

    async def main(pool):
        with pytest.raises(plait.TaskTimeout):
            await pool.submit(trap)

    with plait.ThreadPoolExecutor(1, thread_name_prefix="tells", timeout=0.1) as pool:
        future = pool.submit(trap)
        future.add_done_callback(callback)
        assert cf.wait([future], PATIENCE).done == {future}
        assert heard.wait(PATIENCE)
        assert threads[0].name.startswith("tells"), "the clock has other things to do"
        assert list(cf.as_completed([pool.submit(trap)], PATIENCE))
        asyncio.run(main(pool))


def test_a_callback_that_blocks_holds_up_no_deadline(trap):
    with plait.ThreadPoolExecutor(1, timeout=0.05) as one, plait.ThreadPoolExecutor(1, timeout=0.05) as other:
        blocked = threading.Event()
        other_is_late = threading.Event()
        future = one.submit(trap)
        future.add_done_callback(lambda _: (blocked.set(), other_is_late.wait(PATIENCE)))
        assert blocked.wait(PATIENCE)
        assert isinstance(other.submit(trap).exception(PATIENCE), plait.TaskTimeout)
        other_is_late.set()


def test_shutdown_waits_for_all_but_the_abandoned(make, trap):
    with make(1) as pool:
        late = pool.options(timeout=0.1).submit(trap)
        rest = [pool.submit(w.add_one, n) for n in range(100)]
    assert isinstance(late.exception(0), plait.TaskTimeout)
    assert [future.result(0) for future in rest] == list(range(1, 101))
    assert trap.left == [], "the abandoned call goes on"


def test_shutdown_while_a_call_is_tried_again(trap):
    pool = plait.ThreadPoolExecutor(1, timeout=0.1, retries=2)
    future = pool.submit(trap)
    until(lambda: trap.entered, "the first try")
    pool.shutdown()
    assert future.exception(0).tries == 3
    assert len(set(trap.entered)) == 3


def test_shutdown_in_a_call_of_the_pool_says_what_the_stdlib_says():
    with (
        plait.ThreadPoolExecutor(1) as pool,
        pytest.raises(RuntimeError, match=r"^cannot join current thread$"),
    ):
        pool.submit(pool.shutdown).result()


def test_a_forgotten_pool_goes_on_after_a_late_call(trap):
    pool = plait.ThreadPoolExecutor(1, timeout=0.1)
    late, rest = pool.submit(trap), [pool.submit(w.add_one, n) for n in range(10)]
    until(lambda: trap.entered, "the start of the first call")
    del pool
    gc.collect()
    assert isinstance(late.exception(), plait.TaskTimeout)
    assert [future.result(AMPLE) for future in rest] == list(range(1, 11))


def test_late_in_each_try(make, trap):
    with make(1, timeout=0.05, retries=2) as pool:
        error = pool.submit(trap).exception()
        assert (type(error), error.tries) == (plait.TaskTimeout, 3)
        assert error.__notes__ == ["plait: failed in each of 3 tries"]


def test_map_on_threads_has_a_timeout_for_each_call(trap):
    with pytest.raises(plait.TaskTimeout):
        list(plait.map(trap, [1], backend="threads", workers=1, timeout=0.05))


def test_waiting_for_a_late_call_of_the_own_pool(trap):
    with plait.ThreadPoolExecutor(1) as pool:

        def outer():
            inner = pool.options(timeout=0.1).submit(trap)
            return threading.current_thread(), inner.exception()

        thread, error = pool.submit(outer).result(AMPLE)
        assert isinstance(error, plait.TaskTimeout)
        assert trap.entered[0] is not thread, "only the inner call is abandoned"
        assert pool.submit(w.add_one, 1).result(AMPLE) == 2


@pytest.mark.parametrize("timeout", [None, AMPLE])
def test_calls_with_a_timeout_may_wait_for_calls_of_their_own_pool(timeout):
    with plait.ThreadPoolExecutor(2, timeout=AMPLE) as pool:
        view = pool.options(timeout=timeout)

        def total(n):
            return n if n == 0 else n + view.submit(total, n - 1).result()

        assert list(pool.map(total, range(10))) == [n * (n + 1) // 2 for n in range(10)]
        barrier = threading.Barrier(2)
        for future in [pool.submit(barrier.wait, PATIENCE) for _ in range(10)]:
            future.result(AMPLE)


def test_a_thread_that_cannot_be_started(monkeypatch, trap):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    pool = plait.ThreadPoolExecutor(2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.submit(w.nothing)
    busy = pool.submit(trap)
    assert pool.submit(w.add_one, 1).result(AMPLE) == 2
    trap.free()
    busy.result()
    pool.shutdown()


def test_a_replacement_whose_initializer_fails_breaks_the_pool(trap, caplog):
    starts = itertools.count()

    def initialize():
        if next(starts):
            raise ValueError("one licence only")

    with plait.ThreadPoolExecutor(1, initializer=initialize, timeout=0.1) as pool:
        late = pool.submit(trap)
        following = pool.submit(w.nothing)
        assert isinstance(late.exception(), plait.TaskTimeout)
        with pytest.raises(cf.thread.BrokenThreadPool):
            following.result(AMPLE)
    assert "one licence only" in caplog.text


def test_late_calls_at_the_end_of_the_program():
    script = """
import threading, time
import plait

def late():
    time.sleep(0.5)
    print("the late call ends, and the program after it")

pool = plait.ThreadPoolExecutor(1, timeout=0.1)
pool.submit(late).add_done_callback(lambda future: print(type(future.exception()).__name__))
for n in range(3):
    pool.submit(print, n)
"""
    assert run_program("-c", script).lines == [
        "TaskTimeout",
        "0",
        "1",
        "2",
        "the late call ends, and the program after it",
    ]


def test_a_child_has_a_clock_of_its_own():
    script = """
import os, sys, time
import plait

def late():
    try:
        plait.ThreadPoolExecutor(1, timeout=0.1).submit(time.sleep, 0.5).result()
    except plait.TaskTimeout:
        return "late"

with plait.ThreadPoolExecutor(1, timeout=30) as pool:
    pool.submit(time.sleep, 0).result()
    running = pool.submit(time.sleep, 0.5)
    while not running.running():
        pass
    child = os.fork()
    if child == 0:
        print("child:", late(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent:", late(), running.result())
"""
    # From 3.12 on, Python itself warns of any fork in a program with threads.
    quiet = "-Wignore:This process:DeprecationWarning"
    assert run_program(quiet, "-c", script).lines == ["child: late", "parent: late None"]
