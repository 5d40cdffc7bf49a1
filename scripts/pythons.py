#!/usr/bin/env python3
"""Find the Pythons of this machine that plait supports, one for each minor version.

Looks at what is named in the environment (`PYTHONS`, then `PYTHON`), in PATH (`python3.X`, `python3.Xt`)
and below `~/.pyenv/versions`. Each candidate is started, and asked what it is: a name promises nothing
(pyenv's shims exist for versions that do not answer). Supported are the versions that the classifiers of
pyproject.toml list.

    scripts/pythons.py              one line `TAG PATH` for each supported Python, or for each one in $PYTHONS
    scripts/pythons.py --default    the tag to build for: that of $PYTHON, else the newest supported one found
    scripts/pythons.py --path TAG   the interpreter of that tag

Runs on Pythons older than plait's, since its job is to say that this one is too old.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROBE = (
    "import sys, ensurepip, venv; "
    "print(sys.implementation.name, '%d.%d' % sys.version_info[:2] + ('t' if 't' in sys.abiflags else ''), "
    "getattr(sys, '_base_executable', None) or sys.executable)"
)


def supported_versions():
    """Return the minor versions that pyproject.toml lists, oldest first."""
    text = (ROOT / "pyproject.toml").read_text()
    found = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
    return sorted(found, key=lambda version: int(version.split(".")[1]))


NOT_FOUND = "no supported Python found: install CPython " + " or ".join(supported_versions())


def probe(candidate):
    """Return `(tag, path)` of a usable CPython, or None."""
    try:
        done = subprocess.run(
            [candidate, "-c", PROBE], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    words = done.stdout.split(maxsplit=2)
    if len(words) != 3 or words[0] != "cpython":
        return None
    return words[1], words[2].strip()


def search():
    """Yield the candidates found on this machine, in order of preference."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in supported_versions():
        for suffix in ("", "t"):
            name = "python" + version + suffix
            # Newest patch release first, and not the shim, which answers only where pyenv was told to.
            places = sorted(pyenv.glob("versions/*/bin/" + name), key=patch_number, reverse=True)
            yield from (str(place) for place in places)
            for folder in os.environ.get("PATH", "").split(os.pathsep):
                found = shutil.which(name, path=folder)
                if found:
                    yield found


def patch_number(path):
    """Sort key of `versions/3.12.1/bin/python3.12`."""
    return [int(part) for part in re.findall(r"\d+", path.parent.parent.name)]


def named(variable):
    """Return `{tag: path}` of the interpreters that an environment variable names; a bad name ends it all."""
    found = {}
    for name in os.environ.get(variable, "").split():
        answer = probe(name)
        version = re.fullmatch(r"(?:python)?(3\.\d+t?)", name)
        if answer is None and version:
            # Not in PATH under that name, or a shim that does not answer: it may stand elsewhere.
            tag = version.group(1)
            answer = (tag, find_all()[tag]) if tag in find_all() else None
        if answer is None:
            sys.exit(f"{variable} names {name!r}, which is no working CPython with venv and ensurepip")
        found.setdefault(*answer)
    return found


@functools.lru_cache(maxsize=None)  # noqa: UP033 - the newer name is missing before 3.9
def find_all():
    """Return `{tag: path}` of every supported Python of this machine."""
    found = {}
    for candidate in search():
        answer = probe(candidate)
        if answer and answer[0].rstrip("t") in supported_versions():
            found.setdefault(*answer)
    return found


def default_tag():
    """Return the tag to build for when nothing else is said."""
    own = next(iter(named("PYTHON")), None)
    if own is not None and own.rstrip("t") in supported_versions():
        return own
    found = find_all()
    if not found:
        sys.exit(NOT_FOUND)
    return max(found, key=lambda tag: (not tag.endswith("t"), int(tag.rstrip("t").split(".")[1])))


def main(arguments):
    """Answer one question about the Pythons of this machine."""
    if arguments == ["--default"]:
        print(default_tag())
    elif len(arguments) == 2 and arguments[0] == "--path":
        tag = arguments[1]
        for found in (named("PYTHONS"), named("PYTHON"), find_all()):
            if tag in found:
                print(found[tag])
                return
        sys.exit(f"no CPython {tag} found")
    elif not arguments:
        found = named("PYTHONS") or find_all()
        if not found:
            sys.exit(NOT_FOUND)
        for tag, path in found.items():
            print(tag, path)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
