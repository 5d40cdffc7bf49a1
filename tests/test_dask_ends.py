"""Ends on a real Dask cluster: workers that die, schedulers that go, clients that close, Ctrl-C."""

import concurrent.futures
import os
import signal
import socket

import plait
import pytest
import workloads
from clusters import PATHS, DaskCluster, await_workers
from outside import run_program, start_program, until

distributed = pytest.importorskip(
    "distributed", reason="distributed is not installed: pip install 'plait[dask]'"
)

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Not for tests that end more of it than workers, which their nannies start again."""
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    try:
        await_workers(cluster.backend, 2)
        yield cluster
    finally:
        from plait._cluster import kept

        for executor in kept.executors.values():
            executor.shutdown()
        kept.executors.clear()
        cluster.end()


@pytest.fixture
def own_cluster(tmp_path):
    """One that the test may end."""
    made = []

    def make(workers=1, **environ):
        made.append(DaskCluster(tmp_path / f"dask-{len(made)}", workers, **environ))
        return made[-1]

    yield make
    for cluster in made:
        cluster.end()


# --- workers that die


def kills_at(number, culprit):
    if number == culprit:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_only_the_call_that_kills_its_worker_fails(cluster):
    results = list(
        plait.map(kills_at, range(8), [5] * 8, backend=cluster.backend, errors="return", chunksize=4)
    )
    died = results.pop(5)
    assert results == [0, 1, 2, 3, 4, 6, 7]
    assert isinstance(died, plait.WorkerDied) and died.task.endswith("kills_at")
    assert "died with" in str(died) and "tcp://127.0.0.1:" in str(died)


def test_a_call_that_kills_ends_a_map_that_raises(cluster):
    with pytest.raises(plait.WorkerDied):
        list(plait.map(kills_at, range(3), [0] * 3, backend=cluster.backend))
    # The cluster heals.
    assert list(plait.map(abs, range(5), backend=cluster.backend)) == list(range(5))


def kills_once(path):
    if not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def test_tries_outlive_a_worker(cluster, tmp_path):
    with plait.Executor(cluster.backend, retries=1) as executor:
        assert executor.submit(kills_once, str(tmp_path / "killed")).result() == "survived"


def test_a_worker_that_is_switched_off_costs_no_result_and_a_new_one_is_used(own_cluster, gate):
    cluster = own_cluster(2)
    await_workers(cluster.backend, 2)
    with plait.Executor(cluster.backend) as executor:
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


# --- programs


def test_a_local_cluster_needs_no_guard_is_kept_and_ends_with_the_program(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, plait\n"
        "print('begun', flush=True)\n"
        "def pid(_): return os.getpid()\n"
        "first = set(plait.map(pid, range(100), backend='dask', workers=1, chunksize=1))\n"
        "second = set(plait.map(pid, range(100), backend='dask', workers=1, chunksize=1))\n"
        "print(len(first), first == second, os.getpid() in first)\n"
    )
    env = {"PYTHONPATH": os.pathsep.join(PATHS)}
    assert run_program(script, env=env).lines == ["begun", "1 True False"]


def local_cluster_processes(folder):
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mentions(pid, folder)]


def mentions(pid, folder):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return os.fsencode(f"TMPDIR={folder}") in file.read()
    except OSError:
        return False


WAITS = """
import sys, time, plait
def sleeper(n):
    time.sleep(600)
with plait.Executor("dask", 1) as executor:
    future = executor.submit(sleeper, 1)
    executor.submit(abs, 1)
    print("waiting", flush=True)
    future.result()
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_nothing_of_a_local_cluster_outlives_the_program(ending, tmp_path):
    env = {"PYTHONPATH": os.pathsep.join(PATHS), "TMPDIR": str(tmp_path)}
    program = start_program("-c", WAITS, env=env)
    assert program.stdout.readline() == "waiting\n"
    until(lambda: len(local_cluster_processes(tmp_path)) >= 3, "the cluster's processes")
    os.kill(program.pid, ending)
    out, err = program.communicate(timeout=40)
    assert out == ""
    if ending == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt") and program.returncode == -signal.SIGINT
        left = [name for name in os.listdir(tmp_path) if name.startswith("plait-dask")]
        assert left == []
    until(
        lambda: not local_cluster_processes(tmp_path),
        lambda: f"the end of {local_cluster_processes(tmp_path)}",
    )


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


def test_a_forked_child_is_refused(cluster):
    with plait.Executor(cluster.backend) as executor:
        executor.submit(abs, 1).result()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                executor.submit(abs, 1)
            except RuntimeError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as file:
            assert "belongs to the parent process" in file.read()
        os.waitpid(child, 0)


def test_without_distributed_one_line_says_what_to_install():
    script = (
        "import sys; sys.modules['distributed'] = None; import plait; plait.map(abs, [1], backend='dask')"
    )
    ended = run_program("-c", script, env={"PYTHONPATH": os.pathsep.join(PATHS)})
    assert (
        "needs the package distributed" in ended.err
        and "pip install 'plait[dask]'" in ended.err.splitlines()[-1]
    )
