"""Real clusters of each engine for tests: processes on the loopback, ended by their id."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import plait
import pytest
from outside import TESTS, descendants, is_alive, until

PATHS = [str(TESTS), str(Path(plait.__file__).parent.parent)]

ENGINES = ("dask", "ray")

# Ray listens on the loopback alone, asks nobody for a token, and tells nobody of itself.
RAY = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
}


def needs(engine):
    """Skips the test where the engine is not installed."""
    package = {"dask": "distributed", "ray": "ray"}[engine]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'plait[{engine}]'")


@pytest.fixture(scope="session")
def dask_cluster(tmp_path_factory):
    """Two workers. Not for tests that end more of it than workers, which their nannies start again."""
    needs("dask")
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    try:
        await_workers(cluster.backend, 2)
        yield cluster
    finally:
        close_kept()
        cluster.end()


@pytest.fixture(scope="session")
def ray_cluster():
    """Two nodes with a worker each, to which this program is connected."""
    needs("ray")
    cluster = RayCluster()
    try:
        yield cluster
    finally:
        close_kept()
        cluster.end()


def cluster_of(engine, request):
    """The cluster of an engine, with `backend` to reach it; what maps keep on it is for all tests."""
    return request.getfixturevalue(f"{engine}_cluster")


def pretend(folder, package, version):
    """Makes a folder of which Python believes that it holds the package in that version."""
    described = Path(folder) / f"{package}-{version}.dist-info"
    described.mkdir(parents=True)
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    return os.pathsep.join([str(folder), *PATHS])


def close_kept():
    """Ends the connections that maps keep."""
    from plait._cluster import kept

    for executor in kept.executors.values():
        executor.shutdown()
    kept.executors.clear()


class DaskCluster:
    """A scheduler with workers of one thread each."""

    def __init__(self, folder, workers=2, **environ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._environ = environ
        self._begin("0")
        self.backend = self.address.replace("tcp://", "dask://")
        self.workers = []
        for _ in range(workers):
            self.add_worker()

    def _begin(self, port):
        told = self.folder / "scheduler.json"
        told.unlink(missing_ok=True)
        self.scheduler = self._start("scheduler", "--port", port, "--scheduler-file", told)
        self.address = until(lambda: self._address(told), "the scheduler's address")

    def restart(self):
        """Kills all of it, and starts it anew at the same address."""
        number = len(self.workers)
        self.end()
        self.workers.clear()
        self._begin(self.address.rpartition(":")[2])
        for _ in range(number):
            self.add_worker()

    def _address(self, told):
        assert self.scheduler.poll() is None, self.log()
        try:
            return json.loads(told.read_text())["address"]
        except (OSError, ValueError):
            return None

    def add_worker(self, *options, **environ):
        space = self.folder / f"worker-{len(self.workers)}"
        options = ("--nthreads", "1", "--local-directory", space, *options)
        self.workers.append(self._start("worker", self.address, *options, **environ))

    def _start(self, kind, *arguments, **environ):
        quiet = {"DASK_LOGGING__DISTRIBUTED": "error", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        command = [sys.executable, "-m", "dask", kind, *map(str, arguments), "--host", "127.0.0.1"]
        command += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        with open(self.folder / "log", "a") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(PATHS), **self._environ, **environ},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self):
        return (self.folder / "log").read_text()

    def kill(self, process):
        """Kills one of the processes and all below it, as a machine that is switched off does."""
        below = descendants(process.pid)
        for pid in [process.pid, *below]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()
        until(lambda: not any(map(is_alive, below)), f"the end of {below}")

    def end(self):
        for process in [*self.workers, self.scheduler]:
            self.kill(process)


def await_workers(backend, number):
    """Waits until the cluster has so many workers."""
    from distributed import Client

    with Client(backend.replace("dask://", "tcp://"), set_as_default=False) as client:
        client.wait_for_workers(number, timeout=60)


class RayCluster:
    """Two nodes with a worker each, to which this process is connected."""

    backend = "ray"

    def __init__(self, connect=True, **head):
        # Its sockets lie there, whose names may not be long; and the note of where it is, which Ray puts into
        # a folder that only its programs make.
        self.folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
        os.mkdir(os.path.join(self.folder, "ray"))
        told = {**RAY, "PYTHONPATH": os.pathsep.join(PATHS), "RAY_TMPDIR": self.folder}
        self._environ = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        import ray
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 1, "object_store_memory": 80 << 20}
        head = {**node, "include_dashboard": False, "temp_dir": self.folder, **head}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            self._cluster.add_node(**node)
            self.address = self._cluster.address
            if connect:
                ray.init(self.address, log_to_driver=False, configure_logging=False)
        except BaseException:
            self.end()
            raise

    def add_node(self):
        """Adds another node."""
        return self._cluster.add_node(num_cpus=1, object_store_memory=80 << 20)

    def kill(self, node):
        """Kills a node, as a machine that is switched off does."""
        self._cluster.remove_node(node, allow_graceful=False)

    def end(self):
        import ray

        ray.shutdown()
        self._cluster.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, value in self._environ.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
