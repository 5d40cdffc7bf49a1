"""Run the Rust tests where more is seen than whether they pass: under Miri, or with sanitizers.

`make miri`: Miri interprets the tests and checks each access to memory: bounds, lifetimes, aliasing,
provenance, data races, alignment. Files, mappings and descriptors of shared memory are acted out on the
heap there (crates/plait-shm/src/system), so the protocols run as they are; what cannot run says so in its
test (`ignore`). Tests of racing threads run again, in other orders.

`make sanitize`: ThreadSanitizer and AddressSanitizer (with its search for leaks), in the real processes of
the tests. ThreadSanitizer takes two mappings of one memory for two memories, so the tests of one process
run again with the memory acted out.

Needs the nightly toolchain. Exits 1 when something was found, 2 when a part of the toolchain is missing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MACHINE = "x86_64-unknown-linux-gnu"
# Tests whose outcome may depend on which thread goes first.
RACING = ["bell::", "seats::", "status::", "stream::", "tail::", "pool_memory::"]
SEEDS = 4
# The property tests run a few cases, and write down none of them; the clock is Miri's own.
MIRIFLAGS = " ".join(
    [
        "-Zmiri-strict-provenance",
        "-Zmiri-env-set=PROPTEST_CASES=4",
        "-Zmiri-env-set=PROPTEST_DISABLE_FAILURE_PERSISTENCE=1",
    ]
)
# Where words of one length come to lie in place of words of another, Miri's own stores that are seen late
# fail ("cannot have partially overlapping store buffer"), so these tests have stores that are seen at once.
# Their keepers leave the list that the kernel reads after their end.
MIXED = ["locks::", "queue::", "wild_writes"]
STRONG = "-Zmiri-disable-weak-memory-emulation -Zmiri-ignore-leaks"
# The rest of the engine asks the system: for limits, for processes, for the time.
DECIDING = ["budget::", "chooser::", "chunk::", "scheduler::", "threads::", "turns::", "tally::", "wire::"]
# Not an error: a forked child starts its keeper, a thread that uses nothing of the parent's threads.
FORKS = "die_after_fork=0"
LEAKS = f"suppressions={ROOT / 'scripts' / 'leaks.txt'}:print_suppressions=0"


@dataclass(frozen=True)
class Step:
    """One command, and what is set for it."""

    title: str
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)


def miri() -> list[Step]:
    """Return the steps of `make miri`."""
    test = ["cargo", "+nightly", "miri", "nextest", "run", "--lib"]
    shm = [*test, "-p", "plait-shm", "-E"]
    env = {"MIRIFLAGS": MIRIFLAGS}
    seeds = {**env, "MIRIFLAGS": f"{MIRIFLAGS} -Zmiri-many-seeds=1..{SEEDS + 1}"}
    mixed = {**env, "MIRIFLAGS": f"{MIRIFLAGS} {STRONG}"}
    return [
        Step("Miri: shared memory", [*shm, f"not ({named(MIXED)})"], env),
        Step("Miri: locks and queues", [*shm, named(MIXED)], mixed),
        Step(f"Miri: races, {SEEDS} orders", [*shm, named(RACING)], seeds),
        Step("Miri: recordings", [*test, "-p", "plait-trace"], env),
        Step("Miri: what decides", [*test, "-p", "plait-engine", "-E", named(DECIDING)], env),
    ]


def named(words: list[str]) -> str:
    """Return nextest's filter for tests with one of `words` in their names."""
    return " | ".join(f"test({word})" for word in words)


def sanitize() -> list[Step]:
    """Return the steps of `make sanitize`."""
    run = ["cargo", "+nightly", "nextest", "run", "--profile", "sanitize", "--target", MACHINE]
    # The engine has no unsafe code, and so no races of its own.
    both = ["-p", "plait-shm", "-p", "plait-engine"]
    flags = "-Zsanitizer=thread"
    thread = {"CARGO_TARGET_DIR": "target/tsan", "RUSTFLAGS": flags, "TSAN_OPTIONS": FORKS}
    acted = {**thread, "RUSTFLAGS": f"{flags} --cfg acted"}
    address = {"CARGO_TARGET_DIR": "target/asan", "RUSTFLAGS": "-Zsanitizer=address", "LSAN_OPTIONS": LEAKS}
    return [
        Step("ThreadSanitizer", [*run, "-Zbuild-std", "-p", "plait-shm"], thread),
        Step("ThreadSanitizer, one memory", [*run, "-Zbuild-std", "-p", "plait-shm", "--lib"], acted),
        Step("AddressSanitizer", [*run, *both], address),
    ]


CHECKS = {"miri": (miri, ["miri", "rust-src"]), "sanitize": (sanitize, ["rust-src"])}


def missing(components: list[str]) -> str | None:
    """Return the command that installs what is missing, if anything is."""
    if shutil.which("rustup") is None:
        return "install rustup (https://rustup.rs), then: rustup toolchain install nightly"
    asked = ["rustup", "+nightly", "component", "list", "--installed"]
    listed = subprocess.run(asked, capture_output=True, text=True, check=False)
    names = " ".join(f"--component {name}" for name in components)
    if listed.returncode != 0:
        return f"rustup toolchain install nightly --profile minimal {names}"
    there = listed.stdout.split()
    lacks = [name for name in components if not any(line.startswith(name) for line in there)]
    return f"rustup component add --toolchain nightly {' '.join(lacks)}" if lacks else None


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--only", default="", metavar="TEXT", help="the steps with this in their title")
    arguments = parser.parse_args()
    steps, components = CHECKS[arguments.check]
    if command := missing(components):
        print(f"this needs more of Rust: {command}", file=sys.stderr)
        return 2
    chosen = [step for step in steps() if arguments.only in step.title]
    if not chosen:
        titles = ", ".join(step.title for step in steps())
        parser.error(f"no step has {arguments.only!r} in its title: {titles}")
    ended = []
    for step in chosen:
        print(f"\n== {step.title}", flush=True)
        began = time.monotonic()
        done = subprocess.run(step.command, cwd=ROOT, env={**os.environ, **step.env}, check=False)
        verdict = "nothing found" if done.returncode == 0 else f"FAILED (exit code {done.returncode})"
        ended.append((done.returncode, f"  {step.title:<28} {verdict}, {time.monotonic() - began:.0f} s"))
    print("\n== Summary", *(line for _, line in ended), sep="\n", flush=True)
    return 1 if any(code for code, _ in ended) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
