"""`scripts/newer_python.py` says what it cannot do; that it can is shown by `make test-newer`."""

import pytest
from outside import TESTS, run_program

SCRIPT = TESTS.parent / "scripts" / "newer_python.py"

pytestmark = pytest.mark.once


@pytest.mark.parametrize("version", ["3", "4.1", "3.14.1", "../3.14", ""])
def test_what_is_no_version_is_refused(version):
    ended = run_program(SCRIPT, version)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"{version!r} is no version of Python: say it as 3.14\n"


def test_what_is_missing_is_named(tmp_path):
    # A version that is never there, and no tools.
    ended = run_program(SCRIPT, "3.999", env={"PATH": str(tmp_path)})
    assert ended.code == 1, ended
    assert ended.err.startswith("apt-get is missing: this needs Debian's apt and dpkg"), ended


TOOLS = {
    "apt-get": """
case "$*" in
  *indextargets*) echo http://host/debian/ ;;
  *update*) exit 0 ;;
esac
""",
    "apt-cache": "echo python3.999",
    "dpkg-deb": "exit 1",
    "patchelf": "exit 1",
}


def test_packages_that_debian_lacks_are_named(tmp_path):
    for name, text in TOOLS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    copy = tmp_path / "tree" / "scripts" / SCRIPT.name
    copy.parent.mkdir(parents=True)
    copy.write_text(SCRIPT.read_text())
    ended = run_program(copy, "3.999", "--suite", "sid", env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert ended.code == 1, ended
    assert ended.err == (
        "Debian's sid has no python3.999-venv, libpython3.999-dev, libpython3.999-testsuite\n"
    ), ended
    sources = (tmp_path / "tree" / ".build" / "apt-3.999" / "sources.list").read_text()
    assert sources.endswith("http://host/debian/ sid main\n")
