"""Break the protocols of shared memory one by one, and see that their models notice.

Each mutant of crates/plait-shm/mutants.toml replaces one text of a source file: an ordering is weakened, or
a check is dropped. It is put into a copy of the crate, and the one loom test that is named beside it has to
fail there, as it has to pass in the copy without a mutant. The copy lies in target/mutants, where cargo
finds what it built before. The exit code is 1 if a mutant survives, does not build or does not end, if
its text is no longer found exactly once, or if no mutant names a model that there is.
"""

import argparse
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LISTED = ROOT / "crates" / "plait-shm" / "mutants.toml"
PLACE = ROOT / "target" / "mutants"
COPY = PLACE / "copy"
SOURCES = COPY / "crates" / "plait-shm" / "src"
# What a crate of the workspace needs to be built alone: itself, and the vocabulary.
COPIED = ("Cargo.toml", "Cargo.lock", "crates/plait-shm", "crates/plait-trace")
BUILD = ["cargo", "test", "--quiet", "-p", "plait-shm", "--lib", "--no-run"]
# Loom is where the time goes, and is compiled once: the slowest model takes 5 s instead of 80.
BUILD += ["--config", 'profile.test.package."*".opt-level=3']
# Seconds for one model; the slowest takes some ten on an idle machine.
PATIENCE = 600


@dataclass(frozen=True)
class Mutant:
    """One replacement, and the test that has to notice it."""

    file: str
    what: str
    old: str
    new: str
    test: str

    def broken(self, source: str) -> str:
        """Return the file with the mutant in it; ValueError if its text is not there exactly once."""
        if (found := source.count(self.old)) != 1:
            raise ValueError(f"its text is in the file {found} times")
        if self.old == self.new:
            raise ValueError("it changes nothing")
        return source.replace(self.old, self.new)


class BuildFailed(Exception):
    """What the compiler said."""


def copy() -> None:
    """Make the copy as the tree is; files that are as before keep their time, so that cargo builds little."""
    wanted = set()
    for name in COPIED:
        at = ROOT / name
        files = [at] if at.is_file() else [path for path in at.rglob("*") if path.is_file()]
        for path in files:
            to = COPY / path.relative_to(ROOT)
            wanted.add(to)
            write(to, path.read_bytes())
    for path in [path for path in COPY.rglob("*") if path.is_file() and path not in wanted]:
        path.unlink()


def write(path: Path, content: bytes) -> None:
    """Write a file, unless this is what it holds."""
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def build() -> Path:
    """Build the tests of the copy as models; return the program."""
    flags = {"RUSTFLAGS": "--cfg loom --cap-lints allow", "CARGO_TARGET_DIR": str(PLACE / "built")}
    env = {**os.environ, **flags}
    command = [*BUILD, "--message-format", "json-render-diagnostics"]
    ran = subprocess.run(command, cwd=COPY, env=env, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise BuildFailed(ran.stderr)
    told = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    programs = [line["executable"] for line in told if line.get("executable")]
    return Path(programs[-1])


def run(program: Path, test: str) -> tuple[bool, str]:
    """Run one test: did it pass, and else why not. TimeoutExpired if it does not end."""
    env = {**os.environ, "RUST_BACKTRACE": "0"}
    command = [str(program), test, "--exact"]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if "running 1 test" not in ran.stdout:
        raise ValueError(f"there is no test {test}")
    return ran.returncode == 0, reason(ran.stdout)


def reason(printed: str) -> str:
    """Return what the first panic said."""
    lines = printed.splitlines()
    for at, line in enumerate(lines):
        if "panicked at" in line:
            said = next((said.strip() for said in lines[at + 1 :] if said.strip()), "")
            # What follows is which thread of the model was where.
            return said.partition("; threads")[0]
    return "it was killed"


def judge(mutant: Mutant) -> tuple[bool, str]:
    """Put a mutant in, and take it out again: was it noticed, and how."""
    at = SOURCES / mutant.file
    source = at.read_text()
    try:
        at.write_text(mutant.broken(source))
        passed, why = run(build(), mutant.test)
    except ValueError as error:
        return False, str(error)
    except BuildFailed as error:
        return False, f"does not build: {str(error).strip()}"
    except subprocess.TimeoutExpired:
        return False, f"does not end within {PATIENCE} s"
    finally:
        at.write_text(source)
    return (False, "SURVIVED") if passed else (True, why)


def chosen(only: list[str]) -> list[Mutant]:
    """Return the mutants whose file, words or test have one of the words in them; all without words."""
    everything = [Mutant(**entry) for entry in tomllib.loads(LISTED.read_text())["mutant"]]
    return [
        mutant
        for mutant in everything
        if not only or any(word in f"{mutant.file} {mutant.what} {mutant.test}" for word in only)
    ]


def unnamed(program: Path) -> list[str]:
    """Return the models of a program that no mutant names."""
    ran = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True)
    models = [line.removesuffix(": test") for line in ran.stdout.splitlines() if line.endswith(": test")]
    return sorted(set(models) - {mutant.test for mutant in chosen([])})


def unbroken(mutants: list[Mutant]) -> list[str]:
    """Run the tests in the copy as it is; return what is wrong."""
    program = build()
    wrong = [f"no mutant is listed that {model} has to notice" for model in unnamed(program)]
    for test in sorted({mutant.test for mutant in mutants}):
        try:
            passed, why = run(program, test)
        except (ValueError, subprocess.TimeoutExpired) as error:
            passed, why = False, str(error)
        if not passed:
            wrong.append(f"{test} fails without a mutant: {why}")
    return wrong


def main() -> int:
    """Judge the mutants and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", metavar="WORD", help="only mutants with one of these words")
    parser.add_argument("--list", action="store_true", help="name them, and build nothing")
    arguments = parser.parse_args()
    mutants = chosen(arguments.only)
    if not mutants:
        parser.error("no mutant has such a word in it; --list names them")
    if arguments.list:
        print(*(f"{mutant.file:<20} {mutant.what}  [{mutant.test}]" for mutant in mutants), sep="\n")
        return 0
    if shutil.which("cargo") is None:
        parser.error("cargo is not there: mutants are built with it")
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / "lock").open("w") as lock:
        # Another run would put its mutants into the same copy.
        fcntl.flock(lock, fcntl.LOCK_EX)
        return judge_all(mutants)


def judge_all(mutants: list[Mutant]) -> int:
    """As `main`, with the copy to itself."""
    copy()
    try:
        wrong = unbroken(mutants)
    except BuildFailed as error:
        wrong = [f"the copy does not build: {error}"]
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    survived = 0
    for mutant in mutants:
        began = time.monotonic()
        noticed, how = judge(mutant)
        survived += not noticed
        took = time.monotonic() - began
        mark = "noticed" if noticed else "MISSED "
        print(f"{mark} {mutant.file:<19} {mutant.what:<62} {how} ({took:.0f} s)", flush=True)
    print(f"\n{len(mutants) - survived} of {len(mutants)} mutants were noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
