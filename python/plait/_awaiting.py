"""Futures of pools that event loops wait for: those that end together wake their loop once.

asyncio ties a future of a loop to one of a pool by a callback, which calls the loop from the thread where
the task ended. Such a call costs a system call and an interrupted loop, for each of thousands of futures.
Here the callback is replaced by one that does the same for all futures that have ended until the loop gets
round to it.

What asyncio's callback would do is taken from its closure. Where that does not look as known, it is left as
it is, and each future wakes its loop by itself, as with the stdlib's pools.
"""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

# Weak on both sides: what has ended refers to the loop. An inbox belongs to the futures that it waits for.
_inboxes: "weakref.WeakKeyDictionary[Any, weakref.ref[_Inbox]]" = weakref.WeakKeyDictionary()


class _Inbox:
    """What has ended and was not told to its loop yet."""

    def __init__(self, loop: Any) -> None:
        self._loop = weakref.ref(loop)
        self._ended: deque[tuple[Callable[[Any, Any], object], Any, Any]] = deque()
        self._called = False

    def put(self, tell: Callable[[Any, Any], object], destination: Any, source: Any) -> None:
        """Have the loop's thread call `tell(destination, source)`."""
        loop = self._loop()
        if loop is None or loop.is_closed():
            # Nobody waits any more.
            self._ended.clear()
            return
        self._ended.append((tell, destination, source))
        # Two threads may both find it unset: then the loop is called once more than it need be.
        if self._called:
            return
        self._called = True
        try:
            loop.call_soon_threadsafe(self._empty, loop)
        except RuntimeError:
            # It was closed just now.
            self._called = False
            self._ended.clear()

    def _empty(self, loop: Any) -> None:
        # First, so that what comes from now on calls the loop again.
        self._called = False
        # Not what comes meanwhile: the loop has other things to do in between.
        for _ in range(len(self._ended)):
            try:
                tell, destination, source = self._ended.popleft()
            except IndexError:
                return
            try:
                tell(destination, source)
            except (SystemExit, KeyboardInterrupt):
                if self._ended and not self._called:
                    self._called = True
                    loop.call_soon(self._empty, loop)
                raise
            except BaseException as error:
                if destination.cancelled():
                    # Ctrl-C cancels the main task in a signal handler: between any two steps of `tell`, which
                    # had looked before. Nobody waits for this end any more.
                    continue
                message = f"plait: the end of {source!r} could not be told to {destination!r}"
                loop.call_exception_handler({"message": message, "exception": error, "future": destination})


def _inbox_of(loop: Any) -> _Inbox:
    found = _inboxes.get(loop)
    inbox = None if found is None else found()
    if inbox is None:
        inbox = _Inbox(loop)
        _inboxes[loop] = weakref.ref(inbox)
    return inbox


def chain(callback: Any) -> Any:
    """Give what to call in place of asyncio's `callback` when a future has ended."""
    try:
        names = callback.__code__.co_freevars
        closure = callback.__closure__
        cells = {name: cell.cell_contents for name, cell in zip(names, closure)}
        loop, destination, tell = cells["dest_loop"], cells["destination"], cells["_set_state"]
        if cells.get("source_loop") is not None or not callable(tell):
            return callback
        inbox = _inbox_of(loop)
    except (AttributeError, KeyError, TypeError, ValueError):
        return callback
    if "source_loop" in cells:
        return lambda source: inbox.put(tell, destination, source)

    # Since Python 3.14: in the loop's own thread there is nobody to wake.
    def end(source: Any) -> None:
        if asyncio._get_running_loop() is not loop:
            inbox.put(tell, destination, source)
        elif not destination.cancelled():
            tell(destination, source)

    return end
