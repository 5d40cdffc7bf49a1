"""Calls every reader of foreign bytes with mutations of valid ones, for as long as is asked: `make fuzz`.

The targets are the tests named `fuzz_TARGET` (`crates/`) and `test_fuzz_TARGET` (`tests/`), which `make test`
runs for a moment. It prints how many inputs each has read. What makes one fail is kept where these tests
replay it. Exits 1 if one failed.
"""

import argparse
import os
import re
import resource
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A length that is believed is to fail here, and not to take all memory. The commons of plait-shm are as long
# as an address space allows, and take none.
ADDRESS_SPACE = 16 << 30
SPACIOUS = {"plait-shm"}


def targets():
    """Where each target is, by its name: a crate, or a file of tests."""
    found = {}
    for path in sorted(ROOT.glob("crates/*/src/**/*.rs")):
        for name in re.findall(r"^\s*fn fuzz_(\w+)\(\)", path.read_text(), re.MULTILINE):
            found[name] = path.relative_to(ROOT).parts[1]
    for path in sorted(ROOT.glob("tests/test_*.py")):
        for name in re.findall(r"^def test_fuzz_(\w+)\(", path.read_text(), re.MULTILINE):
            found[name] = path
    return found


def run(name, place, environment):
    """Whether the target came to its end."""
    if isinstance(place, Path):
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
        command += ["--timeout", "0", str(place), "-k", f"test_fuzz_{name}"]
    else:
        command = ["cargo", "test", "--quiet", "-p", place, "--lib", f"fuzz_{name}", "--", "--nocapture"]

    def bound():
        if place not in SPACIOUS and isinstance(place, str):
            resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))

    ended = subprocess.run(
        command, cwd=ROOT, env=environment, preexec_fn=bound, text=True, capture_output=True, check=False
    )
    told = [line for line in ended.stdout.splitlines() if f"fuzz {name}: " in line]
    if ended.returncode == 0 and told:
        print(told[0].lstrip("."), flush=True)
        return True
    print(f"fuzz {name}: FAILED ({ended.returncode})\n{ended.stdout}{ended.stderr}", flush=True)
    return False


def main():
    """The exit code."""
    known = targets()
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default 60)")
    parser.add_argument(
        "--target", action="append", choices=sorted(known), help="default: all, one after the other"
    )
    parser.add_argument(
        "--seed", type=int, default=secrets.randbits(32), help="default: another one each time"
    )
    parser.add_argument("--list", action="store_true", help="name the targets")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(f"{name:16} {getattr(place, 'name', place)}" for name, place in known.items()))
        return 0
    environment = {
        **os.environ,
        "PLAIT_FUZZ_SECONDS": str(arguments.seconds),
        "PLAIT_FUZZ_SEED": str(arguments.seed),
        "RUST_BACKTRACE": "0",
    }
    failed = [name for name in arguments.target or known if not run(name, known[name], environment)]
    if failed:
        print(f"failed: {', '.join(failed)}; the inputs are kept, see git status")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
