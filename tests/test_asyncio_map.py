"""`plait.map` of coroutine functions: order, limits, laziness, errors, and that nothing is left running."""

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import itertools
import os
import signal
import threading

import plait
import pytest
from crowds import ENV, Crowd, add, add_one, ask, fail_on, pid_and_thread, plain, server
from outside import finish, run_program, start_program, until
from plait._asyncio import group


def amapped(fn, *iterables, **options):
    return plait.map(fn, *iterables, backend="asyncio", **options)


class Source:
    """Numbers without end (or up to one that raises), counting how many were taken."""

    def __init__(self, raises_at=None):
        self.taken = 0
        self.closed = False
        self.raises_at = raises_at

    def __iter__(self):
        try:
            for n in itertools.count():
                if n == self.raises_at:
                    raise OSError(f"no item {n}")
                self.taken += 1
                yield n
        finally:
            self.closed = True


async def numbers(source):
    """The same as an asynchronous generator."""
    items = iter(source)
    try:
        for n in items:
            await asyncio.sleep(0)
            yield n
    finally:
        items.close()
        source.finished = True


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


def test_bad_input_is_refused_at_once():
    with pytest.raises(ValueError, match="concurrency must be an integer of at least 1"):
        amapped(add_one, [1], concurrency=0)
    with pytest.raises(ValueError, match="concurrency says how many"):
        amapped(add_one, [1], workers=2)
    with pytest.raises(TypeError, match="iterable"):
        amapped(add_one)
    with pytest.raises(TypeError, match="not iterable"):
        amapped(add_one, 5)


# --- nothing is left


def test_closing_cancels_and_awaits_what_was_begun():
    crowd = Crowd()
    results = amapped(crowd.enter, itertools.count(), concurrency=30)
    until(lambda: crowd.inside == 30, "thirty at a time")
    results.close()
    assert (crowd.inside, crowd.cancelled, crowd.begun, crowd.ended) == (0, 30, 30, 30)
    assert list(results) == []


def test_dropping_does_the_same():
    crowd = Crowd()
    source = Source()
    results = amapped(crowd.enter, source, concurrency=30)
    until(lambda: crowd.inside == 30, "thirty at a time")
    del results
    gc.collect()
    assert (crowd.inside, crowd.cancelled) == (0, 30)
    assert source.closed


def test_a_consumer_that_raises():
    crowd = Crowd()

    async def first_or_wait(n):
        return n if n == 0 else await crowd.enter(n)

    def consume():
        for _ in amapped(first_or_wait, itertools.count(), concurrency=10):
            until(lambda: crowd.inside == 10, "ten at a time")
            raise LookupError("enough")

    with pytest.raises(LookupError):
        consume()
    # The frame of the exception has held the iterator until now.
    gc.collect()
    assert crowd.inside == 0 and crowd.cancelled == 10


def test_a_call_that_raises_takes_the_others_along():
    crowd = Crowd()

    async def enter(n):
        if n == 5:
            while crowd.inside < 9:
                await asyncio.sleep(0.001)
            raise ValueError(n)
        return n if n < 5 else await crowd.enter(n)

    results = amapped(enter, itertools.count(), concurrency=10)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError):
        next(results)
    # Those that were begun in the places of the first ones, too.
    assert crowd.inside == 0 and crowd.cancelled == crowd.begun >= 9


def test_a_coroutine_that_swallows_its_cancellation_once(monkeypatch):
    monkeypatch.setattr(group, "GRACE", 0.05)
    crowd = Crowd()
    swallowed = []

    async def stubborn(n):
        try:
            await crowd.enter(n)
        except asyncio.CancelledError:
            swallowed.append(n)
        await crowd.enter(n)

    results = amapped(stubborn, range(5))
    until(lambda: crowd.inside == 5, "all five")
    results.close()
    assert sorted(swallowed) == list(range(5))
    assert (crowd.inside, crowd.begun, crowd.cancelled) == (0, 10, 10)


def test_one_that_ends_well_when_it_is_cancelled():
    crowd = Crowd()

    async def graceful(n):
        try:
            await crowd.enter(n)
        except asyncio.CancelledError:
            return "saved"

    results = amapped(graceful, range(5))
    until(lambda: crowd.inside == 5, "all five")
    results.close()
    assert crowd.inside == 0


