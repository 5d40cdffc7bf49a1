"""What plait promises on Linux's own ground alone, or only where there is a GIL (docs/pythons.md)."""

import re
import sys
import time

import pytest
from plait import _core

IS_PORTABLE = _core.PLATFORM == "portable"

# A file of plait's shared memory, as a link of /proc shows it: an anonymous one of Linux's, or a POSIX
# object that has lost its name.
_FILE = re.compile(r"/(?:memfd:([\w-]+)|dev/shm/([a-z-]+)-[0-9a-f]+-[0-9a-f]+) \(deleted\)")


def _skipped(reason):
    return pytest.mark.skipif(IS_PORTABLE, reason=reason)


page_maps = _skipped("whether memory was written to since is told by Linux's maps of pages")
gives_back = _skipped("parts of a shared object cannot be given back")
any_dev_shm = _skipped("shared objects of POSIX lie in /dev/shm here")

HAS_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
needs_gil = pytest.mark.skipif(not HAS_GIL, reason="it is about the GIL, and this Python has none")
in_place = pytest.mark.skipif(
    not HAS_GIL, reason="without a GIL containers and functions are not read in place: others may change them"
)


def shared_file(link):
    """The name of the shared memory that a link of /proc leads to, such as `plait-worker`, or None."""
    found = _FILE.match(link)
    return found and (found[1] or found[2])


def death_is_known():
    """Returns when who has died is known to be dead: at once on Linux; else it is looked for each 2 ms."""
    if IS_PORTABLE:
        time.sleep(0.05)
