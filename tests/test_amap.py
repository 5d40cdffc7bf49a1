"""`plait.amap`: maps for an event loop, of coroutine functions in that loop, of plain ones elsewhere."""

import asyncio
import contextlib
import contextvars
import functools
import itertools
import os
import threading

import plait
import pytest
from crowds import LOOPS, Crowd, Numbers, add, add_one, ask, fail_on, listed, passed, plain, server
from workloads import add_one as plain_add_one
from workloads import fail_on as plain_fail_on
from workloads import pass_gate, pid

PLAIN = ["auto", "threads", "processes", "serial"]

# Who makes the calls, and a function for it.
KINDS = [("asyncio", add_one), *((backend, plain_add_one) for backend in PLAIN), ("processes", add_one)]
KIND_NAMES = [f"{backend}-{'coroutine' if fn is add_one else 'plain'}" for backend, fn in KINDS]


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine in an event loop of each kind."""
    return LOOPS[request.param]


@pytest.fixture(params=KINDS, ids=KIND_NAMES)
def kind(request):
    """`plait.amap` of a function that adds one, however it runs."""
    backend, fn = request.param
    options = {"workers": 2} if backend in ("threads", "processes") else {}
    return functools.partial(plait.amap, fn, backend=backend, **options)


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
    with pytest.raises(TypeError, match=r"needs a function, not int: .*, without calling fn"):
        plait.amap(plain_add_one(1), [1])
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
