"""What plait promises on Linux's own ground and not on POSIX alone (docs/pythons.md, "Other systems")."""

import re
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


def shared_file(link):
    """The name of the shared memory that a link of /proc leads to, such as `plait-worker`, or None."""
    found = _FILE.match(link)
    return found and (found[1] or found[2])


def death_is_known():
    """Returns when who has died is known to be dead: at once on Linux; else it is looked for each 2 ms."""
    if IS_PORTABLE:
        time.sleep(0.05)
