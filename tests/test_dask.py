"""Maps and executors on a real Dask cluster: the same calls, the same results, the same errors."""

import asyncio
import concurrent.futures
import itertools
import os
import threading

import plait
import pytest
from clusters import DaskCluster, await_workers
from outside import until

distributed = pytest.importorskip(
    "distributed", reason="distributed is not installed: pip install 'plait[dask]'"
)

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    try:
        await_workers(cluster.backend, 2)
        yield cluster
    finally:
        close_kept()
        cluster.end()


def close_kept():
    from plait._cluster import kept

    for executor in kept.executors.values():
        executor.shutdown()
    kept.executors.clear()


@pytest.fixture
def backend(cluster):
    return cluster.backend


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster.address, set_as_default=False) as client:
        yield client


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


def test_they_run_in_the_workers_processes(cluster, backend):
    from outside import descendants

    workers = {pid for worker in cluster.workers for pid in descendants(worker.pid)}
    assert set(plait.map(lambda _: os.getpid(), range(50), backend=backend)) <= workers


def test_equal_calls_are_all_made(backend, tmp_path):
    def note(_):
        with open(tmp_path / "calls", "a") as file:
            file.write("x")

    list(plait.map(note, [1] * 30, backend=backend))
    assert (tmp_path / "calls").read_text() == "x" * 30


def test_a_client_is_a_backend_and_stays_open(client):
    assert list(plait.map(abs, range(-5, 5), backend=client)) == [5, 4, 3, 2, 1, 0, 1, 2, 3, 4]
    with plait.Executor(client) as executor:
        assert executor.submit(add, 1, b=2).result() == 3
    assert client.status == "running"
    assert client.submit(abs, -1).result() == 1


def test_a_client_of_an_event_loop_is_refused(cluster):
    async def main():
        async with distributed.Client(cluster.address, asynchronous=True, set_as_default=False) as client:
            with pytest.raises(TypeError, match=f"backend='{cluster.backend}'"):
                plait.map(abs, [1], backend=client)

    asyncio.run(main())


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


def test_pending_calls_can_be_cancelled(backend, client, gate):
    import workloads

    with plait.Executor(backend) as executor:
        held = [executor.submit(workloads.pass_gate, gate.folder, name) for name in "ab"]
        gate.wait_for("a", "b")
        waiting = [executor.submit(workloads.pass_gate, gate.folder, f"never-{n}") for n in range(70)]
        assert all(future.cancel() for future in waiting)
        until(lambda: len(client.run_on_scheduler(tasks_of_plait)) <= 2, "Dask to have heard of it")
        # One that runs is heard of no more; it ends when it ends.
        assert held[0].cancel() and held[0].cancelled()
        gate.open()
        held[1].result(30)
        assert executor.submit(abs, -1).result(30) == 1
    assert set(gate.entered()) == {"a", "b"}


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


def test_nothing_is_left_on_the_cluster(backend, client):
    list(plait.map(lambda x: x, range(2000), backend=backend))
    until(lambda: not client.run_on_scheduler(tasks_of_plait), "the scheduler to have forgotten all")


def tasks_of_plait(dask_scheduler):
    # A large function stays for the next map.
    keys = map(str, dask_scheduler.tasks)
    return [key for key in keys if key.startswith("plait-") and "-function-" not in key]
