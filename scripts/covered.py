#!/usr/bin/env python3
"""Say which lines of plait its tests run: `make coverage`.

    scripts/covered.py              builds plait so that it counts, runs `make test` on one Python, reports
    scripts/covered.py --report     reports what the last run counted
    scripts/covered.py --files 40   names more of the files where most was never run (20 of each language)

Lines of Rust count as run if a Rust test runs them or a Python one, in whichever process; a process that is
killed has counted up to then. Those of Python count in processes that come to an end. Tests themselves are
left out. What was counted is kept in .build/coverage, as `rust.lcov` and `python.lcov` for editors to show.
Failing tests do not keep this from reporting: some are sensitive to how long a build like this one takes.

Needs cargo-llvm-cov and the component llvm-tools. Exits 1 when a test failed, 2 when a tool is missing.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COUNTED = ROOT / ".build" / "coverage"
LCOV = {"Rust": COUNTED / "rust.lcov", "Python": COUNTED / "python.lcov"}

# Whole while it runs: other processes of the tests import this, too.
SETTINGS = f"""\
[run]
parallel = true
source = {ROOT / "python" / "plait"}
data_file = {COUNTED / "python" / "data"}
disable_warnings = module-not-imported, module-not-measured, no-data-collected, no-ctracer, no-sysmon
"""


@dataclass(frozen=True)
class Counted:
    """A file's lines that hold code, and those of them that never ran."""

    path: Path
    lines: int
    missed: tuple[int, ...]

    @property
    def room(self) -> str:
        """The crate, or the package below `plait`."""
        parts = self.path.parts
        return "/".join(parts[:2]) if parts[0] == "crates" else "/".join(parts[:3][: len(parts) - 1])


def main() -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--report", action="store_true", help="report what the last run counted")
    parser.add_argument("--files", type=int, default=20, metavar="N", help="how many files are named")
    chosen = parser.parse_args()
    code = 0 if chosen.report else run()
    for language, file in LCOV.items():
        if not file.exists():
            sys.exit(f"nothing was counted of {language}: run `make coverage`")
        report(language, read(file), chosen.files)
    return code


def run() -> int:
    """Run all tests; return 1 if some failed."""
    if remedy := missing():
        print(f"this needs more of Rust: {remedy}", file=sys.stderr)
        sys.exit(2)
    shutil.rmtree(COUNTED, ignore_errors=True)
    (COUNTED / "python").mkdir(parents=True)
    settings = COUNTED / "settings"
    settings.write_text(SETTINGS)
    env = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target" / "coverage"), "PLAIT_COVERAGE": "1"}
    # As the tests in Rust are built: those in Python would wait for code that is not optimised at all.
    env["CARGO_PROFILE_DEV_OPT_LEVEL"] = "1"
    env.update(instrumented(env))
    subprocess.run(["cargo", "llvm-cov", "clean", "--workspace"], cwd=ROOT, env=env, check=True)
    tag = said("scripts/pythons.py", "--default")
    tests = ["make", "test", f"PYTHONS={said('scripts/pythons.py', '--path', tag)}"]
    counting = {**env, "COVERAGE_PROCESS_START": str(settings)}
    code = subprocess.run(tests, cwd=ROOT, env=counting, check=False).returncode
    subprocess.run(
        ["cargo", "llvm-cov", "report", "--lcov", "--output-path", LCOV["Rust"]],
        cwd=ROOT,
        env=env,
        check=True,
    )
    coverage = [ROOT / ".build" / f"venv-{tag}" / "bin" / "coverage"]
    rc = f"--rcfile={settings}"
    subprocess.run([*coverage, "combine", "-q", rc], cwd=ROOT, check=True)
    subprocess.run([*coverage, "lcov", "-q", rc, "-o", LCOV["Python"]], cwd=ROOT, check=True)
    return 1 if code else 0


def missing() -> str | None:
    """Return the command that installs what is missing, if anything is."""
    if shutil.which("cargo-llvm-cov") is None:
        return "cargo install cargo-llvm-cov --locked"
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True)
    if not list(Path(sysroot.stdout.strip()).glob("lib/rustlib/*/bin/llvm-profdata*")):
        return "rustup component add llvm-tools"
    return None


def instrumented(env: dict[str, str]) -> dict[str, str]:
    """Return what has cargo build so that it counts."""
    shown = subprocess.run(
        ["cargo", "llvm-cov", "show-env"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    found = dict(word.split("=", 1) for word in shlex.split(shown.stdout.replace("export ", "")))
    # Counted in the file itself, since many of the processes are killed; some files, which they share.
    flags = f"{env.get('RUSTFLAGS', '')} -Cllvm-args=-runtime-counter-relocation".strip()
    target = Path(env["CARGO_TARGET_DIR"])
    return {**found, "RUSTFLAGS": flags, "LLVM_PROFILE_FILE": str(target / "plait-%4m%c.profraw")}


def said(*command: str) -> str:
    """Return what a script prints."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def read(file: Path) -> list[Counted]:
    """Return what an lcov file tells of the files of plait, without their tests."""
    counted = []
    path, hits = Path(), dict[int, int]()
    for line in file.read_text().splitlines():
        word, _, rest = line.partition(":")
        if word == "SF":
            path, hits = ROOT / rest, {}
        elif word == "DA":
            number, count = rest.split(",")[:2]
            hits[int(number)] = hits.get(int(number), 0) + int(count)
        elif word == "end_of_record" and path.is_relative_to(ROOT) and not is_test(path):
            end = tests_begin(path)
            lines = {number: count for number, count in hits.items() if number < end}
            missed = tuple(sorted(number for number, count in lines.items() if not count))
            counted.append(Counted(path.relative_to(ROOT), len(lines), missed))
    return [each for each in counted if each.lines]


def is_test(path: Path) -> bool:
    """Whether the file holds tests, an example, or what was made by a build."""
    parts = path.relative_to(ROOT).parts
    return parts[0] not in {"crates", "python"} or bool({"tests", "examples"} & set(parts))


def tests_begin(path: Path) -> int:
    """Return the line where the tests of a file of Rust begin, which stand at its end."""
    lines = path.read_text().splitlines()
    for number, (line, after) in enumerate(zip(lines, [*lines[1:], ""], strict=True), start=1):
        if line.startswith("#[cfg(") and "test" in line and after.endswith("mod tests {"):
            return number
    return len(lines) + 1


def report(language: str, counted: list[Counted], files: int) -> None:
    """Print the share of each room, and the files where most was never run."""
    rooms = defaultdict[str, list[Counted]](list)
    for each in counted:
        rooms[each.room].append(each)
    print(f"\n{language:<32} lines   never run   run")
    for room, those in [*sorted(rooms.items()), ("all", counted)]:
        lines, missed = sum(each.lines for each in those), sum(len(each.missed) for each in those)
        print(f"{room:<32}{lines:>6}{missed:>12}{1 - missed / lines:>7.1%}")
    print()
    for each in sorted(counted, key=lambda each: -len(each.missed))[:files]:
        if each.missed:
            print(f"  {each.path}: {len(each.missed)} of {each.lines}: {spans(each.missed)}")


def spans(numbers: Iterable[int]) -> str:
    """Return the first of some numbers as text: `3-5, 9`."""
    found = []
    for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        found.append(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}")
    return ", ".join(found[:12]) + (", …" if len(found) > 12 else "")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
