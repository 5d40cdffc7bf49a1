"""Event loops of plait's own, each in a thread, for callers that have none or must not block theirs.

There is one for the process, and one for each level of maps within coroutines: a map that is waited for in a
coroutine blocks the loop of that coroutine, and so needs another. They are kept until the program ends;
then what still runs is cancelled and has a moment to tidy up. A forked child makes its own.
"""

import asyncio
import atexit
import os
import sys
import threading
import weakref
from collections.abc import Coroutine
from typing import Any, TypeVar

from plait import _exit, _waiting
from plait._asyncio.group import GRACE, Group

T = TypeVar("T")

_lock = threading.Lock()
_homes: "dict[int, Home]" = {}

# Those of the parent, in a forked child: closing such a loop would take files out of the parent's `epoll`.
_parents: "list[Home]" = []

_here = threading.local()


class Home:
    """An event loop and its thread."""

    def __init__(self, depth: int) -> None:
        """Start it. `depth`: in how many loops of plait's it is waited for."""
        self.loop = new_loop()
        self.groups: weakref.WeakSet[Group] = weakref.WeakSet()
        self._depth = depth
        self._leaving = False
        # A daemon, so that a coroutine that blocks cannot keep the program from ending.
        self.thread = threading.Thread(target=self._run, name="plait-asyncio", daemon=True)
        self.thread.start()

    def wait(self, coroutine: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Run a coroutine on the loop and wait for it.

        Raises:
            TimeoutError: it took longer than `seconds`; it goes on.
            RuntimeError: the loop has ended with the program.

        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError:
            coroutine.close()
            raise
        return _waiting.result(future, seconds)

    def is_here(self) -> bool:
        """Whether this is the loop's own thread, which must not wait for it."""
        return threading.current_thread() is self.thread

    def leave(self) -> None:
        """End: cancel what runs, wait a moment for it, close the loop."""
        interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")
        moment = _exit.MOMENT if interrupted else 2 * GRACE
        try:
            self.wait(self._end_all(), moment)
        except (TimeoutError, RuntimeError):
            return
        self._leaving = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(moment)

    async def _end_all(self) -> None:
        await asyncio.gather(*[group.end() for group in list(self.groups)])
        # What coroutines have begun by themselves.
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_asyncgens()

    def _run(self) -> None:
        _here.depth = self._depth + 1
        while not self._leaving:
            try:
                self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit):
                # Of a coroutine: it is that call's failure, and raised where its result is asked for.
                continue
        self.loop.close()


def home() -> Home:
    """Give the loop for a map or executor of this thread.

    Raises:
        RuntimeError: the program ends.

    """
    depth = getattr(_here, "depth", 0)
    found = _homes.get(depth)
    if found is not None:
        return found
    with _lock:
        if _exit.is_ending():
            raise RuntimeError("cannot start an event loop after interpreter shutdown")
        if depth not in _homes:
            _homes[depth] = Home(depth)
        return _homes[depth]


def new_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's where that is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _leave_all() -> None:
    # The innermost first, since loops further out wait for them.
    for depth in sorted(_homes, reverse=True):
        _homes.pop(depth).leave()


def _forget_all() -> None:
    # Another thread of the parent's may have held the lock.
    global _lock
    _lock = threading.Lock()
    _parents.extend(_homes.values())
    _homes.clear()
    vars(_here).clear()


atexit.register(_leave_all)
os.register_at_fork(after_in_child=_forget_all)
