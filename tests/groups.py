"""Control groups that tests make, where they may."""

import contextlib
import os
from pathlib import Path

import pytest
from outside import until


def hierarchy(controller):
    """Where new groups with this controller can be made, and which version of control groups that is."""
    mine = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine.update(dict.fromkeys(controllers.split(","), path))
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        place, kind = line.split(" - ")
        top, at = place.split()[3:5]
        version, _, options = kind.split()[:3]
        if version == "cgroup" and controller in options.split(","):
            own = Path(at) / os.path.relpath(mine.get(controller, "/"), top)
            return 1, own if own.is_dir() else Path(at)
        if version == "cgroup2":
            # Groups with processes in them cannot hand the controllers down; the top can.
            handed = Path(at, "cgroup.subtree_control")
            if handed.exists() and controller in handed.read_text().split():
                return 2, Path(at)
    pytest.skip(f"no control groups with the {controller} controller here")


class Group:
    """A control group made by a test."""

    def __init__(self, version, path):
        self.version, self.path = version, path
        try:
            path.mkdir()
        except OSError as error:
            pytest.skip(f"control groups cannot be made here: {error}")

    def __str__(self):
        return str(self.path)

    def write(self, name, value):
        try:
            (self.path / name).write_text(f"{value}\n")
        except OSError as error:
            pytest.skip(f"{name} of a control group cannot be set here: {error}")

    def cpus(self, count):
        """Give it a quota."""
        if self.version == 2:
            self.write("cpu.max", f"{int(count * 100_000)} 100000")
        else:
            self.write("cpu.cfs_period_us", 100_000)
            self.write("cpu.cfs_quota_us", int(count * 100_000))

    def memory(self, size):
        """Give it a limit, and tell its file."""
        name = "memory.max" if self.version == 2 else "memory.limit_in_bytes"
        self.write(name, size)
        return str(self.path / name)

    def remove(self):
        """Remove it; what ran in it has ended, but its memory may take a moment."""

        def gone():
            with contextlib.suppress(OSError):
                self.path.rmdir()
            return not self.path.exists()

        until(gone, f"the end of {self.path}")


@pytest.fixture
def make_group():
    """What makes groups: one of a controller, or one within another."""
    made = []

    def make(controller, within=None):
        if within is not None:
            if within.version == 2:
                within.write("cgroup.subtree_control", f"+{controller}")
            group = Group(within.version, within.path / "inner")
        else:
            version, above = hierarchy(controller)
            group = Group(version, above / f"plait-test-{controller}-{os.getpid()}")
        made.append(group)
        return group

    yield make
    for group in reversed(made):
        group.remove()
