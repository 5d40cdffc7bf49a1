"""A Dask cluster on this machine: its scheduler in this process, its workers in processes of their own.

Not `distributed.LocalCluster`, whose workers run the user's main script once more: a program without a guard
would start clusters without end. These are started by command, and end when the scheduler is gone, however
that came about.
"""

import asyncio
import json
import logging
import os
import shutil
import signal
import sys
import tempfile

import distributed
from distributed.deploy.subprocess import SubprocessWorker
from distributed.utils import silence_logging_cmgr

from plait._cluster import orphan

# Seconds that workers have to end when they are asked to.
_END = 3.0

# What is logged below this is not for whoever did not know that there is a cluster.
_SILENT = logging.ERROR

# What they have to say comes as exceptions; at the end they complain about each other.
_ENVIRON = {"DASK_LOGGING__DISTRIBUTED": "critical"}


class Worker(SubprocessWorker):  # type: ignore[misc]
    """A worker with its nanny, which finds the modules that this program finds."""

    async def _start(self) -> None:
        spec = {"cls": self.worker_class, "opts": self.worker_kwargs}
        command = ["-m", "dask", "spec", self.scheduler, "--spec", json.dumps(spec)]
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            env={**os.environ, **_ENVIRON, **self._told()},
            stdin=asyncio.subprocess.DEVNULL,
            # Ctrl-C is for the program, which ends its workers itself.
            start_new_session=True,
        )

    def _told(self) -> dict[str, str]:
        return {
            "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
            orphan.PROGRAM: str(os.getpid()),
            orphan.FOLDER: self.worker_kwargs["local_directory"],
        }

    async def close(self) -> None:
        """Ask it to end, so that it cleans up; then kill what is left."""
        process = self.process
        if process is not None and process.returncode is None:
            try:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.wait(), _END)
            except (TimeoutError, ProcessLookupError):
                pass
        await super().close()


class Cluster(distributed.SpecCluster):  # type: ignore[misc]
    """Scheduler and workers, with a folder for what they put on disk."""

    plait_folder = ""

    def end(self, at_once: bool) -> None:
        """Close it; `at_once`: whatever it is doing."""
        try:
            # Of what was killed, those that are left say all kinds of things.
            with silence_logging_cmgr(logging.CRITICAL + 1 if at_once else _SILENT):
                if at_once:
                    self._kill()
                self.close()
        finally:
            shutil.rmtree(self.plait_folder, ignore_errors=True)

    def _kill(self) -> None:
        for worker in list(self.workers.values()):
            process = getattr(worker, "process", None)
            if process is not None and process.returncode is None:
                try:
                    # Its session: itself, its worker, and what that has started.
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue


def start(workers: int | None) -> Cluster:
    """Start a cluster with so many workers of one thread; by default as many as there are cores for."""
    from plait._process import default_workers

    folder = tempfile.mkdtemp(prefix="plait-dask-")
    own = {
        "host": "127.0.0.1",
        "local_directory": folder,
        "dashboard": False,
        # It serves something there all the same, by itself where others do.
        "dashboard_address": "127.0.0.1:0",
    }
    # A call that kills its worker is found out by plait, and need not kill more of them.
    scheduler = {**own, "port": 0, "allowed_failures": 0}
    worker = {**own, "nthreads": 1, "silence_logs": _SILENT, "preload_nanny": [orphan.__name__]}
    path = sys.path[:]
    try:
        cluster = Cluster(
            scheduler={"cls": distributed.Scheduler, "options": scheduler},
            workers={
                number: {"cls": Worker, "options": {"worker_kwargs": worker}}
                for number in range(workers or default_workers())
            },
            name=f"plait-{os.getpid()}",
            silence_logs=_SILENT,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    cluster.plait_folder = folder
    # The scheduler has put its folder in front, which is not where this program finds its modules.
    sys.path[:] = [entry for entry in sys.path if entry in path or not entry.startswith(folder)]
    return cluster
