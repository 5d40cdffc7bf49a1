"""Programs that nobody here wrote, each as it is and under `plait run`: `make compat` runs it.

Each program gets the same input, copied anew for each run into the same place: sources of the standard
library of the Python that runs it. What it prints, its exit code and every file that it leaves must be the
same, byte for byte, and nothing of it may be left running. The two ways take turns; a time is the median of
the rounds; `wall` and `CPU` are the medians of the rounds' ratios, of CPU time with that of all processes
together, which holds on a loaded machine. Pools are those that `plait run --report` tells of. Exits 1 when
a program behaves otherwise under plait.

    scripts/compat.py [--rounds N] [NAME...]

Runs in the environment of requirements/compat.txt, with plait importable.
"""

import argparse
import ctypes
import dataclasses
import hashlib
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parent / "compat"
LIBRARY = Path(os.__file__).resolve().parent
# Longer than any of them takes; one that is still running hangs.
PATIENCE = 300
# Files that differ between any two runs of a program, or say where it ran.
FLEETING = re.compile(r"(\.doctrees/|environment\.pickle$|__pycache__/.*\.pyc\.\d+$|/private/)")


@dataclasses.dataclass
class Program:
    """A program: its name, the package to tell the version of, what comes after `python`, and its input."""

    name: str
    package: str
    arguments: list[str]
    input: Callable[[Path], None]


def sources(*folders: str) -> Callable[[Path], None]:
    """Give what copies these folders of the standard library into `src`."""

    def copy(place: Path) -> None:
        # Not all are in every version.
        for folder in filter(lambda folder: (LIBRARY / folder).is_dir(), folders):
            skipped = shutil.ignore_patterns("__pycache__", "test*", "idle*")
            shutil.copytree(LIBRARY / folder, place / "src" / folder, ignore=skipped)

    return copy


def manual(place: Path) -> None:
    """Make a manual of the sources: a page for each file, with its text in it."""
    sources("json", "email", "logging", "asyncio", "http")(place)
    names = []
    for path in sorted(place.glob("src/**/*.py")):
        name = "-".join(path.relative_to(place / "src").with_suffix("").parts)
        title = f"The file {name}"
        text = f"{title}\n{'=' * len(title)}\n\n.. literalinclude:: {path.relative_to(place)}\n"
        (place / f"{name}.rst").write_text(text, encoding="utf-8")
        names.append(name)
    tree = "\n   ".join(names)
    (place / "index.rst").write_text(f"Manual\n======\n\n.. toctree::\n\n   {tree}\n", encoding="utf-8")
    (place / "conf.py").write_text("project = 'manual'\n", encoding="utf-8")


MANY = sources(
    "json", "email", "logging", "asyncio", "http", "unittest", "xml", "concurrent", "multiprocessing"
)
MOST = sources(
    *(
        "asyncio",
        "concurrent",
        "ctypes",
        "curses",
        "distutils",
        "email",
        "encodings",
        "html",
        "http",
        "importlib",
    ),
    *(
        "json",
        "lib2to3",
        "logging",
        "multiprocessing",
        "pydoc_data",
        "sqlite3",
        "tkinter",
        "unittest",
        "wsgiref",
    ),
    *("xml", "xmlrpc", "zoneinfo"),
)
FEW = sources("json", "logging", "concurrent", "html")

ALL = [
    Program("compileall -j", "", ["-m", "compileall", "-q", "-j", "2", "src"], MOST),
    Program("black", "black", ["-m", "black", "-q", "--workers", "2", "src"], FEW),
    Program("isort -j", "isort", ["-m", "isort", "-q", "-j", "2", "--profile", "black", "src"], MANY),
    Program("flake8 -j", "flake8", ["-m", "flake8", "-j", "2", "src"], MANY),
    Program(
        "pylint -j", "pylint", ["-m", "pylint", "-j", "2", "--persistent=n", "src/json", "src/html"], FEW
    ),
    Program("yapf -p", "yapf", ["-m", "yapf", "-p", "-i", "-r", "src"], sources("json", "html")),
    Program("autopep8 -j", "autopep8", ["-m", "autopep8", "-j", "2", "-i", "-r", "src"], FEW),
    Program("sphinx-build -j", "sphinx", ["-m", "sphinx", "-q", "-j", "2", ".", "out"], manual),
    Program("scikit-learn CV", "scikit-learn", [str(PROGRAMS / "cross_validation.py")], sources("json")),
    Program("dask.bag", "dask", [str(PROGRAMS / "bag.py"), "src"], MANY),
    Program("tqdm process_map", "tqdm", [str(PROGRAMS / "progress.py"), "src"], MANY),
]


