"""Ends on a real Dask cluster: workers that go, schedulers that go, clients that close, Ctrl-C.

What all engines do is in test_cluster_ends.py.
"""

import concurrent.futures
import os
import signal
import socket

import plait
import pytest
import workloads
from clusters import PATHS, DaskCluster, await_workers, close_kept, pretend
from outside import start_program, until

distributed = pytest.importorskip(
    "distributed", reason="distributed is not installed: pip install 'plait[dask]'"
)

pytestmark = pytest.mark.once


@pytest.fixture
def cluster(dask_cluster):
    return dask_cluster


@pytest.fixture
def own_cluster(tmp_path):
    """One that the test may end."""
    made = []

    def make(workers=1, **environ):
        made.append(DaskCluster(tmp_path / f"dask-{len(made)}", workers, **environ))
        return made[-1]

    yield make
    close_kept()
    for cluster in made:
        cluster.end()


# --- workers that die


def test_a_worker_that_is_switched_off_costs_no_result_and_a_new_one_is_used(own_cluster, gate):
    cluster = own_cluster(2)
    await_workers(cluster.backend, 2)
    with plait.Executor(cluster.backend) as executor, gate:
        held = [executor.submit(workloads.pass_gate, gate.folder, name, name) for name in "ab"]
        gate.wait_for("a", "b")
        waiting = [executor.submit(abs, -number) for number in range(20)]
        cluster.kill(cluster.workers.pop())
        cluster.add_worker()
        gate.open()
        assert [future.result() for future in held] == ["a", "b"]
        assert [future.result() for future in waiting] == list(range(20))


def test_a_large_function_outlives_the_workers_that_had_it(own_cluster):
    cluster = own_cluster(1)
    table = bytes(range(256)) * 1000
    await_workers(cluster.backend, 1)
    with plait.Executor(cluster.backend) as executor:
        look_up = lambda n: table[n]
        assert executor.submit(look_up, 7).result() == 7
        cluster.kill(cluster.workers.pop())
        cluster.add_worker()
        assert executor.submit(look_up, 9).result() == 9


# --- a cluster that is not there


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_where_nobody_answers_one_error_says_so():
    import dask

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(
            ConnectionError, match=r"no Dask scheduler answers at tcp://127.0.0.1.* `dask scheduler`"
        ),
    ):
        plait.map(abs, [1], backend=f"dask://127.0.0.1:{free_port()}")


def test_calls_wait_for_the_first_worker(own_cluster):
    cluster = own_cluster(0)
    results = plait.map(abs, [-1, -2], backend=cluster.backend)
    cluster.add_worker()
    assert list(results) == [1, 2]


def test_without_workers_calls_do_not_wait_for_ever(own_cluster):
    import dask

    cluster = own_cluster(0)
    with dask.config.set({"distributed.scheduler.no-workers-timeout": "0.2s"}):
        results = plait.map(abs, [-1, -2], backend=cluster.backend)
    with pytest.raises(
        concurrent.futures.BrokenExecutor, match=r"no worker for 0.2 s; start one with `dask worker"
    ):
        next(results)


# --- a cluster that goes


def test_a_scheduler_that_dies_ends_a_map_with_one_error(own_cluster, gate):
    cluster = own_cluster(1)
    results = plait.map(
        workloads.pass_gate, [gate.folder] * 9, range(9), backend=cluster.backend, chunksize=1
    )
    gate.wait_for("0")
    cluster.kill(cluster.scheduler)
    with pytest.raises(concurrent.futures.BrokenExecutor, match="the connection to its scheduler was lost"):
        next(results)
    assert list(results) == []


def test_an_executor_says_so_from_then_on(own_cluster):
    cluster = own_cluster(0)
    with plait.Executor(cluster.backend) as executor:
        future = executor.submit(abs, -1)
        cluster.kill(cluster.scheduler)
        with pytest.raises(concurrent.futures.BrokenExecutor, match="is gone"):
            future.result()
        with pytest.raises(concurrent.futures.BrokenExecutor, match="is gone"):
            executor.submit(abs, -1)


