"""`plait doctor` in a program of its own, and control groups to run it in."""

import contextlib
import errno
import json
import os
from pathlib import Path

import pytest
from outside import run_program, until

# The command in a program of its own; what stands before it is done first.
PROGRAM = """
{before}
import sys
from plait.__main__ import main
sys.argv = ["plait", "doctor", *{arguments!r}]
sys.exit(main())
"""


def doctor(*arguments, before="", **options):
    return run_program("-c", PROGRAM.format(before=before, arguments=arguments), **options)


class Told:
    """What the command said as JSON."""

    def __init__(self, ended):
        assert ended.err == "", ended
        self.code = ended.code
        self.whole = json.loads(ended.out)

    def __getitem__(self, name):
        """The only finding of this name; or several of it, as a list."""
        found = [finding for finding in self.whole["findings"] if finding["name"] == name]
        return found[0] if len(found) == 1 else found


@contextlib.contextmanager
def group(controller, **files):
    """A control group with these files in it: the line of a program that joins it, and its directory."""
    top = Path("/sys/fs/cgroup", controller)
    if not top.is_dir():
        top = Path("/sys/fs/cgroup")
    directory = top / f"plait-doctor-test-{os.getpid()}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        try:
            for name, text in files.items():
                first, _, rest = name.partition("_")
                (directory / f"{first}.{rest}").write_text(text)
        except OSError as error:
            pytest.skip(f"the control group cannot be given this limit: {error}")
        yield f"open({str(directory / 'cgroup.procs')!r}, 'w').write('0')", directory
        until(lambda: not (directory / "cgroup.procs").read_text(), "an empty control group")
    finally:
        until(lambda: is_removed(directory), f"{directory} to be let go")


def is_removed(directory):
    """Removes it; the kernel may still be busy with a process that has just left it."""
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