@dataclasses.dataclass
class Run:
    """How a run went: seconds, CPU time, exit code, what it printed, a digest of each file that it left."""

    seconds: float
    cpu: float
    code: int
    out: bytes
    err: bytes
    files: dict[str, str]

    def differences(self, other: "Run") -> list[str]:
        """In what they are not alike."""
        found = [name for name in ("code", "out", "err") if getattr(self, name) != getattr(other, name)]
        names = {*self.files, *other.files}
        changed = sorted(name for name in names if self.files.get(name) != other.files.get(name))
        return found + changed


def run(program: Program, place: Path, report: Path | None) -> Run:
    """Run a program on a fresh copy of its input in `place`; under plait if there is to be a report."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    program.input(place)
    home = place / "private"
    home.mkdir()
    env = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "PLAIT_"))}
    # No cache of an earlier run, and sets in the same order in all of them.
    env.update(HOME=str(home), XDG_CACHE_HOME=str(home), PYTHONHASHSEED="0")
    under = [] if report is None else ["-m", "plait", "run", f"--report={report}"]
    began, spent = time.perf_counter(), cpu_of_children()
    done = subprocess.run(
        [sys.executable, *under, *program.arguments],
        cwd=place,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    seconds = time.perf_counter() - began
    wait_for_orphans()
    cpu = cpu_of_children() - spent
    files = {}
    for path in place.rglob("*"):
        name = str(path.relative_to(place.parent))
        if path.is_file() and not FLEETING.search(name):
            files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Run(seconds, cpu, done.returncode, done.stdout, done.stderr, files)


def cpu_of_children() -> float:
    """Seconds of CPU time of all processes that have ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def adopt_orphans() -> None:
    """Have processes that a program leaves behind become children of this one."""
    subreaper = 36
    if ctypes.CDLL(None, use_errno=True).prctl(subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "cannot adopt the processes that programs leave behind")


def wait_for_orphans() -> None:
    """Wait until nothing is left of a program; what stays hangs."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("a program has left a process behind")
        time.sleep(0.005)


def pools_of(report: Path) -> str:
    """Say shortly what a report tells."""
    tasks: dict[str, int] = {}
    left = []
    for line in report.read_text(encoding="utf-8").splitlines()[1:]:
        served = re.match(r"  served  (\S+?)(?: x \d+)?: (\d+) tasks?,", line)
        alone = re.match(r"  left    (\S+?)(?: x \d+)?: ", line)
        if served:
            tasks[served[1]] = tasks.get(served[1], 0) + int(served[2])
        elif alone:
            left.append(f"left: {alone[1]}")
    return ", ".join([*(f"{face}: {number}" for face, number in tasks.items()), *left]) or "none"


def compare(program: Program, folder: Path, rounds: int) -> tuple[list[str], list[str]]:
    """Run a program both ways in turns; its line of the table, and in what the ways are not alike."""
    place, report = folder / "place", folder / "report"
    times: tuple[list[float], list[float]] = ([], [])
    works: tuple[list[float], list[float]] = ([], [])
    differences: list[str] = []
    for turn in range(rounds):
        pair: dict[bool, Run] = {}
        # Each way is the first one in every other round.
        for plait in (turn % 2 == 1, turn % 2 == 0):
            pair[plait] = run(program, place, report if plait else None)
            times[plait].append(pair[plait].seconds)
            works[plait].append(pair[plait].cpu)
        differences = differences or pair[False].differences(pair[True])
    wall, work = (
        statistics.median(mine / theirs for theirs, mine in zip(*sides, strict=True))
        for sides in (times, works)
    )
    try:
        known = version(program.package) if program.package else sys.version.split()[0]
    except PackageNotFoundError:
        known = "?"
    alone, under = map(statistics.median, times)
    verdict = "same" if not differences else "DIFFERS"
    figures = [f"{figure:.2f}" for figure in (alone, under, wall, work)]
    return [program.name, known, pools_of(report), *figures, verdict], differences


def main() -> int:
    """Run the programs and print the table as it grows."""
    parser = argparse.ArgumentParser(description="Run other people's programs with and without plait.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("names", nargs="*", metavar="NAME", help="the first letters of a program's name")
    asked = parser.parse_args()
    widths = [18, 9, 30, 7, 7, 6, 6, 7]
    heads = ["program", "version", "pools served: tasks", "alone s", "plait s", "wall", "CPU", "output"]
    adopt_orphans()

    def show(row: list[str]) -> None:
        cells = [
            cell.rjust(w) if 3 <= n <= 6 else cell.ljust(w) for n, (cell, w) in enumerate(zip(row, widths))
        ]
        print("  ".join(cells).rstrip(), flush=True)

    show(heads)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="plait-compat-") as folder:
        for program in ALL:
            if asked.names and not program.name.startswith(tuple(asked.names)):
                continue
            row, differences = compare(program, Path(folder), asked.rounds)
            show(row)
            if differences:
                failed += 1
                print(f"    {len(differences)} differences: {', '.join(differences[:5])}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
