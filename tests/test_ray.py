"""What is Ray's own of maps and executors on a real cluster; what all do is in test_cluster_*.py."""

import os
import re
import socket

import plait
import pytest
import workloads
from clusters import PATHS, RAY, close_kept, pretend
from outside import run_program, until

ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'plait[ray]'")

pytestmark = pytest.mark.once


@pytest.fixture
def cluster(ray_cluster):
    return ray_cluster


@pytest.fixture
def backend(cluster):
    return cluster.backend


# --- whose Ray it is


def test_a_connection_that_is_there_is_used_and_left(backend):
    nodes = set(plait.map(lambda _: ray.get_runtime_context().get_node_id(), range(40), backend=backend))
    assert nodes <= {node["NodeID"] for node in ray.nodes()}
    with plait.Executor(backend) as executor:
        assert executor.submit(abs, -3).result() == 3
    close_kept()
    assert ray.is_initialized()


def test_its_workers_are_those_that_it_has(backend):
    with pytest.raises(ValueError, match="ray has as many as it has"):
        plait.map(abs, [1], backend=backend, workers=2)
    with plait.Executor(backend) as executor:
        assert executor._max_workers == 2


def test_calls_at_the_same_time_have_processes_of_their_own(backend, gate):
    with plait.Executor(backend) as executor, gate:
        held = [executor.submit(workloads.pass_gate, gate.folder, name) for name in "ab"]
        assert len({*gate.wait_for("a", "b"), os.getpid()}) == 3
        gate.open()
        assert [future.exception() for future in held] == [None, None]


def test_another_connection_is_refused(backend):
    with pytest.raises(ValueError, match=r"connected to Ray already.*ray.shutdown\(\) before ray://h:1"):
        plait.map(abs, [1], backend="ray://h:1")


def test_a_call_that_is_cancelled_is_interrupted_and_the_next_is_not(backend, gate):
    with plait.Executor(backend) as executor, gate:
        held = executor.submit(notes_its_end, gate.folder, "held")
        gate.wait_for("held")
        assert held.cancel() and held.cancelled()
        told = os.path.join(gate.folder, "ended-KeyboardInterrupt")
        until(lambda: os.path.exists(told), "its interruption")
        others = [executor.submit(abs, -n) for n in range(20)]
        assert [future.result() for future in others] == list(range(20))


def test_pending_calls_can_be_cancelled(backend, gate):
    with plait.Executor(backend) as executor, gate:
        held = [executor.submit(workloads.pass_gate, gate.folder, name) for name in "ab"]
        gate.wait_for("a", "b")
        waiting = [executor.submit(workloads.pass_gate, gate.folder, f"never-{n}") for n in range(70)]
        assert all(future.cancel() for future in waiting)
        gate.open()
        assert [future.exception(30) for future in held] == [None, None]
        assert executor.submit(abs, -1).result(30) == 1
    assert set(gate.entered()) == {"a", "b"}


def notes_its_end(folder, name):
    try:
        workloads.pass_gate(folder, name)
    except BaseException as error:
        with open(os.path.join(folder, f"ended-{type(error).__name__}"), "w"):
            pass
        raise


# --- versions


def test_another_version_is_one_error_at_the_start(backend, monkeypatch):
    from plait._cluster import work
    from plait._cluster.executor import ClusterExecutor
    from plait._cluster.place import place_of

    monkeypatch.setattr(work, "own_versions", lambda: {"Python": "3.99", "plait": plait.__version__})
    with pytest.raises(
        plait.PlaitError, match=r"do not fit together: node \w+: Python 3.99 here, 3.\d+ there"
    ) as said:
        ClusterExecutor(place_of(backend))
    assert str(said.value).count("3.99 here") >= 2


OTHER = """
import os, sys
os.environ["PYTHONPATH"] = sys.argv[1]
import plait, ray
ray.init("local", num_cpus=1, include_dashboard=False, object_store_memory=80 << 20, configure_logging=False)
try:
    plait.map(abs, [1], backend="ray")
except plait.PlaitError as error:
    print(error)
"""


