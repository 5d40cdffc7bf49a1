"""`capture_output=True`: what a call prints is on its future, whole, and nowhere else; on each backend."""

import asyncio
import concurrent.futures
import threading
import traceback

import plait
import printing as p
import pytest
import workloads as w
from outside import run_program


@pytest.fixture(params=p.BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(params=["threads", "processes", "asyncio"])
def pool_backend(request):
    return request.param


def texts(future):
    return future.stdout, future.stderr


def test_each_future_has_what_its_call_printed(backend):
    with p.executor(backend) as executor:
        futures = [executor.submit(p.of(backend, p.say), n) for n in range(20)]
        assert [future.result() for future in futures] == [n * 2 for n in range(20)]
        assert [texts(future) for future in futures] == [(f"out {n}\n", f"err {n}\n") for n in range(20)]
        assert [future.result() for future in concurrent.futures.as_completed(futures)] and futures[
            3
        ]._result == 6


def test_also_when_it_failed(backend):
    with p.executor(backend) as executor:
        future = executor.submit(p.of(backend, p.say_and_fail), 3)
        error = future.exception()
        assert type(error) is ValueError and error.args == (3,)
        assert texts(future) == ("out 3\n", "err 3\n")
        assert error.__notes__ == [
            "plait: the call printed on stdout:\n  out 3",
            "plait: the call printed on stderr:\n  err 3",
        ]
        with pytest.raises(ValueError, match="3"):
            future.result()


def test_tracebacks_begin_in_the_function(backend):
    with p.executor(backend, 1) as executor:
        error = executor.submit(p.of(backend, p.say_and_fail), 3).exception()
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "say_and_fail" and {*names} <= {"submit", "_submit_with", "awaited", "say_and_fail"}


SILENT = """
import sys, plait, printing as p

for backend in p.BACKENDS:
    with p.executor(backend) as executor:
        futures = [executor.submit(p.of(backend, p.say), n) for n in range(4)]
        futures.append(executor.submit(p.of(backend, p.say_and_fail), 4))
        assert [type(future.exception()).__name__ for future in futures].count("NoneType") == 4
        print(backend, "".join(future.stdout + future.stderr for future in futures).replace(chr(10), ","))
assert type(sys.stdout).__name__ == type(sys.stderr).__name__ == "TextIOWrapper"
"""


def test_it_is_printed_nowhere():
    said = "".join(f"out {n},err {n}," for n in range(5))
    assert run_program("-c", SILENT).lines == [f"{backend} {said}" for backend in p.BACKENDS]


def test_any_text_and_bytes(backend):
    with p.executor(backend) as executor:
        odd = executor.submit(p.of(backend, p.say_odd), 0)
        assert odd.result() == "said"
        assert texts(odd) == ("bytes é\nlines\nof a list\nno end\ud83d|grüße\r\n", "")
        broken = executor.submit(p.of(backend, p.say_broken), 0)
        assert broken.result() is None and broken.stdout == "\\xff\\xfe|"
        long = executor.submit(p.of(backend, p.say_long), 20_000)
        assert long.result() == 20_000 and long.stdout == ("x" * 99 + "\n") * 20_000


# --- ends of other kinds


def test_of_several_tries_the_last_counts(backend):
    with p.executor(backend, retries=2) as executor:
        future = executor.submit(p.of(backend, p.say_and_fail), 5)
        assert str(future.exception().__notes__).count("the call printed on stdout") == 1
        assert texts(future) == ("out 5\n", "err 5\n")


def say_and_wait(folder):
    print("before")
    w.pass_gate(folder, "a")


@pytest.mark.parametrize("backend, options", [("processes", {"grace": 30}), ("threads", {})])
def test_a_call_over_its_time(backend, options, gate):
    with gate, p.executor(backend, 1, timeout=1, **options) as executor:
        future = executor.submit(say_and_wait, gate.folder)
        assert isinstance(future.exception(), plait.TaskTimeout)
        # On a busy machine its time may be over before it has begun.
        if "a" in gate.entered():
            assert future.stdout == "before\n"


def say_and_die(_):
    print("my last words")
    w.kill_self()


def test_a_worker_that_died_has_said_it_in_the_error():
    with p.executor("processes", 1) as executor:
        future = executor.submit(say_and_die, 0)
        error = future.exception()
        assert isinstance(error, plait.WorkerDied) and error.output.strip() == "my last words"
        assert texts(future) == (None, None)


def test_where_nothing_was_kept(pool_backend, gate):
    with plait.Executor(pool_backend, 1) as executor:
        future = executor.submit(p.of(pool_backend, abs), -1)
        assert future.result() == 1 and texts(future) == (None, None)
    if pool_backend == "asyncio":
        return
    with gate, p.executor(pool_backend, 1) as executor:
        running = executor.submit(say_and_wait, gate.folder)
        gate.wait_for("a")
        waiting = executor.submit(p.say, 1)
        assert texts(running) == texts(waiting) == (None, None)
        assert waiting.cancel()
        gate.open()
        assert running.result() is None and texts(running) == ("before\n", "")
        assert texts(waiting) == (None, None)


def fail_unsendable(_):
    import hostile_exceptions as h

    print("before")
    h.raise_untouchable(None)


def return_unsendable(_):
    print("before")
    return threading.Lock()


def test_what_cannot_travel_comes_with_its_output():
    with p.executor("processes", 1) as executor:
        future = executor.submit(fail_unsendable, 0)
        assert isinstance(future.exception(), plait.RemoteError) and future.stdout == "before\n"
        future = executor.submit(return_unsendable, 0)
        assert isinstance(future.exception(), plait.NotPicklable)
        with pytest.raises(plait.NotPicklable, match=r"args\[0\]"):
            executor.submit(p.say, threading.Lock()).result()


def test_a_dead_call_is_named():
    with p.executor("processes", 1) as executor:
        assert executor.submit(w.kill_self).exception().task == "workloads.kill_self"


def test_futures_can_be_awaited_and_limited(pool_backend):
    async def main():
        async with p.executor(pool_backend, 2) as executor:
            future = executor.submit(p.of(pool_backend, p.say), 4)
            assert await future == 8 and future.stdout == "out 4\n"
            future = executor.options(retries=1).submit(p.of(pool_backend, p.say_and_fail), 4)
            with pytest.raises(ValueError):
                await future
            assert future.stdout == "out 4\n"

    asyncio.run(main())


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_with_a_bound_on_pending_calls(backend):
    with p.executor(backend, 1, max_pending=2) as executor:
        futures = [executor.submit(p.say, n) for n in range(6)]
        assert [future.result() for future in futures] == [0, 2, 4, 6, 8, 10]
        assert [future.stdout for future in futures] == [f"out {n}\n" for n in range(6)]
        results = executor.map(p.say, range(4), chunksize=2)
        assert [(value, results.stdout) for value in results] == [(n * 2, f"out {n}\n") for n in range(4)]


@pytest.mark.parametrize("made", [plait.ThreadPoolExecutor, plait.ProcessPoolExecutor])
def test_pools_take_it_too(made):
    with made(1, capture_output=True) as pool:
        future = pool.submit(lambda: print("a lambda"))
        assert future.result() is None and future.stdout == "a lambda\n"


# --- maps


def test_iterators_tell_it_of_the_result_that_came_last(backend):
    with p.executor(backend) as executor:
        results = executor.map(p.of(backend, p.say), range(5))
        assert (results.stdout, results.stderr) == (None, None)
        seen = [(value, results.stdout, results.stderr) for value in results]
    assert seen == [(n * 2, f"out {n}\n", f"err {n}\n") for n in range(5)]


def fail_at_two(n):
    return p.say_and_fail(n) if n == 2 else p.say(n)


def test_maps(backend):
    results = plait.map(p.of(backend, fail_at_two), range(4), backend=backend, capture_output=True)
    assert [next(results), results.stdout] == [0, "out 0\n"]
    assert [next(results), results.stderr] == [2, "err 1\n"]
    with pytest.raises(ValueError) as caught:
        next(results)
    assert results.stdout == "out 2\n" and "  out 2" in caught.value.__notes__[0]


@pytest.mark.parametrize("errors", ["return", "skip"])
def test_maps_that_go_on(backend, errors):
    results = plait.map(
        p.of(backend, fail_at_two), range(4), backend=backend, capture_output=True, errors=errors
    )
    seen = [(repr(value), results.stdout) for value in results]
    expected = [("0", "out 0\n"), ("2", "out 1\n"), ("ValueError(2)", "out 2\n"), ("6", "out 3\n")]
    assert seen == [pair for pair in expected if errors == "return" or "Error" not in pair[0]]


def test_maps_of_coroutines_on_processes():
    fn = p.of("asyncio", p.say)
    results = plait.map(fn, range(6), backend="processes", workers=2, capture_output=True)
    assert [(value, results.stdout) for value in results] == [(n * 2, f"out {n}\n") for n in range(6)]


def test_maps_of_an_event_loop(backend):
    async def main():
        results = plait.amap(p.of(backend, fail_at_two), range(4), backend=backend, capture_output=True)
        assert [await anext(results), results.stdout] == [0, "out 0\n"]
        assert [await anext(results), results.stdout] == [2, "out 1\n"]
        with pytest.raises(ValueError):
            await anext(results)
        assert results.stderr == "err 2\n"
        await results.aclose()

    asyncio.run(main())


# --- what cannot be


@pytest.mark.once
def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="capture_output=True needs a backend by name"):
        plait.Executor(capture_output=True)
    with pytest.raises(ValueError, match="capture_output=True needs a backend by name"):
        plait.map(p.say, [1], capture_output=True)
    with pytest.raises(ValueError, match="exclude each other"):
        plait.map(p.say, [1], backend="serial", capture_output=True, checkpoint=tmp_path / "kept")
    for make in (plait.ThreadPoolExecutor, plait.ProcessPoolExecutor):
        with pytest.raises(TypeError, match="capture_output must be True or False, not 'yes'"):
            make(1, capture_output="yes")
