"""Tasks that submit to the pool that runs them: limits, cancels, deaths, and the end of the pool."""

import concurrent.futures
import os
import textwrap
import time

import plait
import pytest
from outside import run_program, until

pytestmark = pytest.mark.once


@pytest.fixture
def make(process_face):
    """A maker of process pools."""
    return process_face


@pytest.fixture
def pool(make):
    """A pool of two workers."""
    with make(2) as pool:
        yield pool


def add(a, b):
    return a + b


def ask(pool, fn, *args):
    return pool.submit(fn, *args).result()


def fib(pool, n):
    if n < 2:
        return n
    return sum(f.result() for f in [pool.submit(fib, pool, n - 1), pool.submit(fib, pool, n - 2)])


def fan_out(pool, n):
    return sum(f.result() for f in [pool.submit(add, i, 1) for i in range(n)])


def test_limits_of_the_pool_and_of_a_view_hold(make, tmp_path):
    marks = tmp_path / "marks"

    def flaky():
        with open(marks, "a") as file:
            file.write("x")
        if len(marks.read_text()) < 3:
            raise ConnectionError("not yet")
        return len(marks.read_text())

    def outer(pool):
        return pool.options(retries=4).submit(flaky).result()

    for workers in (1, 2):
        marks.write_text("")
        with make(workers) as pool:
            assert pool.submit(outer, pool).result() == 3
            view = pool.options(retries=1)
            marks.write_text("x")
            assert pool.submit(lambda p: p.submit(flaky).result(), view).result() == 3
    marks.write_text("")
    with make(1, retries=2) as pool:
        assert pool.options(retries=0).submit(lambda p: p.submit(flaky).result(), pool).result() == 3


def test_an_inner_call_may_be_late(make):
    def outer(pool):
        view = pool.options(timeout=0.1)
        try:
            view.submit(time.sleep, 0.3).result()
        except plait.TaskTimeout as error:
            return error.timeout

    for workers in (1, 2):
        with make(workers) as pool:
            assert pool.submit(outer, pool).result() == 0.1


def test_an_outer_call_is_stopped_while_it_waits(make):
    def outer(pool):
        return pool.submit(time.sleep, 60).result()

    for workers in (1, 2):
        with make(workers) as pool:
            with pytest.raises(plait.TaskTimeout):
                pool.options(timeout=0.5).submit(outer, pool).result()
            assert pool.submit(add, 1, 1).result() == 2
            pool.kill_workers() if hasattr(pool, "kill_workers") else pool._inner.kill_workers()


def test_an_outer_call_is_cancelled_while_it_waits(make, tmp_path):
    mark = tmp_path / "begun"

    def sleep():
        mark.touch()
        time.sleep(60)

    def outer(pool):
        return pool.submit(sleep).result()

    with make(1) as pool:
        future = pool.submit(outer, pool)
        until(mark.exists, "the inner call")
        assert future.cancel()
        assert pool.submit(ask, pool, add, 1, 1).result() == 2


def test_an_inner_call_is_cancelled(make, tmp_path):
    mark = tmp_path / "begun"

    def sleep():
        mark.touch()
        time.sleep(60)

    def outer(pool):
        waiting = [pool.submit(sleep), pool.submit(add, 1, 1)]
        taken_back = pool.submit(time.sleep, 60)
        ended = waiting[1].result()
        until(mark.exists, "the other worker")
        was = taken_back.cancel(), taken_back.cancelled(), waiting[0].cancel(), waiting[0].cancelled()
        with pytest.raises(concurrent.futures.CancelledError):
            waiting[0].result()
        return ended, was

    with make(2) as pool:
        assert pool.submit(outer, pool).result() == (2, (True,) * 4)
        assert pool.submit(add, 1, 1).result() == 2


def test_a_worker_that_dies_takes_only_what_it_ran(make, tmp_path):
    def die():
        os.kill(os.getpid(), 9)

    def outer(pool, mine):
        try:
            pool.submit(die).result()
        except plait.WorkerDied as error:
            return "inner", error.signal, os.getpid() == mine

    with make(1) as pool:
        # Nobody else is there: it runs in place, and takes the outer task with it.
        with pytest.raises(plait.WorkerDied):
            pool.submit(outer, pool, 0).result()
        assert pool.submit(ask, pool, add, 1, 1).result() == 2

    mark = tmp_path / "begun"

    def die_later():
        mark.touch()
        until(lambda: not mark.exists(), "leave to die")
        os.kill(os.getpid(), 9)

    def outer_that_lives(pool):
        future = pool.submit(die_later)
        until(mark.exists, "another worker")
        mark.unlink()
        error = future.exception()
        return type(error).__name__, error.signal, pool.submit(add, 1, 1).result()

    with make(2) as pool:
        assert pool.submit(outer_that_lives, pool).result() == ("WorkerDied", 9, 2)


def test_what_a_dead_worker_submitted_and_nobody_began_is_not_run(make, tmp_path):
    def touch(name):
        (tmp_path / name).touch()

    def die_with_work(pool):
        futures = [pool.submit(touch, str(n)) for n in range(5)]
        # With this answer all of them were taken.
        assert futures[-1].cancel()
        os.kill(os.getpid(), 9)

    with make(1) as pool:
        with pytest.raises(plait.WorkerDied):
            pool.submit(die_with_work, pool).result()
        assert pool.submit(add, 1, 1).result() == 2
        assert list(tmp_path.iterdir()) == []


def test_a_task_leaves_work_behind_even_at_shutdown(make, tmp_path):
    def touch(name):
        (tmp_path / name).touch()

    def outer(pool):
        for n in range(20):
            pool.submit(touch, str(n))

    for options in ({}, {"max_tasks_per_child": 1}):
        with make(2, **options) as pool:
            pool.submit(outer, pool)
        assert len(list(tmp_path.iterdir())) == 20
        for path in tmp_path.iterdir():
            path.unlink()


def test_a_pool_that_shuts_down_takes_what_its_running_tasks_submit(make, tmp_path):
    gate = tmp_path / "closed"

    def outer(pool):
        until(gate.exists, "the shutdown")
        return ask(pool, add, 1, 2), fib(pool, 5)

    pool = make(2)
    future = pool.submit(outer, pool)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(add, 1, 1)
    gate.touch()
    assert future.result() == (3, 5)
    pool.shutdown()


def test_workers_that_leave_after_each_call(make):
    with make(2, max_tasks_per_child=1) as pool:
        assert pool.submit(fib, pool, 5).result() == 5
        assert [f.result() for f in [pool.submit(fan_out, pool, 5) for _ in range(3)]] == [15] * 3


def test_the_program_may_end_while_tasks_submit():
    program = textwrap.dedent(
        """
        import plait

        pool = plait.ProcessPoolExecutor(2)

        def fib(n):
            if n < 2:
                return n
            return sum(f.result() for f in [pool.submit(fib, n - 1), pool.submit(fib, n - 2)])

        future = pool.submit(fib, 10)
        future.add_done_callback(lambda f: print(f.result()))
        """
    )
    assert run_program("-c", program).lines == ["55"]


def test_nobody_need_wait_in_the_parent(make, tmp_path):
    mark = tmp_path / "result"

    def outer(pool):
        mark.with_suffix(".tmp").write_text(str(fib(pool, 7)))
        mark.with_suffix(".tmp").rename(mark)

    with make(2) as pool:
        pool.submit(outer, pool)
        until(mark.exists, "a task that submits while nobody waits for it")
        assert mark.read_text() == "13"