def test_what_is_installed_at_the_other_end_is_compared(tmp_path):
    other = tmp_path / "other"
    for package in ("plait", "cloudpickle", "numpy"):
        path = pretend(other, package, "77.0.0")
    [said] = run(OTHER, tmp_path, path).lines
    assert "do not fit together: node " in said and "install the same versions" in said
    assert re.search(r"plait [\d.]+ here, 77.0.0 there, cloudpickle [\d.]+ here, 77.0.0 there, numpy", said)


# --- nodes that go


def test_a_new_node_is_used_and_that_it_is_switched_off_costs_no_result(cluster, gate):
    node = cluster.add_node()
    with plait.Executor(cluster.backend) as executor, gate:
        held = [executor.submit(workloads.pass_gate, gate.folder, name, name) for name in "abc"]
        gate.wait_for("a", "b", "c")
        waiting = [executor.submit(abs, -number) for number in range(20)]
        cluster.kill(node)
        gate.open()
        assert [future.result() for future in held] == ["a", "b", "c"]
        assert [future.result() for future in waiting] == list(range(20))


# --- programs


def run(script, folder, *arguments, **environ):
    told = {**RAY, "PYTHONPATH": os.pathsep.join(PATHS), "HOME": str(folder), **environ}
    # Ray takes some seconds to start.
    return run_program("-c", script, *arguments, env=told, patience=90)


OWN = """
import asyncio, sys, os, ray, plait
from plait._cluster import kept
def add(a, b): return a + b
async def first():
    # It is started in a thread that ends.
    return [n async for n in plait.amap(add, range(5), range(5), backend="ray", workers=1)]
print(asyncio.run(first()))
print(list(plait.map(abs, range(3), backend="ray")), ray.cluster_resources()["CPU"])
with plait.Executor("ray", 1) as executor:
    executor.submit(add, 1, 2).result()
    try:
        plait.Executor("ray", 2)
    except ValueError as error:
        print(error)
print(list(plait.map(abs, range(3), backend="ray", workers=2)), ray.cluster_resources()["CPU"])
print({node["NodeManagerAddress"] for node in ray.nodes()})
ray.shutdown()
print(list(plait.map(abs, range(3), backend="ray", workers=1)), ray.cluster_resources()["CPU"])
if not os.fork():
    try:
        plait.map(abs, [1], backend="ray", workers=1)
    except plait.PlaitError as error:
        print(str(error)[:60], flush=True)
    os._exit(0)
os.wait()
"""


def test_a_program_has_one_ray_which_is_started_anew_where_it_must_be(tmp_path):
    lines = run(OWN, tmp_path, TMPDIR=str(tmp_path)).lines
    assert lines == [
        "[0, 2, 4, 6, 8]",
        "[0, 1, 2] 1.0",
        "this program's Ray has 1 workers and is in use, and Ray runs once in a program; shut down the "
        "executors and end the maps on it before it can have 2",
        "[0, 1, 2] 2.0",
        "{'127.0.0.1'}",
        "[0, 1, 2] 1.0",
        "Ray was connected in the parent process of this one, and doe",
    ]
    assert not [name for name in os.listdir("/tmp") if name.startswith("plait-ray-")]


def test_a_program_that_is_told_of_a_ray_uses_that(cluster, tmp_path):
    script = (
        "import plait, ray\n"
        "print(list(plait.map(abs, range(3), backend='ray')), len(ray.nodes()) > 1)\n"
        "try: plait.map(abs, [1], backend='ray', workers=1)\n"
        "except ValueError as error: print(error)\n"
    )
    ended = run(script, tmp_path, RAY_ADDRESS=cluster.address)
    assert ended.lines[0] == "[0, 1, 2] True" and "as many as it has" in ended.lines[1]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def test_where_nobody_answers_one_error_says_so(tmp_path):
    pytest.importorskip("grpc", reason="Ray's client needs grpcio: pip install 'plait[ray]'")
    script = f"import plait; plait.map(abs, [1], backend='ray://127.0.0.1:{free_port()}')"
    ended = run(script, tmp_path)
    assert ended.err.splitlines()[-1].startswith("ConnectionError: no Ray answers at ray://127.0.0.1")