def test_no_map_leaves_tasks():
    with pytest.raises(ValueError):
        list(amapped(fail_on, range(100), [50] * 100))
    list(itertools.islice(amapped(add_one, itertools.count()), 10))
    gc.collect()

    async def others(_):
        return len(asyncio.all_tasks()) - 1

    assert list(amapped(others, [1])) == [0]


def test_keyboard_interrupt_in_the_consumer():
    script = """
import asyncio, itertools, os, plait, signal, threading
inside = 0
async def work(n):
    global inside
    inside += 1
    try:
        if n == 99:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.001)
        inside -= 1
results = plait.map(work, itertools.count(), concurrency=100)
try:
    next(results)
except KeyboardInterrupt:
    print("interrupted", inside, list(results))
"""
    assert run_program("-c", script, env=ENV).lines == ["interrupted 0 []"]


def test_ctrl_c_ends_a_program():
    script = """
import asyncio, itertools, plait
async def work(n):
    if n == 50:
        print("begun", flush=True)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        if n == 50:
            print("tidied up", flush=True)
for _ in plait.map(work, itertools.count()):
    pass
"""
    # It climbs no further while none ends: fifty and one are asked for.
    script = script.replace("itertools.count())", "itertools.count(), concurrency=51)")
    program = start_program("-c", script, env=ENV)
    assert program.stdout.readline() == "begun\n"
    program.send_signal(signal.SIGINT)
    ended = finish(program)
    assert ended.code == -signal.SIGINT, ended
    assert ended.out == "tidied up\n"
    assert ended.err.rstrip().endswith("KeyboardInterrupt") and ended.err.count("Traceback") == 1, ended


def test_the_interpreter_ends_with_a_map_under_way():
    script = """
import asyncio, itertools, plait
async def work(n):
    try:
        if n:
            await asyncio.sleep(3600)
        return n
    finally:
        await asyncio.sleep(0.001)
        if n == 3:
            print("tidied up", flush=True)
results = plait.map(work, itertools.count(), concurrency=5)
print(next(results), flush=True)
"""
    ended = run_program("-c", script, env=ENV)
    assert ended.lines == ["0", "tidied up"]


def test_a_thread_goes_on_when_the_main_one_has_ended():
    script = """
import asyncio, plait, threading
async def work(n):
    await asyncio.sleep(0.001)
    return n
def consume():
    results = plait.map(work, range(200), concurrency=5)
    next(results)
    begun.set()
    threading.main_thread().join()
    print(sum(results))
begun = threading.Event()
threading.Thread(target=consume).start()
begun.wait()
"""
    assert run_program("-c", script, env=ENV).lines == [str(sum(range(200)))]


def test_fork():
    script = """
import asyncio, itertools, os, plait
async def work(n):
    await asyncio.sleep(0)
    return n
results = plait.map(work, itertools.count(), concurrency=10)
print(next(results), flush=True)
pid = os.fork()
if pid == 0:
    try:
        next(results)
    except RuntimeError as error:
        print(error)
    results.close()
    print(list(plait.map(work, range(3))), flush=True)
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print([next(results) for _ in range(200)] == list(range(1, 201)))
"""
    for how in ({}, {"PYTHONWARNINGS": "error"}):
        assert run_program("-W", "ignore::DeprecationWarning", "-c", script, env={**ENV, **how}).lines == [
            "0",
            "this map belongs to the parent process; start another one here",
            "[0, 1, 2]",
            "7",
            "True",
        ]


def test_without_uvloop():
    script = """
import sys
sys.modules["uvloop"] = None
import asyncio, plait
async def kind(_):
    return type(asyncio.get_running_loop()).__module__.split(".")[0]
print(set(plait.map(kind, range(100))))
"""
    assert run_program("-c", script, env=ENV).lines == ["{'asyncio'}"]


def test_uvloop_where_it_is_installed():
    pytest.importorskip("uvloop")

    async def kind(_):
        return type(asyncio.get_running_loop()).__module__

    assert set(amapped(kind, range(10))) == {"uvloop"}


def test_maps_of_plain_functions_load_no_asyncio():
    script = """
import sys, plait
print(list(plait.map(abs, [-1], backend="threads")), "asyncio" in sys.modules)
"""
    assert run_program("-c", script, env=ENV).lines == ["[1] False"]
