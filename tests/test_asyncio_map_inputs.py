"""`plait.map` of coroutine functions: how inputs are read, and where errors are raised."""

import asyncio
import concurrent.futures
import threading

import plait
import pytest
from crowds import (
    Crowd,
    Source,
    add,
    add_one,
    amapped,
    fail_on,
    numbers,
    plain,
)
from outside import until
from plait._asyncio import group

# --- laziness


@pytest.mark.parametrize("concurrency", [None, 10])
def test_an_endless_input_is_read_a_little_ahead(concurrency):
    source = Source()
    results = amapped(add_one, source, concurrency=concurrency)
    assert [next(results) for _ in range(10)] == list(range(1, 11))
    taken = source.taken
    assert taken <= 10 + 4 * (concurrency or group.most_width())
    # However long nobody asks for results, no more is read.
    assert list(amapped(add_one, range(50))) == list(range(1, 51))
    assert source.taken == taken
    results.close()
    assert source.closed


@pytest.mark.parametrize("as_async", [False, True])
def test_buffersize_bounds_the_reading(as_async):
    source = Source()
    results = amapped(add_one, numbers(source) if as_async else source, buffersize=8)
    for n in range(100):
        assert next(results) == n + 1
        assert source.taken <= n + 9
    results.close()


def test_calls_start_before_anybody_asks():
    crowd = Crowd()
    results = amapped(crowd.enter, range(5))
    until(lambda: crowd.inside == 5, "the start of all five")
    crowd.opened = True
    assert list(results) == list(range(5))


def test_a_slow_input_does_not_hold_results_back():
    """With room for one item ahead, a result is there though the input would block after the next item."""
    blocked = threading.Event()

    def slow():
        yield 1
        yield 2
        assert blocked.wait(40)
        yield 3

    results = amapped(add_one, slow(), buffersize=1)
    assert next(results) == 2
    blocked.set()
    assert list(results) == [3, 4]


def test_an_input_may_wait_for_the_calls_before_it():
    seen = []

    async def note(n):
        seen.append(n)
        return n

    def linked():
        for n in range(40):
            yield n
            until(lambda: n in seen, f"the call of {n}")

    assert list(amapped(note, linked())) == list(range(40))


# --- asynchronous inputs


def test_an_asynchronous_generator_as_input():
    async def items():
        for n in range(300):
            await asyncio.sleep(0)
            yield n

    assert list(amapped(add_one, items())) == list(range(1, 301))
    assert list(plait.map(add, items(), range(5))) == [0, 2, 4, 6, 8]


def test_an_endless_asynchronous_generator_is_closed():
    source = Source()
    results = amapped(add_one, numbers(source), concurrency=10)
    assert [next(results) for _ in range(100)] == list(range(1, 101))
    results.close()
    assert source.closed and source.finished
    assert source.taken <= 100 + 41


