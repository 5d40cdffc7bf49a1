"""Run the Rust tests, the models and pytest on each Python given, all to their end; close with a summary.

Called by the Makefile, which has built what is tested. A run that failed does not keep the next from
running; the exit code is 1 when any of them failed. A hung Python test dumps the stacks of its threads and
ends its run. Suites of several Pythons run at the same time, two for each processor: they mostly wait. What
does not depend on the Python (marked `once`) is shared out among them. What each prints is shown when it has
ended.
These are tests of real processes, signals and clocks, beside two other suites on a machine that may be busy.
Where at most `FLAKY` tests of a suite fail, they are run twice more when all suites have ended: those that
pass both times are named as flaky in the summary, and any other failure is one. A flaky test is a fault to
be mended.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# PyO3's cdylib has no Python to link with outside an interpreter; what it holds is tested from Python.
RUST = ["--workspace", "--exclude", "plait-py"]
# The protocols of shared memory in every interleaving of small cases; see crates/plait-shm/README.md.
LOOM = ["cargo", "nextest", "run", "-p", "plait-shm", "--release", "--target-dir", "target/loom"]
PYTEST = ["-o", "timeout=300", "-o", "timeout_method=thread"]
# How many tests of a suite may fail that pass when they are run again.
FLAKY = 2


def steps(arguments: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Return the title and the command of each run."""
    listed: list[tuple[str, list[str]]] = []
    if arguments.rust:
        listed.append(("Rust tests", ["cargo", "nextest", "run", *RUST]))
        listed.append(("Rust doc tests", ["cargo", "test", "--quiet", "--doc", *RUST]))
    if arguments.rust or arguments.loom:
        listed.append(("Models (loom)", LOOM))
    for number, tag in enumerate(arguments.python, 1):
        python = str(ROOT / ".build" / f"venv-{tag}" / "bin" / "python")
        share = f"--once={number}/{len(arguments.python)}"
        seen = [*PYTEST, "-o", f"cache_dir={seen_by(tag)}"]
        listed.append((f"Python {tag}", [python, "-m", "pytest", *seen, share, *arguments.pytest]))
    return listed


def seen_by(tag: str) -> Path:
    """Return the folder where pytest notes which tests failed."""
    return ROOT / ".build" / f"pytest-{tag}"


def look_again(title: str, command: list[str], seen: Path) -> list[str]:
    """Run the tests that failed twice more; return their names if they passed both times, else none."""
    noted = seen / "v" / "cache" / "lastfailed"
    failed = sorted(json.loads(noted.read_text())) if noted.exists() else []
    if not failed or len(failed) > FLAKY:
        return []
    for turn in ("again", "once more"):
        again = [*command, "-p", "no:cacheprovider", *failed]
        if run(f"{title}, {turn}", again, shown=True)[1] != 0:
            return []
    return failed


def run(title: str, command: list[str], shown: bool) -> tuple[str, int]:
    """Run a step, showing its output as it is made or at its end; its summary, and its exit code."""
    env = {**os.environ, "RUSTFLAGS": "--cfg loom"} if command is LOOM else None
    began = time.monotonic()
    with tempfile.TemporaryFile() as kept:
        if shown:
            print(f"\n== {title}", flush=True)
        out = None if shown else kept
        code = subprocess.run(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False
        ).returncode
        took = time.monotonic() - began
        kept.seek(0)
        if not shown:
            text = kept.read().decode(errors="replace")
            print(f"\n== {title}\n{text}", flush=True)
    verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
    return f"  {title:<16} {verdict}, {took:.0f} s", code


def main() -> int:
    """Run every step and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rust", action="store_true")
    parser.add_argument("--loom", action="store_true", help="the models alone; --rust has them too")
    parser.add_argument("--python", action="append", default=[], metavar="TAG")
    parser.add_argument("pytest", nargs="*", help="arguments handed to pytest")
    arguments = parser.parse_args()
    listed = steps(arguments)
    for tag in arguments.python:
        shutil.rmtree(seen_by(tag), ignore_errors=True)
    pythons = [step for step in listed if step[0].startswith("Python")]
    alone = listed if len(pythons) < 2 else [step for step in listed if step not in pythons]
    ended = [run(*step, shown=True) for step in alone]
    if alone is not listed:
        print(f"\n== {', '.join(title for title, _ in pythons)} at the same time", flush=True)
        with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            ended += pool.map(lambda step: run(*step, shown=False), pythons)
    for number, tag in enumerate(arguments.python, len(ended) - len(pythons)):
        line, code = ended[number]
        # Other codes than that of failed tests: the run did not come to its end.
        if code != 1:
            continue
        title, command = pythons[number - len(ended)]
        # Named by their whole names: what is shared out, or chosen by `arguments.pytest`, does not matter.
        flaky = look_again(title, command[: 3 + len(PYTEST)], seen_by(tag))
        if flaky:
            ended[number] = (f"{line}; FLAKY, passed twice when run again: {', '.join(flaky)}", 0)
    print("\n== Summary", *[line for line, _ in ended], sep="\n", flush=True)
    return 0 if all(code == 0 for _, code in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
