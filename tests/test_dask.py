"""What is Dask's own of maps and executors on a real cluster; what all do is in test_cluster_maps.py."""

import asyncio
import os

import plait
import pytest
from outside import descendants, until

distributed = pytest.importorskip(
    "distributed", reason="distributed is not installed: pip install 'plait[dask]'"
)

pytestmark = pytest.mark.once


@pytest.fixture
def cluster(dask_cluster):
    return dask_cluster


@pytest.fixture
def backend(cluster):
    return cluster.backend


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster.address, set_as_default=False) as client:
        yield client


def add(a, b):
    return a + b


def test_they_run_in_the_workers_processes(cluster, backend):
    workers = {pid for worker in cluster.workers for pid in descendants(worker.pid)}
    assert set(plait.map(lambda _: os.getpid(), range(50), backend=backend)) <= workers


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


def test_pending_calls_can_be_cancelled(backend, client, gate):
    import workloads

    with plait.Executor(backend) as executor, gate:
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


def test_nothing_is_left_on_the_cluster(backend, client):
    list(plait.map(lambda x: x, range(2000), backend=backend))
    until(lambda: not client.run_on_scheduler(tasks_of_plait), "the scheduler to have forgotten all")


def tasks_of_plait(dask_scheduler):
    # A large function stays for the next map.
    keys = map(str, dask_scheduler.tasks)
    return [key for key in keys if key.startswith("plait-") and "-function-" not in key]
