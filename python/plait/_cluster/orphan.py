"""Loaded by each nanny of a cluster that plait started: ends it when the program is gone, however it went.

By itself a worker notices that its scheduler is gone, but waits for the call that it runs.
"""

import os
import select
import shutil
import signal
import threading
from typing import Any

# By these the program tells its nannies who it is, and where they put their files.
PROGRAM, FOLDER = "PLAIT_CLUSTER_PROGRAM", "PLAIT_CLUSTER_FOLDER"


def dask_setup(nanny: Any) -> None:
    """Begin to watch; called by Dask."""
    program, folder = int(os.environ[PROGRAM]), os.environ[FOLDER]
    try:
        watched = os.pidfd_open(program)
    except ProcessLookupError:
        _end(folder)
        return
    threading.Thread(target=_watch, args=(watched, folder), name="plait-orphan", daemon=True).start()


def _watch(program: int, folder: str) -> None:
    select.select([program], [], [])
    _end(folder)


def _end(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    # Its own session: the nanny, its worker, and what that has started.
    os.killpg(os.getpgid(0), signal.SIGKILL)