BY_ADDRESS = """
import concurrent.futures, os, signal, socket, subprocess, sys, tempfile, time
import plait, ray
from outside import until
from ray.cluster_utils import Cluster
from plait._cluster import ray as engine, ray_home as home, ray_watch
port, gate = int(sys.argv[1]), sys.argv[2]
def odd_fails(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number
def kills(number):
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
def waits():
    open(gate, "w").close()
    time.sleep(600)
node = {"num_cpus": 1, "object_store_memory": 80 << 20}
with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
    head = {**node, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    # As Ray's proxy for clients starts one for each; the proxy itself fails to now and then.
    told = ["-m", "ray.util.client.server", "--mode", "specific-server"]
    told += ["--address", cluster.address, "--host", "127.0.0.1", "--port", str(port)]
    with open(os.path.join(folder, "server"), "w") as log:
        server = subprocess.Popen([sys.executable, *told], stdout=log, stderr=log)
    until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)), "the server for clients")
    backend = f"ray://127.0.0.1:{port}"
    print(sum(plait.map(lambda x: x + 1, range(20_000), backend=backend)))
    table = bytes(range(256)) * 1000
    print(list(plait.map(lambda x: table[x], range(3), backend=backend)))
    print([type(each).__name__ for each in plait.map(kills, range(5), backend=backend, errors="return")])
    with plait.Executor(backend, retries=1, timeout=60) as executor:
        home._GRACE = 0.1
        try:
            plait.Executor("ray://127.0.0.1:1")
        except ValueError as error:
            print(error)
        print(executor._max_workers, executor.submit(abs, -1).result())
        try:
            executor.submit(odd_fails, 3).result()
        except ValueError as error:
            print(error, error.__notes__, "raise ValueError" in str(error.__cause__))
    engine._SILENCE = 2.0
    with plait.Executor(backend) as executor:
        future = executor.submit(waits)
        until(lambda: os.path.exists(gate), "the call")
        server.kill()
        server.wait()
        try:
            future.result()
        except concurrent.futures.BrokenExecutor as error:
            print(error)
    ray_watch.end(folder)
"""


def test_a_cluster_is_reached_by_its_address_and_its_end_is_one_error(tmp_path):
    pytest.importorskip("grpc", reason="Ray's client needs grpcio: pip install 'plait[ray]'")
    env = {**RAY, "PYTHONPATH": os.pathsep.join(PATHS), "HOME": str(tmp_path)}
    env["RAY_CLIENT_RECONNECT_GRACE_PERIOD"] = "1"
    ended = run_program("-c", BY_ADDRESS, free_port(), tmp_path / "begun", env=env, patience=90)
    assert ended.code == 0, ended
    said = ended.out.splitlines()
    assert said[:3] == ["200010000", "[0, 1, 2]", "['int', 'int', 'int', 'WorkerDied', 'int']"]
    assert "is connected to ray://127.0.0.1:" in said[3]
    assert said[4:6] == ["1 1", "3 is odd ['plait: failed in each of 2 tries'] True"]
    assert "the Ray cluster at 127.0.0.1:" in said[6]


WITHOUT_SERVER = """
import concurrent.futures, os, sys, tempfile, time
import plait, ray
from outside import until
from ray.cluster_utils import Cluster
from plait._cluster import ray as engine, ray_watch
def waits(gate):
    open(gate, "w").close()
    time.sleep(600)
with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
    head = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False, "temp_dir": folder}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(cluster.address)
    executor = plait.Executor("ray")
    future = executor.submit(waits, sys.argv[1])
    until(lambda: os.path.exists(sys.argv[1]), "the call")
    engine._SILENCE = 2.0
    cluster.head_node.all_processes["gcs_server"][0].process.kill()
    try:
        future.result()
    except concurrent.futures.BrokenExecutor as error:
        print(error, flush=True)
    try:
        executor.submit(abs, 1)
    except concurrent.futures.BrokenExecutor as error:
        print("again", flush=True)
    ray_watch.end(folder)
# At its end Ray would wait for its server.
os._exit(0)
"""


def test_a_ray_that_does_not_answer_any_more_is_one_error(tmp_path):
    env = {**RAY, "PYTHONPATH": os.pathsep.join(PATHS), "HOME": str(tmp_path)}
    ended = run_program("-c", WITHOUT_SERVER, tmp_path / "begun", env=env, patience=90)
    assert ended.out.splitlines() == [
        "this program's Ray is gone, and with it what was pending: it has not answered for 2 s",
        "again",
    ], ended
