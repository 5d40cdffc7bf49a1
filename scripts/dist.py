"""Make what a release consists of, in dist/, and try each part as somebody who installs it would.

    make dist                        a wheel for each supported Python found, an sdist, bills of materials
    make dist PYTHONS=python3.12     for these Pythons only
    make dist ARGS=--built           builds nothing; what lies in dist/ is tried again

Wheels are linked by zig for `GLIBC`, audited, and installed into environments that have neither Rust nor any
other program in PATH. There a program runs on each backend. The sdist is built by pip, in an environment of
its own, and some of the tests run against that. A wheel over `WHEEL_BYTES`, and an `import plait` that costs
over `IMPORT_RATIO` of what the standard library's own pool does, fail the command. Nothing is uploaded.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# The oldest that Rust itself supports.
GLIBC = "manylinux_2_17"
WHEEL_BYTES = 5_000_000
SDIST_BYTES = 3_000_000
IMPORT_RATIO = 1.0
# Tests that need nothing but plait and what the tests' own requirements name in `TESTERS`.
TESTS = ["test_import.py", "test_exports.py", "test_executor.py", "test_map.py", "test_cells.py"]
TESTERS = ["pytest", "pytest-timeout", "numpy"]

USED = """
import plait

counter = plait.Value(int, lock=True)

def count(n):
    with counter.get_lock():
        counter.value += n
    return n * n

for backend in ("serial", "threads", "processes", "asyncio", "auto"):
    fn = count
    if backend == "asyncio":
        async def fn(n):
            return count(n)
    assert list(plait.map(fn, range(100), backend=backend)) == [n * n for n in range(100)], backend
assert counter.value == 5 * 4950
print(plait.__file__)
"""

IMPORT = "import time\nbegun = time.process_time()\nimport {}\nprint(time.process_time() - begun)"


class Refused(Exception):
    """What was made is not fit to be released; the text says why."""


def within(what: str, found: float, bound: float, unit: str) -> str:
    """Return a line that tells a figure and its bound.

    Raises:
        Refused: it is over that.

    """
    line = f"{what}: {found:,.2f} {unit}, at most {bound:,.2f}"
    if found > bound:
        raise Refused(f"{line}: too much")
    return line


def run(*command: object, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        Refused: it failed.

    """
    words = [str(word) for word in command]
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{' '.join(words)[:200]}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def tool(name: str) -> Path:
    """Return a program of the environment that this runs in."""
    return Path(sys.executable).parent / name


def with_tools() -> dict[str, str]:
    """Return an environment in which maturin finds zig, and pip finds Rust."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def outside(path: Path) -> dict[str, str]:
    """Return an environment that knows nothing of this tree, with this folder for a PATH."""
    # A sdist's files are dated so old that cargo would take what it built of other sources for theirs.
    ours = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME", "CARGO_TARGET_DIR")
    return {**{name: value for name, value in os.environ.items() if name not in ours}, "PATH": str(path)}


# --- making


def pythons() -> list[tuple[str, str]]:
    """Return tag and path of each Python to build for."""
    found = run(sys.executable, ROOT / "scripts" / "pythons.py")
    return [(tag, path) for tag, _, path in (line.partition(" ") for line in found.splitlines())]


def make_wheel(python: str) -> None:
    """Build for one Python."""
    options = ["--release", "--locked", "--zig", "--compatibility", GLIBC, "--auditwheel", "check"]
    run(tool("maturin"), "build", *options, "-i", python, "--out", DIST, env=with_tools())


def make_sdist() -> None:
    """Pack the sources."""
    run(tool("maturin"), "sdist", "--out", DIST, env=with_tools())


def wheel_of(tag: str) -> Path:
    """Return the wheel of this tag, such as 3.12 or 3.13t.

    Raises:
        Refused: there is none, or more than one.

    """
    number = tag.rstrip("t").replace(".", "")
    found = sorted(DIST.glob(f"plait-*-cp{number}-cp{tag.replace('.', '')}-*{GLIBC}_*.whl"))
    if len(found) != 1:
        raise Refused(f"dist/ has {len(found)} wheels for Python {tag}: {[path.name for path in found]}")
    return found[0]


def sdist() -> Path:
    """Return the one sdist.

    Raises:
        Refused: there is none, or more than one.

    """
    found = sorted(DIST.glob("plait-*.tar.gz"))
    if len(found) != 1:
        raise Refused(f"dist/ has {len(found)} sdists: {[path.name for path in found]}")
    return found[0]


# --- looking


def complaint(said: dict[str, object]) -> str | None:
    """What speaks against a wheel that auditwheel says this of."""
    tag = str(said.get("overall_tag"))
    needed = re.fullmatch(r"manylinux_(\d+)_(\d+)_\w+", tag)
    if needed is None:
        return f"it is for {tag} only"
    if (int(needed[1]), int(needed[2])) > tuple(map(int, GLIBC.split("_")[1:])):
        return f"it needs {tag}, which is newer than {GLIBC}"
    return None


def audit(wheel: Path) -> str:
    """Return what auditwheel finds that the wheel runs on.

    Raises:
        Refused: not on what its name promises.

    """
    said = json.loads(run(tool("auditwheel"), "show", "--json", wheel, env=with_tools()))
    against = complaint(said)
    if against:
        raise Refused(f"{wheel.name}: {against}")
    return str(said["overall_tag"])


def take_crates(wheel: Path) -> Path:
    """Lay the bill of a wheel's crates, which maturin puts into it, beside it.

    Raises:
        Refused: there is none in it.

    """
    with zipfile.ZipFile(wheel) as packed:
        bills = [name for name in packed.namelist() if re.search(r"\.dist-info/sboms/.*\.json$", name)]
        if len(bills) != 1:
            raise Refused(f"{wheel.name} has {len(bills)} bills of materials")
        bill = packed.read(bills[0])
    parts = len(json.loads(bill)["components"])
    if parts < 20:
        raise Refused(f"{wheel.name} lists {parts} crates: that cannot be all")
    target = DIST / f"{wheel.stem}.crates.cdx.json"
    target.write_bytes(bill)
    return target


# --- trying


@contextmanager
def environment(python: str) -> Iterator[Path]:
    """Make a new environment without pip; the path of its Python, for as long as it is there."""
    with tempfile.TemporaryDirectory(prefix="plait-dist-") as made:
        run(python, "-m", "venv", "--without-pip", made)
        yield Path(made) / "bin" / "python"


def install(python: Path, *what: object, env: dict[str, str]) -> None:
    """Have this environment's pip install something into that one."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", *what, env=env)


