"""Starting programs and observers, and reading what was recorded."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class Target:
    """A program of `target.py` that runs."""

    def __init__(self, kind: str, *arguments: object, python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "observing.target", kind, *map(str, arguments)],
            cwd=HERE.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"the program {kind!r} did not start")

    def ask(self) -> Any:
        """Ask it what it knows."""
        self._process.stdin.write("?\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> "Target":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@contextlib.contextmanager
def recording(pid: int, *options: str) -> Iterator[dict[str, Any]]:
    """Record `pid` while the block runs; the dictionary is then what `plait report -o x.plait.json` gives."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        trace, form = Path(folder) / "t.plait", Path(folder) / "t.plait.json"
        observer = begin(
            [sys.executable, "-m", "plait", "record", "--quiet", "-o", str(trace), *options, str(pid)]
        )
        wait_for(trace)
        try:
            yield found
        finally:
            end(observer)
        subprocess.run(
            [sys.executable, "-m", "plait", "report", str(trace), "-o", str(form)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        found.update(json.loads(form.read_text()))
        found["bytes"] = trace.stat().st_size


def begin(command: list[str]) -> subprocess.Popen[bytes]:
    """Start an observer."""
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(path: Path) -> None:
    """Wait until an observer has begun to write."""
    deadline = time.monotonic() + 20
    while not (path.exists() and path.stat().st_size > 200):
        if time.monotonic() > deadline:
            raise RuntimeError("the observer did not begin within 20 s")
        time.sleep(0.01)


def end(observer: subprocess.Popen[bytes]) -> None:
    """End it as Ctrl-C does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(observer.pid, signal.SIGINT)
    _, said = observer.communicate(timeout=60)
    if observer.returncode not in (0, -signal.SIGINT):
        raise RuntimeError(f"the observer failed: {said.decode(errors='replace').strip()}")


@contextlib.contextmanager
def quota(processors: float) -> Iterator[list[str]]:
    """Make a control group with this quota; give what stands before a command that runs in it."""
    top = Path("/sys/fs/cgroup")
    folder = (top / "cpu" if (top / "cpu").is_dir() else top) / f"plait-bench-{os.getpid()}"
    folder.mkdir()
    try:
        micros = str(round(processors * 100_000))
        if (folder / "cpu.max").exists():
            (folder / "cpu.max").write_text(f"{micros} 100000")
        else:
            (folder / "cpu.cfs_quota_us").write_text(micros)
        yield ["sh", "-c", f'echo $$ > {folder}/cgroup.procs; exec "$@"', "sh"]
    finally:
        folder.rmdir()


@contextlib.contextmanager
def burners(count: int) -> Iterator[None]:
    """Let so many processes compute while the block runs."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()
