"""What lives as long as the soak: pools that no fault strikes, and a process at the other end of queues.

Their workers are where a leak of a worker shows: those of the storm's own pools are killed long before.
"""

import subprocess
import sys
from typing import Any

import plait
import work

ECHO = "import os\nwhile word := os.read(0, 1): os.write(1, word)"


class Lasting:
    """Open for as long as its block; what does not end well there is raised."""

    def __init__(self, workers: int) -> None:
        self.calm = plait.ProcessPoolExecutor(workers)
        self.threads = plait.ThreadPoolExecutor(workers)
        self.loop = plait.Executor("asyncio")
        self.auto = plait.Executor(max_workers=workers)
        self.pool = plait.Pool(1)
        self.questions: plait.Queue[int] = plait.Queue()
        self.answers: plait.Queue[int] = plait.Queue()
        self.lock = plait.Lock()
        self.echo = plait.Process(target=work.echo, args=(self.questions, self.answers))
        # What waking another process costs without plait: where that grows, it is the machine.
        pipe = subprocess.PIPE
        self.bare = subprocess.Popen([sys.executable, "-Sc", ECHO], stdin=pipe, stdout=pipe, bufsize=0)

    def __enter__(self) -> "Lasting":
        self.echo.start()
        return self

    def pids(self) -> list[int]:
        """The workers that are to be the same in an hour."""
        return [*self.calm._stats()["pids"], *([self.echo.pid] if self.echo.pid else [])]

    def __exit__(self, *_: Any) -> None:
        self.questions.shutdown()
        self.echo.join()
        for executor in (self.calm, self.threads, self.loop, self.auto):
            executor.shutdown()
        self.pool.close()
        self.pool.join()
        assert self.bare.stdin and self.bare.stdout
        self.bare.stdin.close()
        self.bare.stdout.close()
        self.bare.wait()