def import_ratio(python: Path, env: dict[str, str], rounds: int = 15) -> float:
    """What `import plait` costs, in processor time, beside the import of the standard library's pool."""

    def cost(module: str) -> float:
        return float(run(python, "-I", "-c", IMPORT.format(module), env=env))

    ratios = []
    for _ in range(rounds):
        own = cost("plait")
        ratios.append(own / cost("concurrent.futures.process"))
    return statistics.median(ratios)


def use(python: Path, env: dict[str, str]) -> None:
    """Run a program on what was installed there.

    Raises:
        Refused: it ran on another plait.

    """
    home = Path(run(python, "-I", "-c", USED, env=env, cwd=python.parent).strip())
    if not home.is_relative_to(python.parent.parent.resolve()):
        raise Refused(f"{home} is not what was installed into {python.parent.parent}")
    run(python.parent / "plait", "--version", env=env)


def try_wheel(wheel: Path, python: str) -> list[str]:
    """Install a wheel where there is no other program, and use it; what to tell of it."""
    told = [
        f"{wheel.name}: runs on {audit(wheel)}",
        within("  size", wheel.stat().st_size / 1e6, WHEEL_BYTES / 1e6, "MB"),
        f"  crates: {take_crates(wheel).name}",
    ]
    with environment(python) as installed, tempfile.TemporaryDirectory() as empty:
        env = outside(Path(empty))
        install(installed, "--only-binary", ":all:", wheel, env=env)
        use(installed, env)
        ratio = import_ratio(installed, env)
        told.append(within("  import plait", ratio, IMPORT_RATIO, "of the stdlib's pool"))
        bill = DIST / f"{wheel.stem}.python.cdx.json"
        options = ["--of", "JSON", "--pyproject", "pyproject.toml", "-o", bill]
        run(tool("cyclonedx-py"), "environment", *options, installed)
        told.append(f"  Python's part: {bill.name}")
    return told


def try_sdist(source: Path, python: str) -> list[str]:
    """Have pip build an sdist, and run some of the tests against what comes of it; what to tell of it."""
    told = [f"{source.name}", within("  size", source.stat().st_size / 1e6, SDIST_BYTES / 1e6, "MB")]
    with environment(python) as installed:
        env = outside(Path(os.environ["PATH"]))
        install(installed, "--no-binary", "plait", source, env=env)
        use(installed, env)
        install(installed, "-c", "requirements/test.txt", *TESTERS, env=env)
        tests = [ROOT / "tests" / name for name in TESTS]
        # One of them asks for Ray, which is not there.
        options = ["-q", "-p", "no:cacheprovider", "-k", "not unknown_backend"]
        said = run(installed, "-m", "pytest", *options, *tests, env=env)
    told.append(f"  tests: {said.splitlines()[-1]}")
    return told


def main() -> int:
    """Make all of it, try all of it, and tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--built", action="store_true", help="build nothing: try what lies in dist/")
    arguments = parser.parse_args()
    try:
        found = pythons()
        if not arguments.built:
            shutil.rmtree(DIST, ignore_errors=True)
            for tag, python in found:
                print(f"building for Python {tag}", flush=True)
                make_wheel(python)
            make_sdist()
        for tag, python in found:
            print(*try_wheel(wheel_of(tag), python), sep="\n", flush=True)
        print(*try_sdist(sdist(), found[-1][1]), sep="\n", flush=True)
    except Refused as error:
        print(f"dist: {error}", file=sys.stderr)
        return 1
    print("dist/ is fit to be released")
    return 0


if __name__ == "__main__":
    sys.exit(main())
