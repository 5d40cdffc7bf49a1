"""Real Dask clusters for tests: a scheduler and workers as processes on the loopback, ended by their id."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import plait
from outside import TESTS, descendants, is_alive, until

PATHS = [str(TESTS), str(Path(plait.__file__).parent.parent)]


class DaskCluster:
    """A scheduler with workers of one thread each."""

    def __init__(self, folder, workers=2, **environ):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._environ = environ
        told = self.folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", told)
        self.address = until(lambda: self._address(told), "the scheduler's address")
        self.backend = self.address.replace("tcp://", "dask://")
        self.workers = []
        for _ in range(workers):
            self.add_worker()

    def _address(self, told):
        assert self.scheduler.poll() is None, self.log()
        try:
            return json.loads(told.read_text())["address"]
        except (OSError, ValueError):
            return None

    def add_worker(self, *options):
        space = self.folder / f"worker-{len(self.workers)}"
        options = ("--nthreads", "1", "--local-directory", space, *options)
        self.workers.append(self._start("worker", self.address, *options))

    def _start(self, kind, *arguments):
        quiet = {"DASK_LOGGING__DISTRIBUTED": "error", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        command = [sys.executable, "-m", "dask", kind, *map(str, arguments), "--host", "127.0.0.1"]
        command += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0"]
        with open(self.folder / "log", "a") as log:
            return subprocess.Popen(
                command,
                env={**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(PATHS), **self._environ},
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
