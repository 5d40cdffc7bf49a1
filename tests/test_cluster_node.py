"""Calls that keep the GIL, on a worker of Dask with several threads: processes of the worker make them."""

import os
import signal
import time

import plait
import pytest
import workloads
from clusters import DaskCluster, await_workers, close_kept, needs
from outside import descendants, is_alive, until
from plait._cluster import job as jobs
from plait._cluster import node

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """One worker of four threads, on a node that says it has two processors."""
    needs("dask")
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"), 0, PLAIT_MAX_WORKERS="2")
    try:
        cluster.add_worker("--nthreads", "4", "--no-nanny")
        await_workers(cluster.backend, 1)
        yield cluster
    finally:
        close_kept()
        cluster.end()


def keeps_the_gil(number):
    total = 0
    for each in range(20_000):
        total += each
    return os.getpid(), number


def waits(number):
    time.sleep(0.002)
    return os.getpid(), number


def pids_of(fn, cluster):
    """Has it called, and gives the processes that did."""
    made = list(plait.map(fn, range(60), backend=cluster.backend, chunksize=5))
    assert [number for _, number in made] == list(range(60))
    return {pid for pid, _ in made}


def test_calls_that_keep_the_gil_go_to_processes_of_the_worker(cluster):
    worker = cluster.workers[0].pid
    until(lambda: worker not in pids_of(keeps_the_gil, cluster), "the worker's own processes")
    assert pids_of(keeps_the_gil, cluster) <= set(descendants(worker))
    # A seed is refused, as ever: which calls share a process is not known beforehand.
    with pytest.raises(ValueError, match="start them with --nthreads 1"):
        plait.map(keeps_the_gil, [1], seed=1, backend=cluster.backend)


def test_calls_that_wait_stay_in_its_threads(cluster):
    for _ in range(3):
        assert pids_of(waits, cluster) == {cluster.workers[0].pid}


def test_a_call_that_kills_its_process_leaves_the_worker(cluster):
    worker = cluster.workers[0].pid

    def calls(number, culprit=-1):
        keeps_the_gil(number)
        if number == culprit:
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()

    # The same function, so that it is known what pays.
    until(
        lambda: worker not in set(plait.map(calls, range(60), backend=cluster.backend, chunksize=5)),
        "the function's calls in processes",
    )
    results = list(plait.map(calls, range(8), [5] * 8, backend=cluster.backend, chunksize=4, errors="return"))
    died = results.pop(5)
    assert isinstance(died, plait.WorkerDied) and all(isinstance(pid, int) for pid in results)
    assert "was killed by SIGKILL" in str(died) and "calls" in died.task
    assert is_alive(worker)
    with plait.Executor(cluster.backend, retries=1) as executor:
        with pytest.raises(plait.WorkerDied, match="in each of 2 tries"):
            executor.submit(calls, 5, 5).result()
        assert executor.submit(calls, 4, 5).result() != worker


def killed(worker, cluster):
    worker.kill()


def closed(worker, cluster):
    """As by Dask, but for the half minute that it gives to calls that run."""
    from distributed import Client

    async def close(dask_worker):
        await dask_worker.close(executor_wait=False)

    with Client(cluster.address, set_as_default=False) as client:
        client.run(close, wait=False)
        worker.wait(60)


@pytest.mark.parametrize("ending", [killed, closed])
def test_nothing_is_left_of_a_worker_that_ends(ending, tmp_path, gate):
    needs("dask")
    cluster = DaskCluster(tmp_path / "dask", 0, PLAIT_MAX_WORKERS="2")
    try:
        cluster.add_worker("--nthreads", "4", "--no-nanny")
        await_workers(cluster.backend, 1)
        worker = cluster.workers[0]
        folder = gate.folder

        def calls(number):
            if number < 0:
                workloads.pass_gate(folder, "held")
            return keeps_the_gil(number)

        until(lambda: worker.pid not in pids_of(calls, cluster), "the worker's own processes")
        with plait.Executor(cluster.backend) as executor, gate:
            executor.submit(calls, -1)
            [held] = gate.wait_for("held")
            below = descendants(worker.pid)
            assert held in below
            ending(worker, cluster)
            worker.wait(60)
            until(lambda: not any(map(is_alive, below)), lambda: f"the end of {below}")
            executor.shutdown(wait=False, cancel_futures=True)
            cluster.kill(cluster.scheduler)
    finally:
        close_kept()
        cluster.end()


# --- what is reckoned


def figures(wall, held, wanted=0.0):
    return {"wall": wall, "held": held, "wanted": wanted}


@pytest.mark.parametrize(
    "told, processes, gained",
    [
        (figures(0.01, 0.01), 4, 4.0),
        # Four threads took turns: each call took four times as long.
        (figures(0.04, 0.01, 0.03), 4, 4.0),
        (figures(0.01, 0.001), 4, 0.4),
        (figures(0.01, None), 4, 0.0),
    ],
)
def test_what_processes_gain(told, processes, gained):
    assert node.gain(told, processes) == pytest.approx(gained)


def test_without_an_engine_calls_are_made_where_they_are():
    job = jobs.job_of(keeps_the_gil)
    answer = node.run(job.digest, job.function, jobs.chunk_of([(1,), (2,)], 0, True, (None, 0)))
    assert jobs.opened(answer, job.name, "here").values == [(os.getpid(), 1), (os.getpid(), 2)]
