"""Event loops that are blocked until somebody is told of it, and what was told.

A stall here lasts until it is told, so nothing depends on how fast the machine is.
"""

import asyncio
import sys
import threading

from outside import PATIENCE

LIMIT = 0.1


def here(back=0):
    """The line of the caller, that many lines further up."""
    return sys._getframe(1).f_lineno - back


class Told(list):
    """What was told; as a callback of `plait.watch_loop` it notes it, and lets what waits go on."""

    def __init__(self):
        super().__init__()
        self.news = threading.Event()
        # Called by coroutines, to block their loop; code of the standard library's is passed over.
        self.wait = self.news.wait

    def __call__(self, blocked):
        self.append(blocked)
        if not blocked.over:
            self.news.set()

    @property
    def begun(self):
        """What was told while it lasted."""
        return [blocked for blocked in self if not blocked.over]

    @property
    def ended(self):
        """What was told when it was over."""
        return [blocked for blocked in self if blocked.over]


async def soon(condition, what):
    """Waits until `condition()` is true, while the loop goes on; gives its value."""
    for _ in range(int(PATIENCE / 0.01)):
        if value := condition():
            return value
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE:.0f} s in vain for: {what}")


def watchers():
    """The threads that look at loops."""
    return [thread for thread in threading.enumerate() if thread.name == "plait-watch-loop"]


async def block_told():
    """Blocks its loop until that is told; whether it was."""
    import plait

    told = Told()
    with plait.watch_loop(LIMIT, told):
        return told.wait(PATIENCE)
