"""The talk with one arm: starting it, one timed run with a limit, and its end, come what may."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from choosing.contenders import Spec
from choosing.workload import Site

ARM = Path(__file__).with_name("arm.py")
# For what is not timed: making a job, looking through its results.
PATIENCE_SECONDS = 60.0

OK, CUT, FAILED, WRONG, MISSING = "ok", "cut", "failed", "wrong", "missing"


@dataclass(frozen=True)
class Outcome:
    """One run: what became of it, its seconds (the limit, where it was cut off), and why, where it failed."""

    fate: str
    seconds: float = 0.0
    why: str = ""
    digest: str = ""
    choice: dict[str, Any] | None = None


class Link:
    """An arm's process. It is started when it is first needed, and again after it had to be ended."""

    def __init__(self, workload: str, site: Site, folder: str) -> None:
        self._command = [sys.executable, ARM, workload, json.dumps(site)]
        self._environment = {**os.environ, "JOBLIB_TEMP_FOLDER": folder}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: Any = None
        self._heard = b""

    def run(self, spec: Spec, limit: float) -> Outcome:
        """Let the arm run a contender once; it is ended if that takes longer than `limit` seconds."""
        if self._process is None:
            self._start()
        self._process.stdin.write(json.dumps(spec.as_json()).encode() + b"\n")
        self._process.stdin.flush()
        answer = self._hear(PATIENCE_SECONDS)
        if answer is None or answer["what"] == MISSING:
            return self._broken("said nothing") if answer is None else Outcome(MISSING, why=answer["why"])
        began = time.monotonic()
        answer = self._hear(limit)
        if answer is None:
            if self._process.poll() is None and time.monotonic() - began >= limit:
                return Outcome(CUT, limit, self._where())
            return self._broken("ended")
        if answer["what"] == FAILED:
            return Outcome(FAILED, why=answer["why"] + self._tail())
        seconds, choice = answer["seconds"], answer["choice"]
        answer = self._hear(PATIENCE_SECONDS)
        if answer is None:
            return self._broken("ended while its results were looked through")
        if answer["what"] == WRONG:
            return Outcome(WRONG, seconds, answer["why"], choice=choice)
        return Outcome(OK, seconds, digest=answer["digest"], choice=choice)

    def close(self) -> None:
        """Let the arm end its pools, and itself."""
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            pass
        # Also whoever it left behind, as joblib's workers are.
        self.kill()

    def kill(self) -> None:
        """End the arm and all that it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        # loky's semaphores have names, and what would remove them was ended too.
        for semaphore in Path("/dev/shm").glob(f"sem.loky-{self._process.pid}-*"):
            semaphore.unlink(missing_ok=True)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self._log.close()
        self._process = None

    def _start(self) -> None:
        self._heard = b""
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - open as long as the arm
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self._environment,
            # A group of its own: to be ended with all its workers. Ctrl-C ends it through its stdin.
            start_new_session=True,
        )

    def _hear(self, seconds: float) -> dict[str, Any] | None:
        """Return the arm's next answer, None if it is not there in time or never will be."""
        deadline = time.monotonic() + seconds
        answers = self._process.stdout.fileno()
        # Read without Python's buffer: what lies in that is not seen by `select`.
        while b"\n" not in self._heard:
            heard, _, _ = select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
            data = os.read(answers, 1 << 16) if heard else b""
            if not data:
                return None
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return json.loads(line)

    def _where(self) -> str:
        """End an arm that takes too long; return where its threads were."""
        # faulthandler, enabled in the arm, writes all stacks on the way out.
        self._process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2)
        tail = self._tail(80)
        self.kill()
        return tail

    def _broken(self, what: str) -> Outcome:
        tail = self._tail()
        self.kill()
        return Outcome(FAILED, why=f"the arm {what}{tail}")

    def _tail(self, lines: int = 20) -> str:
        self._log.seek(0)
        return "".join(f"\n    {line}" for line in self._log.read().splitlines()[-lines:])
