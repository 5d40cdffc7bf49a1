"""Run the Rust tests, the models and pytest on each Python given, all to their end; close with a summary.

Called by the Makefile, which has built what is tested. A run that failed does not keep the next from
running; the exit code is 1 when any of them failed. A hung Python test dumps the stacks of its threads and
ends its run; so does a step that goes on for longer than `LIMIT`, such as one that hangs after its last test.
As many suites run at the same time as there are processors, at least two: on a machine fuller than that,
tests of real processes, signals and clocks would tell of the machine. What does not depend on the Python
(marked `once`) is shared out among the Pythons, and is a suite of its own on each: shorter ones, which keep
all processors busy to the end. What each prints is shown when it has ended, and how far it is each minute.
What is seen on an idle machine only (tests marked `quiet`) is looked for after them, on the first. The tests
on a cluster of Dask have an environment of their own, and are a suite like the others.
Where at most `FLAKY` tests of a suite fail, they are run twice more when all suites have ended, those of Rust
at once: what passes both times is named as flaky in the summary, and any other failure is one. A flaky test
is a fault to be mended.
"""

import argparse
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
# PyO3's cdylib has no Python to link with outside an interpreter; what it holds is tested from Python.
RUST = ["--workspace", "--exclude", "plait-py"]
# The protocols of shared memory in every interleaving of small cases; see crates/plait-shm/README.md.
LOOM = ["cargo", "nextest", "run", "-p", "plait-shm", "--release", "--target-dir", "target/loom"]
# What needs a cluster of Dask, or says that there is none.
DASK = "Dask"
DASK_FILES = ["test_cluster_*.py", "test_dask*.py", "test_compare_clusters.py"]
DASK_PAGES = ["tests/test_snippets.py::test_script_runs", "-k", "not .md or dask.md"]
# How far pytest is, at the ends of its lines.
PROGRESS = re.compile(rb"\[ *(\d+)%\]\n")
# How many tests of a suite may fail that pass when they are run again.
FLAKY = 2
# Seconds after which a step has hung, many times what one takes on a busy machine of two processors.
LIMIT = (120 if os.environ.get("PLAIT_COVERAGE") else 40) * 60
# pytest's exit codes: tests have failed; there was none to run, such as with `-k` and a name.
FAILED, NONE = 1, 5
# nextest's: tests have failed.
RUST_FAILED = 100


@dataclasses.dataclass(frozen=True)
class Suite:
    """The tests in one environment: `arguments` say which of them."""

    title: str
    folder: str
    arguments: Sequence[str]
    #: pytest's expression of marks; those of several suites leave out what is seen on an idle machine only.
    marked: str = ""

    @property
    def seen(self) -> Path:
        """The folder where pytest notes which tests failed."""
        return ROOT / ".build" / f"pytest-{self.title.replace(' ', '-')}"

    @property
    def _pytest(self) -> list[str]:
        python = ROOT / ".build" / self.folder / "bin" / "python"
        # What was printed before a test that had to be ended hard is not lost.
        return [str(python), "-u", "-m", "pytest", "-o", "timeout=300", "-o", "timeout_method=thread"]

    def command(self) -> list[str]:
        """What runs it."""
        marked = ["-m", self.marked] if self.marked else []
        return [*self._pytest, "-o", f"cache_dir={self.seen}", *self.arguments, *marked]

    def only(self, chosen: Sequence[str]) -> list[str]:
        """What runs other tests in its environment, and notes nothing."""
        return [*self._pytest, "-p", "no:cacheprovider", *chosen]


