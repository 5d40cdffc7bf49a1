"""`plait.map` of coroutine functions: order, limits, where it is called from, what it refuses."""

import asyncio
import contextvars
import functools
import itertools
import os
import threading

import plait
import pytest
from crowds import (
    ENV,
    Crowd,
    add,
    add_one,
    amapped,
    ask,
    pid_and_thread,
    server,
)
from outside import run_program
from plait._asyncio import group

# --- results


@pytest.mark.parametrize("backend", ["asyncio", "auto"])
@pytest.mark.parametrize("concurrency", [None, 1, 7, 1000])
def test_results_come_in_order(backend, concurrency):
    results = plait.map(add_one, range(1000), backend=backend, concurrency=concurrency)
    assert list(results) == list(range(1, 1001))


def test_slow_and_quick_ones_keep_their_order():
    async def nap(n):
        await asyncio.sleep(0.02 if n % 50 == 0 else 0)
        return n

    assert list(amapped(nap, range(300), concurrency=20)) == list(range(300))


def test_an_iterator_like_the_builtin():
    results = amapped(add_one, [1, 2])
    assert iter(results) is results
    assert (next(results), next(results)) == (2, 3)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(results)


def test_several_iterables_end_with_the_shortest():
    assert list(amapped(add, itertools.count(), [10, 20, 30])) == [10, 21, 32]


@pytest.mark.parametrize("empty", [[], (), "", {}, iter([])], ids=repr)
def test_nothing_in_nothing_out(empty):
    assert list(amapped(add_one, empty)) == []


def test_items_that_are_tuples_stay_one_argument():
    async def same(item):
        return item

    assert list(amapped(same, [(1, 2), (3,), ()])) == [(1, 2), (3,), ()]


class Doubler:
    async def __call__(self, n):
        return 2 * n

    async def method(self, n):
        return 2 * n


@pytest.mark.parametrize(
    "fn",
    [
        Doubler(),
        Doubler().method,
        functools.partial(add, 0),
        functools.partial(functools.partial(add), 0),
        plait.task(shares_state=True)(add_one),
        plait.task(Doubler().method, shares_state=False),
    ],
    ids=["object", "method", "partial", "partials", "task", "task of a method"],
)
@pytest.mark.parametrize("backend", ["auto", "asyncio"])
def test_what_counts_as_a_coroutine_function(fn, backend):
    [result] = plait.map(fn, [5], backend=backend)
    assert result in (5, 6, 10)


def test_real_sockets():
    with server() as (port, seen):
        results = amapped(functools.partial(ask, port), range(500), concurrency=50)
        assert list(results) == list(range(500))
    assert seen["answered"] == 500
    # The server hears of the end of a connection a little after the client.
    assert 1 < seen["most"] <= 100


def test_climbing_finds_more_than_it_began_with():
    crowd = Crowd(opened=True)
    assert list(amapped(crowd.enter, range(3000))) == list(range(3000))
    assert 16 < crowd.most <= group.most_width()


def test_climbing_leaves_files_for_others():
    script = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
from plait._asyncio.group import most_width
print(most_width())
"""
    assert run_program("-c", script, env=ENV).lines == ["100"]


# --- the limit


def test_ten_thousand_never_exceed_a_limit_of_a_hundred():
    crowd = Crowd(opened=True)
    assert list(amapped(crowd.enter, range(10_000), concurrency=100)) == list(range(10_000))
    assert crowd.most == 100
    assert (crowd.begun, crowd.ended) == (10_000, 10_000)


def test_the_limit_holds_for_further_tries_and_failures():
    crowd = Crowd(opened=True)
    failed = set()

    async def enter(n):
        await crowd.enter()
        if n % 3 == 0 and n not in failed:
            failed.add(n)
            raise OSError(n)
        return n

    assert list(amapped(enter, range(600), concurrency=10, retries=1)) == list(range(600))
    assert crowd.most == 10
    assert crowd.begun == 800


# --- where it is called from


def test_in_a_loop_that_is_running():
    async def main():
        return list(amapped(add_one, range(100))), list(plait.map(add_one, range(100)))

    expected = list(range(1, 101))
    assert asyncio.run(main()) == (expected, expected)


def test_the_loop_is_one_thread_of_plaits_own():
    seen = set(amapped(pid_and_thread, range(50))) | set(amapped(pid_and_thread, range(50)))
    assert seen == {(os.getpid(), "plait-asyncio")}


def test_a_map_within_a_coroutine():
    async def inner(n):
        return sum(amapped(add_one, range(n)))

    async def outer(n):
        return sum(amapped(inner, range(n)))

    assert list(amapped(outer, [3, 4])) == [4, 10]


def test_maps_from_many_threads():
    sums = []

    def work(k):
        sums.append(sum(amapped(add_one, range(k, k + 500))))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sums) == [sum(range(k + 1, k + 501)) for k in range(6)]


def test_maps_side_by_side():
    first, second = amapped(add_one, itertools.count()), amapped(add_one, itertools.count())
    for n in range(300):
        assert (next(first), next(second)) == (n + 1, n + 1)
    first.close()
    second.close()


# --- context variables

variable = contextvars.ContextVar("variable", default="unset")


def test_context_variables_are_seen_and_do_not_leak():
    async def look(n):
        before = variable.get()
        variable.set(n)
        await asyncio.sleep(0)
        return before, variable.get()

    token = variable.set("the caller's")
    try:
        assert list(amapped(look, range(50), concurrency=5)) == [("the caller's", n) for n in range(50)]
        assert variable.get() == "the caller's"
    finally:
        variable.reset(token)
    assert list(amapped(look, [1])) == [("unset", 1)]