@pytest.mark.parametrize("at", [0, 1, 37])
def test_an_asynchronous_input_that_raises(at):
    results = amapped(add_one, numbers(Source(raises_at=at)))
    assert [next(results) for _ in range(at)] == list(range(1, at + 1))
    with pytest.raises(OSError, match=f"no item {at}"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("backend", ["threads", "processes", "serial", "auto"])
def test_an_asynchronous_input_for_a_plain_function_is_one_clear_error(backend):
    with pytest.raises(TypeError, match=r"plait\.amap"):
        plait.map(plain, numbers(Source()), backend=backend)


# --- errors


@pytest.mark.parametrize("concurrency", [None, 1, 10])
def test_a_call_that_raises_comes_after_the_results_before_it(concurrency):
    results = amapped(fail_on, range(50), [21] * 50, concurrency=concurrency)
    assert [next(results) for _ in range(21)] == list(range(21))
    with pytest.raises(ValueError, match="item 21"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("at", [0, 1, 5, 137])
def test_an_input_that_raises_comes_after_the_results_before_it(at):
    results = amapped(add_one, Source(raises_at=at))
    assert [next(results) for _ in range(at)] == list(range(1, at + 1))
    with pytest.raises(OSError, match=f"no item {at}"):
        next(results)
    assert list(results) == []


def test_arguments_that_do_not_fit():
    with pytest.raises(TypeError, match="positional argument"):
        list(amapped(add, range(5)))


def test_a_coroutine_that_cancels_itself_is_an_ordinary_failure():
    async def work(n):
        if n == 3:
            raise asyncio.CancelledError
        return n

    results = amapped(work, range(5))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(concurrent.futures.CancelledError, match="not by plait"):
        next(results)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_a_coroutine_is_raised_where_its_result_is_asked_for(kind):
    async def work(n):
        await asyncio.sleep(0)
        if n == 3:
            raise kind("now")
        return n

    results = amapped(work, range(50))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(kind):
        next(results)
    assert list(amapped(add_one, range(3))) == [1, 2, 3]


def test_tries_again():
    tried = []

    async def flaky(n):
        tried.append(n)
        if tried.count(n) < 3:
            raise OSError(n)
        return n

    assert list(amapped(flaky, range(20), retries=2)) == list(range(20))
    assert len(tried) == 60


def test_the_last_of_several_tries_says_so():
    with pytest.raises(ValueError, match="item 0") as caught:
        list(amapped(fail_on, [0], [0], retries=2))
    assert caught.value.__notes__ == ["plait: failed in each of 3 tries"]


def test_a_call_over_its_time_is_cancelled():
    ended = []

    async def hang(n):
        try:
            await asyncio.sleep(0 if n < 3 else 3600)
            return n
        finally:
            await asyncio.sleep(0)
            ended.append(n)

    results = amapped(hang, range(10), timeout=0.05, retries=1)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(plait.TaskTimeout, match=r"hang took longer than its timeout of 0\.05 s") as caught:
        next(results)
    assert (caught.value.timeout, caught.value.tries) == (0.05, 2)
    assert caught.value.task.endswith("hang")
    assert ended.count(3) == 2


def test_time_counts_from_the_start_of_each_call():
    async def nap(n):
        await asyncio.sleep(0.02)
        return n

    # Together they take longer than one may; where other programs took the processor, it is tried again.
    assert list(amapped(nap, range(75), concurrency=1, timeout=1, retries=5)) == list(range(75))


def test_a_late_call_that_swallows_its_cancellation(monkeypatch):
    monkeypatch.setattr(group, "GRACE", 0.05)
    seen = []

    async def stubborn(n):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("first")
        await asyncio.sleep(3600)

    with pytest.raises(plait.TaskTimeout):
        list(amapped(stubborn, [1], timeout=0.02))
    assert seen == ["first"]


@pytest.mark.parametrize("backend", ["threads", "serial"])
def test_a_coroutine_function_elsewhere_is_one_clear_error(backend):
    with pytest.raises(TypeError, match="backend='asyncio'") as caught:
        plait.map(add_one, [1], backend=backend)
    assert "\n" not in str(caught.value) and repr(backend) in str(caught.value)


def test_a_plain_function_is_one_clear_error():
    with pytest.raises(TypeError, match=r"plain is no coroutine function .* backend='threads'"):
        amapped(plain, [1])
    with pytest.raises(TypeError, match="needs a function, not int"):
        amapped(5, [1])


@pytest.mark.parametrize("backend", ["auto", "threads", "processes", "serial"])
def test_concurrency_of_a_plain_function_is_one_clear_error(backend):
    with pytest.raises(ValueError, match="concurrency is for coroutine functions"):
        plait.map(plain, [1], backend=backend, concurrency=5)


def test_there_is_nothing_to_explain():
    with pytest.raises(TypeError, match="add_one is a coroutine function"):
        plait.explain(add_one, [1])


def test_bad_input_is_refused_at_once():
    with pytest.raises(ValueError, match="concurrency must be an integer of at least 1"):
        amapped(add_one, [1], concurrency=0)
    with pytest.raises(ValueError, match="concurrency says how many"):
        amapped(add_one, [1], workers=2)
    with pytest.raises(TypeError, match="iterable"):
        amapped(add_one)
    with pytest.raises(TypeError, match="not iterable"):
        amapped(add_one, 5)
