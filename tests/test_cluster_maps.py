"""Maps and executors on real clusters of each engine: the same calls, the same results, the same errors."""

import asyncio
import concurrent.futures
import contextvars
import itertools
import random
import threading

import plait
import pytest
from clusters import ENGINES, cluster_of
from outside import until

np = pytest.importorskip("numpy")

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=ENGINES)
def backend(request):
    return cluster_of(request.param, request).backend


def add(a, b):
    return a + b


def odd_fails(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


# --- maps


def test_results_come_in_order(backend):
    assert list(plait.map(lambda x: x + 1, range(20_000), backend=backend)) == list(range(1, 20_001))
    assert list(plait.map(add, range(5), range(10, 20), backend=backend)) == [10, 12, 14, 16, 18]
    assert list(plait.map(add, [], [], backend=backend)) == []


def test_equal_calls_are_all_made(backend, tmp_path):
    def note(_):
        with open(tmp_path / "calls", "a") as file:
            file.write("x")

    list(plait.map(note, [1] * 30, backend=backend))
    assert (tmp_path / "calls").read_text() == "x" * 30


def test_endless_inputs_are_read_a_little_ahead(backend):
    taken = itertools.count()
    read = 0

    def numbers():
        nonlocal read
        for number in taken:
            read = number
            yield number

    results = plait.map(lambda x: 2 * x, numbers(), backend=backend, buffersize=20)
    assert list(itertools.islice(results, 30)) == list(range(0, 60, 2))
    results.close()
    assert read <= 60


def test_results_as_they_come(backend, gate):
    import workloads

    folder = gate.folder
    results = plait.map(
        lambda n: workloads.pass_gate(folder, "held") if n == 0 else n,
        range(4),
        backend=backend,
        ordered=False,
        chunksize=1,
    )
    first = [next(results) for _ in range(3)]
    assert sorted(first) == [1, 2, 3]
    gate.open()
    assert len(list(results)) == 1


def test_one_failure_ends_a_map_in_its_place(backend):
    results = plait.map(odd_fails, [0, 2, 4, 5, 6], backend=backend)
    assert [next(results) for _ in range(3)] == [0, 2, 4]
    with pytest.raises(ValueError, match="5 is odd") as failed:
        next(results)
    # The worker's traceback, with its source.
    assert 'raise ValueError(f"{number} is odd")' in str(failed.value.__cause__)


def test_failures_can_be_returned_or_left_out(backend):
    returned = list(plait.map(odd_fails, range(6), backend=backend, errors="return", chunksize=3))
    assert [type(each) for each in returned] == [int, ValueError] * 3
    assert list(plait.map(odd_fails, range(6), backend=backend, errors="skip", chunksize=3)) == [0, 2, 4]


def test_progress_is_told(backend):
    told = []
    list(plait.map(abs, range(100), backend=backend, progress=told.append))
    assert (told[-1].done, told[-1].total, told[-1].failed) == (100, 100, 0)


def test_checkpoints_are_kept(backend, tmp_path):
    path, calls = tmp_path / "kept", tmp_path / "calls"

    def note(number):
        with open(calls, "a") as file:
            file.write(f"{number}\n")
        return number

    first = plait.map(note, range(20), backend=backend, checkpoint=path, chunksize=2)
    assert [next(first) for _ in range(10)] == list(range(10))
    first.close()
    made = len(calls.read_text().split())
    assert made >= 10
    assert list(plait.map(note, range(20), backend=backend, checkpoint=path)) == list(range(20))
    assert len(calls.read_text().split()) < made + 20


def test_tries_are_made_again(backend, tmp_path):
    def second_time(number):
        path = tmp_path / str(number)
        if path.exists():
            return number
        path.touch()
        raise OSError("not yet")

    assert list(plait.map(second_time, range(6), backend=backend, retries=1)) == list(range(6))
    with pytest.raises(ValueError) as failed:
        list(plait.map(odd_fails, [1], backend=backend, retries=2))
    assert failed.value.__notes__ == ["plait: failed in each of 3 tries"]


def test_a_call_over_its_time_is_abandoned_and_the_others_go_on(backend, gate):
    import workloads

    folder = gate.folder

    def sleeper(number):
        if number == 1:
            return workloads.pass_gate(folder, "sleeper")
        return number

    results = list(plait.map(sleeper, range(4), backend=backend, timeout=0.3, errors="return", chunksize=4))
    gate.open()
    assert [results[0], *results[2:]] == [0, 2, 3]
    assert isinstance(results[1], plait.TaskTimeout)
    assert "sleeper took longer than its timeout of 0.3 s and was abandoned" in str(results[1])
    assert (results[1].timeout, results[1].tries) == (0.3, 1)


def test_a_large_function_is_sent_once(backend):
    import numpy

    table = numpy.arange(200_000)
    assert list(plait.map(lambda n: int(table[n]), range(500), backend=backend, chunksize=50)) == list(
        range(500)
    )


def test_what_cannot_be_sent_is_named(backend):
    lock = threading.Lock()
    with pytest.raises(plait.NotPicklable, match=r"fn.<closure>.lock"):
        plait.map(lambda n: lock, range(3), backend=backend)
    results = plait.map(abs, [1, 2, lock, 4], backend=backend, errors="return", chunksize=2)
    kinds = [type(each) for each in results]
    assert kinds == [int, int, plait.NotPicklable, TypeError] or kinds == [int, int, plait.NotPicklable, int]
    [error] = plait.map(lambda n: threading.Lock(), [1], backend=backend, errors="return")
    assert isinstance(error, plait.NotPicklable)


def test_arrays_and_shared_arrays_go_whole(backend):
    import numpy

    shared = plait.share(numpy.arange(50_000.0))
    [double] = plait.map(lambda array: array * 2, [shared], backend=backend)
    assert double.shape == (50_000,) and double[-1] == 99_998.0


def test_a_module_that_workers_lack_is_named_with_its_remedy(backend, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("def f(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    with pytest.raises(
        plait.PlaitError,
        match=r"cannot load only_here.f: ModuleNotFoundError.*register_pickle_by_value\(only_here\)",
    ):
        list(plait.map(only_here.f, range(3), backend=backend))


# --- an event loop's map


def test_an_event_loop_goes_on_meanwhile(backend):
    async def main():
        found = [value async for value in plait.amap(lambda x: x + 1, range(20), backend=backend)]
        chunked = [value async for value in plait.amap(abs, range(20), backend=backend, chunksize=5)]
        return found, chunked

    assert asyncio.run(main()) == (list(range(1, 21)), list(range(20)))


def test_its_failures_are_raised(backend):
    async def main():
        return [value async for value in plait.amap(odd_fails, [0, 1], backend=backend)]

    with pytest.raises(ValueError, match="1 is odd"):
        asyncio.run(main())


# --- executors


def test_futures_are_real_ones(backend):
    with plait.Executor(backend) as executor:
        assert executor._max_workers == 2
        futures = [executor.submit(add, n, b=1) for n in range(10)]
        assert all(isinstance(future, concurrent.futures.Future) for future in futures)
        assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == list(range(1, 11))
        told = threading.Event()
        executor.submit(abs, -1).add_done_callback(lambda future: told.set())
        assert told.wait(30)
        with pytest.raises(ValueError, match="3 is odd"):
            executor.submit(odd_fails, 3).result()
        assert list(executor.map(add, range(10), range(10), chunksize=4)) == list(range(0, 20, 2))
        assert list(executor.map(add, [1], [2])) == [3]
        view = executor.options(retries=1, timeout=5)
        assert view.submit(abs, -4).result() == 4
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, 1)


def test_futures_can_be_awaited(backend):
    async def main():
        async with plait.Executor(backend) as executor:
            loop = asyncio.get_running_loop()
            return await executor.submit(abs, -2), await loop.run_in_executor(executor, abs, -3)

    assert asyncio.run(main()) == (2, 3)


def test_shutdown_can_cancel_what_waits(backend, gate):
    import workloads

    executor = plait.Executor(backend)
    held = [executor.submit(workloads.pass_gate, gate.folder, name) for name in "ab"]
    gate.wait_for("a", "b")
    waiting = [executor.submit(abs, n) for n in range(100)]
    executor.shutdown(wait=False, cancel_futures=True)
    until(lambda: waiting[99].cancelled(), "the last to be cancelled")
    gate.open()
    executor.shutdown()
    assert [future.exception() for future in held] == [None, None]


def test_an_executor_that_is_dropped_finishes_and_closes(backend):
    future = plait.Executor(backend).submit(abs, -7)
    assert future.result(30) == 7
    until(
        lambda: not any(t.name == "plait-cluster" and t.is_alive() for t in leftovers()), "its thread's end"
    )


def leftovers():
    from plait._cluster import kept

    kept_threads = {executor._crew._thread for executor in kept.executors.values()}
    return [thread for thread in threading.enumerate() if thread not in kept_threads]


# --- random numbers, and context variables


def draw(*_):
    return random.random(), float(np.random.random_sample())


def test_random_numbers_are_those_of_processes(backend):
    here = list(plait.map(draw, range(30), seed=7, backend="serial"))
    assert list(plait.map(draw, range(30), seed=7, backend=backend)) == here
    assert list(plait.map(draw, range(30), seed=7, backend=backend, chunksize=7, ordered=True)) == here
    unordered = plait.map(draw, range(30), seed=7, backend=backend, chunksize=4, ordered=False)
    assert sorted(unordered) == sorted(here)
    with plait.Executor(backend, seed=7) as executor:
        first = [executor.submit(draw).result() for _ in range(3)]
        assert first + list(executor.map(draw, range(4), chunksize=2)) == here[:7]

    async def main():
        return [value async for value in plait.amap(draw, range(5), seed=7, backend=backend)]

    assert asyncio.run(main()) == here[:5]
    # Without a seed they are not the same twice.
    assert len(set(plait.map(draw, range(30), backend=backend))) == 30


def test_a_seed_and_a_timeout_do_not_go_together(backend):
    with pytest.raises(ValueError, match="seed= and timeout= do not go together on a cluster"):
        plait.map(draw, range(3), seed=7, timeout=9, backend=backend)
    with pytest.raises(ValueError, match="seed= and timeout= do not go together on a cluster"):
        plait.Executor(backend, seed=7, timeout=9)
    with (
        plait.Executor(backend, seed=7) as executor,
        pytest.raises(ValueError, match="seed= and timeout= do not go together"),
    ):
        executor.options(timeout=9).submit(draw)


user = contextvars.ContextVar("user", default="nobody")


def sets_user(name):
    before = user.get()
    user.set(name)
    return before, user.get()


def test_context_variables_go_along_and_calls_keep_theirs_apart(backend):
    assert list(plait.map(sets_user, "ab", backend=backend)) == [("nobody", "a"), ("nobody", "b")]
    token = user.set("the caller")
    try:
        told = plait.map(sets_user, "abcd", backend=backend, chunksize=2)
        with plait.Executor(backend) as executor:
            future = executor.submit(sets_user, "e")
            chunk = list(executor.map(sets_user, "fg", chunksize=2))
    finally:
        user.reset(token)
    # As it was when the map began.
    assert list(told) == [("the caller", name) for name in "abcd"]
    assert [future.result(), *chunk] == [("the caller", name) for name in "efg"]
    assert user.get() == "nobody"
