"""Tasks that submit to the pool that runs them, and maps within calls of maps."""

import asyncio
import concurrent.futures
import os
import pickle
import textwrap
import threading
import time
import traceback

import plait
import pytest
from outside import run_program, until

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest"]


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


def pid():
    return os.getpid()


def ask(pool, fn, *args):
    return pool.submit(fn, *args).result()


def fail(message):
    raise LookupError(message)


def fib(pool, n):
    if n < 2:
        return n
    return sum(f.result() for f in [pool.submit(fib, pool, n - 1), pool.submit(fib, pool, n - 2)])


def fan_out(pool, n):
    return sum(f.result() for f in [pool.submit(add, i, 1) for i in range(n)])


def test_a_task_submits_to_its_own_pool(pool):
    assert pool.submit(ask, pool, add, 2, 3).result() == 5
    assert pool.submit(ask, pool, ask, pool, add, 2, 3).result() == 5


def test_many_levels(pool):
    assert pool.submit(fib, pool, 9).result() == 34


def test_a_fan_out_from_every_worker(pool):
    expected = sum(range(1, 101))
    assert [f.result() for f in [pool.submit(fan_out, pool, 100) for _ in range(4)]] == [expected] * 4


def test_one_worker_is_enough(make):
    with make(1) as pool:
        assert pool.submit(fib, pool, 7).result() == 13
        assert pool.submit(fan_out, pool, 200).result() == sum(range(1, 201))


def test_no_process_is_started_for_it(make):
    with make(2) as pool:
        busy = pool.submit(fib, pool, 12)
        seen = set()
        while not busy.done():
            seen.update(pool._stats()["pids"] if hasattr(pool, "_stats") else pool._inner._stats()["pids"])
        assert busy.result() == 144
        assert 1 <= len(seen) <= 2


def test_other_workers_take_part(make, tmp_path):
    def meet(name):
        # Ends only if the others run at the same time.
        (tmp_path / name).touch()
        until(lambda: len(list(tmp_path.iterdir())) == 2, "the other worker")
        return os.getpid()

    def outer(pool):
        other = pool.submit(meet, "other")
        return meet("this"), other.result()

    with make(2) as pool:
        assert len(set(pool.submit(outer, pool).result())) == 2


def test_by_argument_by_closure_and_by_global(pool):
    assert pool.submit(lambda: pool.submit(add, 1, 2).result()).result() == 3
    assert pool.submit(lambda p: [p.submit(add, 1, 2).result()], pool).result() == [3]
    assert list(pool.map(lambda n: pool.submit(add, n, n).result(), range(20))) == [2 * n for n in range(20)]


def test_lambdas_and_closures_and_callable_objects_go(pool):
    def outer():
        factor = 7
        futures = [pool.submit(lambda x: x * factor, n) for n in range(30)]
        partial = __import__("functools").partial(add, 5)
        return (
            [f.result() for f in futures],
            pool.submit(partial, 6).result(),
            pool.submit(pow, 2, exp=5).result(),
        )

    assert pool.submit(outer).result() == ([7 * n for n in range(30)], 11, 32)


def test_arguments_and_results_are_copies_whoever_runs_it(make):
    def change(items):
        items.append(1)
        return items

    def outer(pool):
        mine = []
        theirs = pool.submit(change, mine).result()
        return mine, theirs

    for workers in (1, 2):
        with make(workers) as pool:
            assert pool.submit(outer, pool).result() == ([], [1])


def test_large_arguments_and_results(make):
    size = 3_000_000

    def outer(pool):
        blob = bytes(size)
        futures = [pool.submit(lambda b, n: b + bytes([n]), blob, n) for n in range(6)]
        return [(len(f.result()), f.result()[-1]) for f in futures]

    for workers in (1, 3):
        with make(workers) as pool:
            assert pool.submit(outer, pool).result() == [(size + 1, n) for n in range(6)]


def test_more_replies_than_the_ring_holds(make):
    def outer(pool):
        futures = [pool.submit(bytes, 900) for _ in range(3000)]
        # Nobody reads replies until here.
        last = pool.submit(add, 1, 1).result()
        return last, {len(f.result()) for f in futures}

    with make(2) as pool:
        assert pool.submit(outer, pool).result() == (2, {900})


def test_exceptions_come_with_their_traceback(make):
    def outer(pool):
        future = pool.submit(fail, "inner")
        error = future.exception()
        return type(error), str(error), "".join(traceback.format_exception(error))

    for workers in (1, 2):
        with make(workers) as pool:
            kind, text, trace = pool.submit(outer, pool).result()
            assert (kind, text) == (LookupError, "inner")
            assert "in fail" in trace
            with pytest.raises(LookupError, match="inner") as caught:
                pool.submit(ask, pool, fail, "inner").result()
            assert "in fail" in "".join(traceback.format_exception(caught.value))


def test_what_cannot_be_sent_says_so(pool):
    def outer():
        try:
            pool.submit(add, threading.Lock(), 1).result()
        except plait.NotPicklable as error:
            return str(error)

    assert "lock" in pool.submit(outer).result()


