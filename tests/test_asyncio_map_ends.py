"""`plait.map` of coroutine functions: nothing is left running, however it ends."""

import asyncio
import gc
import itertools
import signal

import pytest
from crowds import (
    ENV,
    Crowd,
    Source,
    add_one,
    amapped,
    fail_on,
)
from outside import finish, run_program, start_program, until
from plait._asyncio import group

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
        if n > 0:
            return await crowd.enter(n)
        while crowd.inside < 9:
            await asyncio.sleep(0.001)
        return n

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
