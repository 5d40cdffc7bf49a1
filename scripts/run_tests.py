"""Run the Rust tests, the models and pytest on each Python given, all to their end; close with a summary.

Called by the Makefile, which has built what is tested. A run that failed does not keep the next from
running; the exit code is 1 when any of them failed. A hung Python test dumps the stacks of its threads and
ends its run.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# PyO3's cdylib has no Python to link with outside an interpreter; what it holds is tested from Python.
RUST = ["--workspace", "--exclude", "plait-py"]
# The protocols of shared memory in every interleaving of small cases; see crates/plait-shm/README.md.
LOOM = ["cargo", "nextest", "run", "-p", "plait-shm", "--release", "--target-dir", "target/loom"]
PYTEST = ["-o", "timeout=300", "-o", "timeout_method=thread"]


def steps(arguments: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Return the title and the command of each run."""
    listed: list[tuple[str, list[str]]] = []
    if arguments.rust:
        listed.append(("Rust tests", ["cargo", "nextest", "run", *RUST]))
        listed.append(("Rust doc tests", ["cargo", "test", "--quiet", "--doc", *RUST]))
    if arguments.rust or arguments.loom:
        listed.append(("Models (loom)", LOOM))
    for tag in arguments.python:
        python = str(ROOT / ".build" / f"venv-{tag}" / "bin" / "python")
        listed.append((f"Python {tag}", [python, "-m", "pytest", *PYTEST, *arguments.pytest]))
    return listed


def main() -> int:
    """Run every step and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rust", action="store_true")
    parser.add_argument("--loom", action="store_true", help="the models alone; --rust has them too")
    parser.add_argument("--python", action="append", default=[], metavar="TAG")
    parser.add_argument("pytest", nargs="*", help="arguments handed to pytest")
    summary: list[str] = []
    failed = 0
    for title, command in steps(parser.parse_args()):
        print(f"\n== {title}", flush=True)
        began = time.monotonic()
        env = {**os.environ, "RUSTFLAGS": "--cfg loom"} if command is LOOM else None
        code = subprocess.run(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, check=False).returncode
        failed += code != 0
        verdict = "passed" if code == 0 else f"FAILED (exit code {code})"
        summary.append(f"  {title:<16} {verdict}, {time.monotonic() - began:.0f} s")
    print("\n== Summary", *summary, sep="\n", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
