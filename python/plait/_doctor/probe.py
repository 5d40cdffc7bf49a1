"""A Python of its own that imports numerical packages, and tells what came with them.

The doctor does not import them itself: that takes time, starts threads, and may crash. The program below runs
on its own, writes JSON, and waits to be ended; it imports nothing of plait's before those packages, so that
it finds what a user's program would.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from typing import Any, Self

from plait._doctor.finding import amount

# What is imported if it is installed; scipy has a BLAS of its own, which only this module loads.
PACKAGES = ("numpy", "scipy.linalg", "joblib")

# In seconds; a cold disk is slow.
PATIENCE = 20.0

_PROGRAM = """
import json, os, sys, warnings
from importlib.util import find_spec

def enabled():
    ask = getattr(sys, "_is_gil_enabled", None)
    return ask is None or ask()

told = {"imported": [], "failed": {}, "switched": [], "pools": None, "libraries": [], "backend": None}
for name, needed in json.loads(sys.argv[1]):
    before = enabled()
    try:
        if not needed and find_spec(name.partition(".")[0]) is None:
            continue
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            __import__(name)
    except BaseException as error:
        told["failed"][name] = f"{type(error).__name__}: {error}"
    else:
        told["imported"].append(name)
    if enabled() and not before:
        # Python's own warning names the module, between quotes.
        named = [str(w.message).split("'") for w in warned if "global interpreter lock" in str(w.message)]
        told["switched"] += [words[1] for words in named if len(words) > 1] or [name]
told["threads"] = len(os.listdir("/proc/self/task"))
joblib = sys.modules.get("joblib.parallel")
if joblib is not None:
    try:
        import plait
        told["backend"] = "plait" in joblib.BACKENDS
    except Exception as error:
        told["failed"]["plait"] = f"{type(error).__name__}: {error}"
try:
    import threadpoolctl
    told["pools"] = threadpoolctl.threadpool_info()
except ImportError:
    with open("/proc/self/maps") as maps:
        paths = {line.split(None, 5)[5].strip() for line in maps if ".so" in line}
    names = ("openblas", "mkl_rt", "blis", "gomp", "iomp5", "omp.", "flexiblas")
    told["libraries"] = sorted(p for p in paths if any(f"lib{name}" in os.path.basename(p) for name in names))
except Exception as error:
    told["failed"]["threadpoolctl"] = f"{type(error).__name__}: {error}"
# Not on standard output, where packages may print.
with open(int(sys.argv[2]), "w") as answer:
    json.dump(told, answer)
# The doctor may want to look into this process.
sys.stdin.read()
os._exit(0)
"""


class Probe:
    """The program, from when this is made until the end of the context.

    What cannot be started, crashes or takes too long is an error of `result`, as often as that is asked.
    """

    def __init__(self, modules: tuple[str, ...] = ()) -> None:
        """Start it; `modules` are imported too, and it is told if they cannot be."""
        asked = [*((name, False) for name in PACKAGES), *((name, True) for name in modules)]
        self._found: dict[str, Any] | None = None
        self._failure: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._open = contextlib.ExitStack()
        try:
            self._start(asked)
        except OSError as error:
            self._failure = f"no process can be started: {error.strerror or error}"

    def _start(self, asked: list[tuple[str, bool]]) -> None:
        # A pipe would fill up if packages have much to say.
        self._said = self._open.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._answer, write = os.pipe()
        self._open.callback(os.close, self._answer)
        try:
            self._process = subprocess.Popen(
                [*_interpreter(), "-c", _PROGRAM, json.dumps(asked), str(write)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=[write],
            )
        finally:
            os.close(write)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._open.close()

    @property
    def pid(self) -> int:
        """Which process it is, once it has imported everything; it is there until the end of the context."""
        self.result()
        assert self._process is not None
        return self._process.pid

    def result(self) -> dict[str, Any]:
        """Wait for what it found.

        Raises:
            RuntimeError: it could not be started, crashed, or took too long.

        """
        if self._found is None and self._failure is None:
            self._wait()
        if self._found is None:
            raise RuntimeError(self._failure)
        return self._found

    def _wait(self) -> None:
        told, end = b"", time.monotonic() + PATIENCE
        while select.select([self._answer], [], [], max(0.0, end - time.monotonic()))[0]:
            part = os.read(self._answer, 1 << 16)
            if part:
                told += part
                continue
            if told:
                self._found = json.loads(told)
            else:
                self._failure = self._epitaph()
            return
        self._failure = f"importing packages took more than {amount(PATIENCE, 'second')}"

    def _epitaph(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        self._said.seek(0)
        last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
        return f"the process that imports packages ended by {how}" + (f": {last}" if last else "")


def _interpreter() -> list[str]:
    """Give the command of this interpreter, with the options that it was started with."""
    from subprocess import _args_from_interpreter_flags  # type: ignore[attr-defined]

    return [sys.executable, *_args_from_interpreter_flags()]
