"""`plait.amap`: maps for an event loop, of coroutine functions in that loop, of plain ones elsewhere."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import itertools
import os
import threading

import plait
import pytest
from crowds import ENV, Crowd, add, add_one, ask, fail_on, plain, server
from outside import is_alive, run_program, until
from workloads import add_one as plain_add_one
from workloads import fail_on as plain_fail_on
from workloads import pass_gate, pid

PLAIN = ["auto", "threads", "processes", "serial"]

# Who makes the calls, and a function for it.
KINDS = [("asyncio", add_one), *((backend, plain_add_one) for backend in PLAIN), ("processes", add_one)]
KIND_NAMES = [f"{backend}-{'coroutine' if fn is add_one else 'plain'}" for backend, fn in KINDS]


@pytest.fixture(params=["asyncio", "debug", "uvloop"])
def run(request):
    """Runs a coroutine in an event loop of each kind."""
    options = {"debug": {"debug": True}}.get(request.param, {})
    if request.param == "uvloop":
        options = {"loop_factory": pytest.importorskip("uvloop").new_event_loop}

    def run(coroutine):
        with asyncio.Runner(**options) as runner:
            return runner.run(coroutine)

    return run


@pytest.fixture(params=KINDS, ids=KIND_NAMES)
def kind(request):
    """`plait.amap` of a function that adds one, however it runs."""
    backend, fn = request.param
    options = {"workers": 2} if backend in ("threads", "processes") else {}
    return functools.partial(plait.amap, fn, backend=backend, **options)


async def listed(results):
    return [result async for result in results]


async def passed(condition, what):
    """As `until`, without holding up the loop."""
    while not condition():
        await asyncio.sleep(0.002)
    assert condition(), what


class Numbers:
    """An asynchronous generator without end (or up to a number at which it raises), and what became of it."""

    def __init__(self, raises_at=None, most=None):
        self.taken = 0
        self.closed = False
        self.raises_at = raises_at
        self.most = most

    async def __call__(self):
        try:
            for n in itertools.count():
                if n == self.raises_at:
                    raise OSError(f"no item {n}")
                if n == self.most:
                    return
                self.taken += 1
                yield n
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            self.closed = True


# --- results


def test_results_come_in_order(run, kind):
    assert run(listed(kind(range(300)))) == list(range(1, 301))


def test_asynchronous_inputs(run, kind):
    numbers = Numbers(most=200)
    assert run(listed(kind(numbers()))) == list(range(1, 201))
    assert numbers.closed


def test_plain_and_asynchronous_inputs_together(run):
    assert run(listed(plait.amap(add, Numbers()(), [10, 20, 30]))) == [10, 21, 32]
    assert run(listed(plait.amap(pow, Numbers()(), [2] * 5, backend="threads"))) == [0, 1, 4, 9, 16]


@pytest.mark.parametrize("empty", [[], iter([])], ids=repr)
def test_nothing_in_nothing_out(kind, empty):
    assert asyncio.run(listed(kind(empty))) == []


@pytest.mark.parametrize("chunksize", [2, 7, 1000])
@pytest.mark.parametrize("fn", [plain_add_one, add_one], ids=["plain", "coroutine"])
def test_chunks_do_not_show(fn, chunksize):
    results = plait.amap(fn, range(100), backend="processes", workers=2, chunksize=chunksize)
    assert asyncio.run(listed(results)) == list(range(1, 101))


def test_real_sockets(run):
    with server() as (port, seen):
        results = plait.amap(functools.partial(ask, port), range(200), concurrency=20)
        assert run(listed(results)) == list(range(200))
    assert seen["answered"] == 200


def test_coroutines_run_in_the_callers_loop(run):
    async def look(_):
        return asyncio.get_running_loop(), threading.current_thread()

    async def main():
        here = await look(None)
        return set(await listed(plait.amap(look, range(20)))) == {here}

    assert run(main())


def test_plain_functions_do_not(run):
    async def main():
        async for name in plait.amap(
            lambda _: threading.current_thread().name, range(5), backend="threads", workers=2
        ):
            assert name.startswith("plait-map")
        seen = set(await listed(plait.amap(pid, range(5), backend="processes", workers=2)))
        assert os.getpid() not in seen
        # The loop's own pool was never made.
        assert getattr(asyncio.get_running_loop(), "_default_executor", None) is None

    run(main())


def test_the_loop_goes_on_meanwhile(gate):
    """The calls wait for the loop: were it blocked, they would wait for ever."""

    async def main(backend):
        results = plait.amap(pass_gate, [gate.folder] * 2, [f"{backend}1", f"{backend}2"], backend=backend)
        first = asyncio.ensure_future(anext(results))
        await passed(lambda: f"{backend}1" in gate.entered(), "the first call")
        gate.open()
        assert await first is None
        await results.aclose()

    for backend in ("threads", "processes", "auto"):
        asyncio.run(main(backend))
        os.unlink(os.path.join(gate.folder, "open"))


variable = contextvars.ContextVar("variable", default="unset")


def test_context_variables_are_seen_and_do_not_leak():
    async def look(n):
        before = variable.get()
        variable.set(n)
        await asyncio.sleep(0)
        return before, variable.get()

    async def main():
        variable.set("the caller's")
        results = await listed(plait.amap(look, range(50), concurrency=5))
        assert variable.get() == "the caller's"
        return results

    assert asyncio.run(main()) == [("the caller's", n) for n in range(50)]


# --- limits


def test_ten_thousand_never_exceed_a_limit_of_a_hundred():
    crowd = Crowd(opened=True)
    results = plait.amap(crowd.enter, range(10_000), concurrency=100)
    assert asyncio.run(listed(results)) == list(range(10_000))
    assert crowd.most == 100


@pytest.mark.parametrize("as_async", [False, True])
def test_buffersize_bounds_the_reading(as_async):
    numbers = Numbers()

    def plain_numbers():
        for n in itertools.count():
            numbers.taken += 1
            yield n

    async def main():
        items = numbers() if as_async else plain_numbers()
        async with contextlib.aclosing(plait.amap(add_one, items, buffersize=8)) as results:
            async for result in results:
                assert numbers.taken <= result + 8
                if result == 100:
                    return

    asyncio.run(main())
    assert 100 <= numbers.taken <= 108


def test_tries_again(run):
    tried = []

    async def flaky(n):
        tried.append(n)
        if tried.count(n) < 3:
            raise OSError(n)
        return n

    assert run(listed(plait.amap(flaky, range(20), retries=2))) == list(range(20))
    assert len(tried) == 60


def test_plain_functions_are_tried_again(tmp_path):
    def flaky(n):
        mark = tmp_path / str(n)
        if not mark.exists():
            mark.touch()
            raise OSError(n)
        return n

    results = plait.amap(flaky, range(5), backend="processes", workers=2, retries=1)
    assert asyncio.run(listed(results)) == list(range(5))


def test_a_call_over_its_time(run):
    async def hang(n):
        await asyncio.sleep(3600)

    async def main():
        with pytest.raises(plait.TaskTimeout, match="hang took longer"):
            await listed(plait.amap(hang, range(3), timeout=0.02))
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_a_plain_call_over_its_time(gate):
    async def main():
        results = plait.amap(pass_gate, [gate.folder], ["a"], backend="processes", workers=2, timeout=0.3)
        with pytest.raises(plait.TaskTimeout):
            await listed(results)

    asyncio.run(main())


# --- errors


@pytest.mark.parametrize("backend", ["asyncio", "processes"])
@pytest.mark.parametrize("chunksize", [None, 4])
def test_a_coroutine_that_raises_comes_after_the_results_before_it(backend, chunksize):
    async def main():
        results = plait.amap(fail_on, range(50), [21] * 50, backend=backend, chunksize=chunksize)
        assert [await anext(results) for _ in range(21)] == list(range(21))
        with pytest.raises(ValueError, match="item 21"):
            await anext(results)
        assert await listed(results) == []

    asyncio.run(main())


@pytest.mark.parametrize("backend", PLAIN)
@pytest.mark.parametrize("chunksize", [None, 4])
def test_a_call_that_raises_comes_after_the_results_before_it(backend, chunksize):
    async def main():
        results = plait.amap(plain_fail_on, range(50), [21] * 50, backend=backend, chunksize=chunksize)
        assert [await anext(results) for _ in range(21)] == list(range(21))
        with pytest.raises(ValueError, match="item 21"):
            await anext(results)

    asyncio.run(main())


@pytest.mark.parametrize("at", [0, 1, 37])
def test_an_input_that_raises_comes_after_the_results_before_it(kind, at):
    async def main():
        numbers = Numbers(raises_at=at)
        results = kind(numbers())
        assert [await anext(results) for _ in range(at)] == list(range(1, at + 1))
        with pytest.raises(OSError, match=f"no item {at}"):
            await anext(results)
        assert numbers.closed

    asyncio.run(main())


def test_bad_input_is_refused_at_once():
    with pytest.raises(TypeError, match="at least one iterable"):
        plait.amap(add_one)
    with pytest.raises(TypeError, match="not iterable"):
        plait.amap(add_one, 5)
    with pytest.raises(TypeError, match="backend='threads'"):
        plait.amap(plain, [1], backend="asyncio")
    with pytest.raises(TypeError, match="backend='asyncio'"):
        plait.amap(add_one, [1], backend="threads")
    with pytest.raises(ValueError, match="concurrency says how many"):
        plait.amap(add_one, [1], workers=3)
    with pytest.raises(ValueError, match="concurrency is for coroutine functions"):
        plait.amap(plain, [1], concurrency=3)
    with pytest.raises(ValueError, match="'nonsense'"):
        plait.amap(plain, [1], backend="nonsense")
    with pytest.raises(ValueError, match="serial backend cannot stop"):
        plait.amap(plain, [1], backend="serial", timeout=1)


# --- nothing is left


def test_a_break_cancels_what_was_begun(run):
    crowd = Crowd()

    async def enter(n):
        return n if n == 0 else await crowd.enter(n)

    async def main():
        async for _ in plait.amap(enter, itertools.count(), concurrency=10):
            await passed(lambda: crowd.inside == 10, "ten at a time")
            break
        gc.collect()
        await passed(lambda: crowd.inside == 0, "their end")
        assert crowd.cancelled == crowd.begun
        await passed(lambda: len(asyncio.all_tasks()) == 1, "the end of all tasks")

    run(main())


def test_closing_awaits_what_was_begun(run):
    crowd = Crowd()
    numbers = Numbers()

    async def enter(n):
        return n if n == 0 else await crowd.enter(n)

    async def main():
        async with contextlib.aclosing(plait.amap(enter, numbers(), concurrency=10)) as results:
            async for _ in results:
                await passed(lambda: crowd.inside == 10, "ten at a time")
                break
        assert (crowd.inside, numbers.closed) == (0, True)
        assert crowd.cancelled == crowd.begun
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_cancelling_the_consumer_awaits_what_was_begun(run):
    crowd = Crowd()

    async def consume():
        async for _ in plait.amap(crowd.enter, itertools.count(), concurrency=10):
            raise AssertionError("none ends")

    async def main():
        task = asyncio.ensure_future(consume())
        await passed(lambda: crowd.inside == 10, "ten at a time")
        task.cancel()
        # And again, while it waits for them.
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (crowd.inside, crowd.cancelled) == (0, 10)
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_asyncio_timeout_around_it(run):
    crowd = Crowd()

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await listed(plait.amap(crowd.enter, itertools.count(), concurrency=10))
        assert crowd.inside == 0 and crowd.cancelled == 10

    run(main())


def test_a_call_that_raises_takes_the_others_along(run):
    crowd = Crowd()

    async def enter(n):
        if n == 5:
            while crowd.inside < 9:
                await asyncio.sleep(0.001)
            raise ValueError(n)
        return await crowd.enter(n)

    async def first_fails():
        async for _ in plait.amap(enter, itertools.count(5), concurrency=10):
            raise AssertionError("the first one fails")

    async def main():
        with pytest.raises(ValueError):
            await first_fails()
        assert crowd.inside == 0 and crowd.cancelled == crowd.begun >= 9

    run(main())


def test_one_that_was_never_begun_leaves_nothing():
    async def main():
        plait.amap(add_one, itertools.count())
        plait.amap(add_one, Numbers()())
        gc.collect()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_closing_takes_back_what_no_worker_has_begun(backend, gate, tmp_path):
    record = tmp_path / "record"

    def work(n):
        if n:
            pass_gate(gate.folder, n)
        with open(record, "a") as file:
            file.write(f"{n} ")
        return n

    async def main():
        results = plait.amap(work, range(20), backend=backend, workers=2)
        assert await anext(results) == 0
        await passed(lambda: {"1", "2"} <= set(gate.entered()), "two calls")
        await results.aclose()

    asyncio.run(main())
    if backend == "processes":
        # They are stopped, and other workers take their place.
        until(lambda: not any(map(is_alive, gate.entered().values())), "the end of both workers")
    gate.open()
    if backend == "threads":
        # They cannot be stopped.
        until(lambda: len(record.read_text().split()) == 3, "the end of both calls")
    else:
        assert record.read_text().split() == ["0"]
    assert sorted(gate.entered()) == ["1", "2"]


def test_ctrl_c_ends_a_program():
    script = """
import asyncio, itertools, os, plait, signal
async def work(n):
    try:
        if n == 9:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        if n == 3:
            print("tidied up")
async def main():
    async for _ in plait.amap(work, itertools.count(), concurrency=10):
        pass
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    assert run_program("-c", script, env=ENV).lines == ["tidied up", "interrupted"]