def test_a_cluster_that_was_restarted_is_used_again(own_cluster, gate):
    cluster = own_cluster(2)
    await_workers(cluster.backend, 2)
    results = plait.map(
        workloads.pass_gate, [gate.folder] * 9, range(9), backend=cluster.backend, chunksize=1
    )
    gate.wait_for("0", "1")
    cluster.restart()
    with pytest.raises(concurrent.futures.BrokenExecutor):
        next(results)
    assert list(plait.map(abs, range(-20, 0), backend=cluster.backend)) == list(range(20, 0, -1))


def test_a_client_that_is_closed_in_the_middle_ends_its_maps(cluster, gate):
    client = distributed.Client(cluster.address, set_as_default=False)
    results = plait.map(workloads.pass_gate, [gate.folder] * 9, range(9), backend=client, chunksize=1)
    gate.wait_for("0", "1")
    client.close()
    with pytest.raises(
        concurrent.futures.BrokenExecutor, match=r"closed while calls were pending|has dropped"
    ):
        next(results)
    with pytest.raises(ConnectionError, match=r"this distributed.Client is closed"):
        plait.map(abs, [1], backend=client)


# --- versions


def test_another_version_is_one_error_at_the_start(cluster, monkeypatch):
    from plait._cluster import work
    from plait._cluster.executor import ClusterExecutor
    from plait._cluster.place import place_of

    monkeypatch.setattr(work, "own_versions", lambda: {"Python": "3.99", "plait": plait.__version__})
    with pytest.raises(
        plait.PlaitError, match=r"do not fit together: the scheduler: Python 3.99 here, 3.\d+ there"
    ) as said:
        ClusterExecutor(place_of(cluster.backend))
    # Both workers, too.
    assert str(said.value).count("3.99 here") == 3


# Dask itself warns of some.
@pytest.mark.filterwarnings("ignore:Mismatched versions found")
@pytest.mark.parametrize("package", ["plait", "cloudpickle", "numpy"])
def test_what_is_installed_at_the_other_end_is_compared(own_cluster, package, tmp_path):
    if package == "numpy":
        pytest.importorskip("numpy")
    path = pretend(tmp_path / "other", package, "77.0.0")
    cluster = own_cluster(0, PYTHONPATH=path)
    with pytest.raises(
        plait.PlaitError,
        match=rf"do not fit together: the scheduler: {package} [\d.]+ here, 77.0.0 there; install the same",
    ):
        plait.map(abs, [1], backend=cluster.backend)


def test_a_worker_that_comes_later_is_compared_too(own_cluster, tmp_path):
    cluster = own_cluster(0)
    with plait.Executor(cluster.backend) as executor:
        future = executor.submit(abs, -1)
        cluster.add_worker(PYTHONPATH=pretend(tmp_path / "other", "cloudpickle", "77.0.0"))
        with pytest.raises(
            plait.PlaitError, match=r"a worker has other versions: cloudpickle [\d.]+ here, 77.0.0 there"
        ):
            future.result()


# --- programs


def test_ctrl_c_leaves_a_cluster_that_is_there_alone(cluster, tmp_path):
    script = f"""
import plait, workloads
next(plait.map(workloads.pass_gate, [{str(tmp_path)!r}] * 4, range(4), backend={cluster.backend!r}))
"""
    program = start_program("-c", script, env={"PYTHONPATH": os.pathsep.join(PATHS)})
    until(lambda: (tmp_path / "entered-0").exists(), "the first call")
    os.kill(program.pid, signal.SIGINT)
    _, err = program.communicate(timeout=40)
    (tmp_path / "open").touch()
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert list(plait.map(abs, range(4), backend=cluster.backend)) == list(range(4))


# --- random numbers


def test_workers_of_several_threads_have_no_seeds(own_cluster):
    cluster = own_cluster(0)
    cluster.add_worker("--nthreads", "2")
    await_workers(cluster.backend, 1)
    told = r"has workers that make 2 calls at a time; start them with --nthreads 1"
    with pytest.raises(ValueError, match=told):
        plait.map(abs, [1], seed=1, backend=cluster.backend)
    with pytest.raises(ValueError, match=told):
        plait.Executor(cluster.backend, seed=1)
    assert list(plait.map(abs, [-1], backend=cluster.backend)) == [1]