def test_wait_and_as_completed(make):
    def outer(pool):
        futures = [pool.submit(add, n, n) for n in range(20)]
        done, not_done = concurrent.futures.wait(futures)
        first = sorted(f.result() for f in done)
        later = [pool.submit(add, n, 1) for n in range(20)]
        return first, len(not_done), sorted(f.result() for f in concurrent.futures.as_completed(later))

    expected = ([2 * n for n in range(20)], 0, list(range(1, 21)))
    for workers in (1, 2):
        with make(workers) as pool:
            both = [pool.submit(outer, pool) for _ in range(2)]
            assert [f.result() for f in both] == [expected] * 2


def test_a_wait_within_a_task_that_a_wait_runs(make):
    def nest(pool, depth):
        if depth == 0:
            return 1
        futures = [pool.submit(nest, pool, depth - 1) for _ in range(2)]
        done, _ = concurrent.futures.wait(futures)
        return sum(f.result() for f in done)

    with make(1) as pool:
        assert pool.submit(nest, pool, 4).result() == 16


def test_a_wait_ends_at_its_timeout(make, tmp_path):
    gate = tmp_path / "open"

    def outer(pool):
        future = pool.submit(until, gate.exists, "the gate")
        _, not_done = concurrent.futures.wait([future], timeout=0.01)
        gate.touch()
        return len(not_done), future.result()

    with make(1) as pool:
        assert pool.submit(outer, pool).result() == (1, True)


def test_callbacks_and_done(make):
    def outer(pool):
        heard = []
        told = threading.Event()
        future = pool.submit(add, 20, 1)
        future.add_done_callback(lambda f: (heard.append(f.result()), told.set()))
        assert told.wait(30)
        polled = pool.submit(add, 1, 1)
        polled.add_done_callback(lambda f: None)
        deadline = time.monotonic() + 30
        while not polled.done():
            assert time.monotonic() < deadline
        return heard, polled.result(), polled.running(), polled.cancelled()

    for workers in (1, 2):
        with make(workers) as pool:
            assert pool.submit(outer, pool).result() == ([21], 2, False, False)


def test_asyncio_in_a_task(make):
    def outer(pool):
        async def main():
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(pool, add, n, n) for n in range(10)))

        return asyncio.run(main())

    for workers in (1, 2):
        with make(workers) as pool:
            assert pool.submit(outer, pool).result() == [2 * n for n in range(10)]


def test_threads_of_a_task_submit_too(pool):
    def outer():
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            return sum(threads.map(lambda n: pool.submit(add, n, 1).result(), range(100)))

    assert pool.submit(outer).result() == sum(range(1, 101))


def test_the_handle_owns_nothing(pool):
    def outer():
        with pool as same:
            futures = [same.submit(add, n, 1) for n in range(10)]
        done = [f.done() for f in futures]
        pool.shutdown()
        return all(done), pool.submit(add, 1, 1).result(), isinstance(pool, concurrent.futures.Executor)

    assert pool.submit(outer).result() == (True, 2, True)
    assert pool.submit(add, 1, 1).result() == 2


def test_it_comes_home_as_itself(pool):
    assert pool.submit(lambda: [pool]).result()[0].submit(add, 1, 2).result() == 3
    assert pickle.loads(pickle.dumps(pool)) is pool


def test_in_the_worker_of_another_pool_it_says_so(make):
    with make(1) as one, make(1) as other:
        with pytest.raises(plait.NotPicklable, match="its own worker processes only"):
            other.submit(ask, one, add, 1, 1).result()
        assert other.submit(ask, other, add, 1, 1).result() == 2


def test_a_pool_in_a_worker_has_workers_of_its_own(pool):
    def outer():
        with plait.ProcessPoolExecutor(1) as inner:
            return inner.submit(pid).result(), inner.submit(ask, inner, pid).result(), os.getpid()

    inner, innermost, mine = pool.submit(outer).result()
    assert inner == innermost != mine


def test_a_forked_child_of_a_worker_is_refused(pool):
    def outer():
        future = pool.submit(add, 1, 1)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pool.submit(add, 1, 1)
            except BaseException as error:
                os.write(write, type(error).__name__.encode() + str(error).encode())
            os._exit(0)
        os.waitpid(child, 0)
        return os.read(read, 1000).decode(), future.result()

    text, value = pool.submit(outer).result()
    assert text.startswith("RuntimeError") and "worker processes" in text
    assert value == 2


def test_thread_pools_are_not_sent(make):
    with plait.Executor("threads", 1) as threads, make(1) as pool, pytest.raises(plait.NotPicklable):
        pool.submit(ask, threads, add, 1, 1).result()


def test_a_global_of_the_main_script():
    program = textwrap.dedent(
        """
        import plait

        pool = plait.ProcessPoolExecutor(2)

        def fib(n):
            if n < 2:
                return n
            return sum(f.result() for f in [pool.submit(fib, n - 1), pool.submit(fib, n - 2)])

        print(pool.submit(fib, 8).result())

        def total(fn, items):
            return sum(plait.map(fn, items, backend="processes"))

        print(total(lambda n: total(abs, range(n)), range(6)))
        """
    )
    assert run_program("-c", program).lines == ["21", "20"]