def wait(step: subprocess.Popen, title: str, kept: IO[bytes] | None) -> int:
    """Return its exit code; one that hangs is told to print its stacks, which pytest does, and ended."""
    for minute in range(1, LIMIT // 60 + 1):
        try:
            return step.wait(60)
        except subprocess.TimeoutExpired:
            if kept and (done := PROGRESS.findall(os.pread(kept.fileno(), 1 << 20, 0))):
                print(f"  {title}: {int(done[-1])} % after {minute} min", flush=True)
    step.send_signal(signal.SIGABRT)
    try:
        return step.wait(60)
    except subprocess.TimeoutExpired:
        step.kill()
        return step.wait()


def run(title: str, command: list[str], shown: bool = True) -> tuple[str, int]:
    """Run a step, showing its output as it is made or at its end; its summary, and its exit code."""
    # Property tests draw the same cases each time, unless one asks for others; new ones are for `make fuzz`.
    env = {"PROPTEST_RNG_SEED": "1", **os.environ}
    if command is LOOM:
        env["RUSTFLAGS"] = "--cfg loom"
        env["CARGO_PROFILE_RELEASE_LTO"] = "off"
    elif title.startswith(DASK):
        # Nothing is installed there but what plait needs.
        env["PYTHONPATH"] = str(ROOT / "python")
    began = time.monotonic()
    with tempfile.TemporaryFile() as kept:
        if shown:
            print(f"\n== {title}", flush=True)
        out = None if shown else kept
        step = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        code = wait(step, title, out)
        took = time.monotonic() - began
        kept.seek(0)
        if not shown:
            text = kept.read().decode(errors="replace")
            print(f"\n== {title}\n{text}", flush=True)
    verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
    return f"  {title:<22} {verdict}, {took:.0f} s", code


def look_again(suite: Suite) -> list[str]:
    """Run the tests that failed twice more; return their names if they passed both times, else none."""
    noted = suite.seen / "v" / "cache" / "lastfailed"
    failed = sorted(json.loads(noted.read_text())) if noted.exists() else []
    if not failed or len(failed) > FLAKY:
        return []
    for turn in ("again", "once more"):
        if run(f"{suite.title}, {turn}", suite.only(failed))[1] != 0:
            return []
    return failed


def run_rust() -> tuple[str, int]:
    """Run the Rust tests, and those that failed by chance again."""
    command = ["cargo", "nextest", "run", *RUST]
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    # nextest's note of what became of each test; see .config/nextest.toml.
    noted = ROOT / target / "nextest" / "default" / "junit.xml"
    noted.unlink(missing_ok=True)
    line, code = run("Rust tests", command)
    if code != RUST_FAILED or not noted.exists():
        return line, code
    cases = ElementTree.parse(noted).iterfind(".//testcase")
    failed = {
        (case.get("classname"), case.get("name"))
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    if not failed or len(failed) > FLAKY:
        return line, code
    chosen = " | ".join(f"(binary_id(={binary}) & test(={test}))" for binary, test in sorted(failed))
    for turn in ("again", "once more"):
        if run(f"Rust tests, {turn}", [*command, "-E", chosen])[1] != 0:
            return line, code
    names = ", ".join(f"{binary} {test}" for binary, test in sorted(failed))
    return f"{line}; FLAKY, passed twice when run again: {names}", 0


def suites_of(tags: Sequence[str], chosen: Sequence[str]) -> list[Suite]:
    """Return the suites of these Pythons, the long ones first."""
    if len(tags) == 1 and chosen:
        # What they print can be followed.
        return [Suite(f"Python {tags[0]}", f"venv-{tags[0]}", chosen)]
    its = [Suite(f"Python {tag}", f"venv-{tag}", chosen, "not once and not quiet") for tag in tags]
    # They are as long as the others on one Python.
    among = tags if len(tags) > 1 else [*tags, *tags]
    shared = [
        Suite(
            f"Python {tag}, shared {number}",
            f"venv-{tag}",
            [f"--once={number}/{len(among)}", *chosen],
            "once and not quiet",
        )
        for number, tag in enumerate(among, 1)
    ]
    return its + shared


def run_suites(suites: Sequence[Suite], chosen: Sequence[str]) -> list[tuple[str, int]]:
    """Run them, several at a time; then what needs an idle machine, and what failed by chance."""
    for suite in suites:
        shutil.rmtree(suite.seen, ignore_errors=True)
    if sum(suite.title != DASK for suite in suites) < 2:
        ended = [run(suite.title, suite.command()) for suite in suites]
    else:
        print(f"\n== {', '.join(suite.title for suite in suites)} at the same time", flush=True)
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
            started = [pool.submit(run, suite.title, suite.command(), False) for suite in suites]
            ended = [future.result() for future in started]
        idle = run(f"{suites[0].title}, alone", suites[0].only([*chosen, "-m", "quiet"]))
        ended += [idle] if idle[1] != NONE else []
    some = any(code != NONE for _, code in ended)
    for number, suite in enumerate(suites):
        line, code = ended[number]
        if code == NONE and some:
            ended[number] = (f"  {suite.title:<22} has none of these tests", 0)
        # Other codes than that of failed tests: the run did not come to its end.
        if code == FAILED and (flaky := look_again(suite)):
            ended[number] = (f"{line}; FLAKY, passed twice when run again: {', '.join(flaky)}", 0)
    return ended


def main() -> int:
    """Run every step and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rust", action="store_true")
    parser.add_argument("--loom", action="store_true", help="the models alone; --rust has them too")
    parser.add_argument("--python", action="append", default=[], metavar="TAG")
    parser.add_argument("--dask", metavar="TAG", help="the tests on a cluster of Dask, on this Python")
    parser.add_argument("pytest", nargs="*", help="arguments handed to pytest")
    arguments = parser.parse_args()
    chosen = arguments.pytest
    ended = []
    if arguments.rust:
        ended.append(run_rust())
        ended.append(run("Rust doc tests", ["cargo", "test", "--quiet", "--doc", *RUST]))
    if arguments.rust or arguments.loom:
        ended.append(run("Models (loom)", LOOM))
    suites = suites_of(arguments.python, chosen) if arguments.python else []
    if arguments.dask and not chosen:
        files = [str(path) for name in DASK_FILES for path in sorted((ROOT / "tests").glob(name))]
        suites.append(Suite(DASK, f"cluster-{arguments.dask}", [*files, *DASK_PAGES]))
    if suites:
        ended += run_suites(suites, chosen)
    print("\n== Summary", *[line for line, _ in ended], sep="\n", flush=True)
    return 0 if all(code == 0 for _, code in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
