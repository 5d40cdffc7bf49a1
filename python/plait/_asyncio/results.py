"""The iterator of a map of coroutines from plain code: its thread waits while a loop of plait's runs them.

Calls stand in a queue in the order of their inputs. The consumer reads inputs and hands results out at the
front; the loop makes calls, and rings when the one in front has ended and somebody waits. It rings once for
all that have ended in one turn of the loop. Promises: when `close` returns, all that was begun has been
cancelled and has ended; dropping the iterator closes it.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

from plait import _waiting
from plait._asyncio.group import AHEAD, GRACE, Call, Group, Limits, Width, shown
from plait._asyncio.home import Home
from plait._asyncio.inputs import Reader, Room, pump, zipped

# Calls that are read with each result that is handed out, however quickly results come.
_WITH_EACH = 2


class Line:
    """What the consumer and the loop share: the calls in their order, and a bell."""

    def __init__(self, home: Home, width: Width, buffersize: int | None) -> None:
        """`buffersize`: the most calls in it; None: as `width` asks for."""
        self.calls: deque[Call] = deque()
        self.home = home
        self.ended = False
        self.failure: BaseException | None = None
        self._buffersize = buffersize
        self._width = width
        self._waits = False
        self._bell = threading.Lock()
        self._bell.acquire()

    @property
    def ahead(self) -> int:
        """The most calls in it."""
        return self._buffersize or AHEAD * self._width.now

    def has_room(self) -> bool:
        """Whether another call may be read."""
        return len(self.calls) < self.ahead

    @property
    def ready(self) -> bool:
        """Whether the consumer has something to do: a result, or the end."""
        calls = self.calls
        return calls[0].done if calls else self.ended

    def wait(self) -> None:
        """Wait until there is something, or it may have changed."""
        self._waits = True
        if self.ready:
            self._waits = False
            return
        _waiting.acquire(self._bell)

    # --- the loop's thread

    def tell(self, call: Call) -> None:
        """A call has ended."""
        if not self._waits:
            return
        try:
            in_front = self.calls[0]
        except IndexError:
            # The consumer had looked again by itself, and has taken it.
            return
        if in_front is call:
            # After all others that have ended in this turn.
            self._waits = False
            self.home.loop.call_soon(self._ring)

    def end(self, failure: Exception | None) -> None:
        """No call will come after those that are here."""
        self.failure, self.ended = failure, True
        if self._waits:
            self._waits = False
            self._ring()

    def _ring(self) -> None:
        if self._bell.locked():
            try:
                self._bell.release()
            except RuntimeError:
                pass


class Results(Iterator[Any]):
    """The iterator."""

    def __init__(
        self,
        home: Home,
        fn: Any,
        iterables: tuple[Any, ...],
        concurrency: int | None,
        buffersize: int | None,
        limits: Limits,
        is_async: bool,
    ) -> None:
        """Start the calls. `is_async`: an input must be read on the loop."""
        self._over = False
        self._program = os.getpid()
        self._home = home
        self._limits = limits
        self._reader: Reader | None = None
        self._room: Room | None = None
        width = Width(concurrency)
        self._line = line = Line(home, width, buffersize)
        self._group = Group(home.loop, fn, width, line.tell)
        home.groups.add(self._group)
        try:
            if is_async:
                self._start_pump(iterables)
            else:
                self._reader = Reader(zip(*iterables), limits)
                while self._read() and not line.ready:
                    pass
        except BaseException:
            self.close()
            raise

    def __next__(self) -> Any:
        """The next result.

        Raises:
            Exception: what the call, or an input, raised.
            RuntimeError: this is a forked child, and the map its parent's.

        """
        if self._over:
            raise StopIteration
        if os.getpid() != self._program:
            raise RuntimeError("this map belongs to the parent process; start another one here")
        line = self._line
        try:
            while not line.ready:
                if not self._read():
                    self._group.hurry()
                    line.wait()
            if not line.calls:
                self._stop()
            call = line.calls.popleft()
            if call.error is None:
                for _ in range(_WITH_EACH):
                    if not self._read():
                        break
                self._make_room()
                return call.value
        except BaseException:
            self.close()
            raise
        error = shown(call.error)
        self.close()
        del call
        try:
            raise error
        finally:
            # No cycle by way of the traceback.
            del error

    def close(self) -> None:
        """Cancel what was begun, and return when it has ended; the iterator is exhausted then."""
        self._close(None)

    def __del__(self) -> None:
        """Close it; but whoever runs this may be what a coroutine waits for, so do not wait for ever."""
        if not sys.is_finalizing():
            try:
                self._close(GRACE)
            except AttributeError:
                # It was never made.
                pass

    def _stop(self) -> None:
        """Raise what ends the iterator; the calls have all ended."""
        self._over = True
        failure, self._line.failure = self._line.failure, None
        if failure is None:
            raise StopIteration
        try:
            raise failure
        finally:
            del failure

    def _read(self) -> bool:
        """Read a call and hand it to the loop, if there is one and room for it."""
        line, reader = self._line, self._reader
        if reader is None or reader.ended or not line.has_room():
            return False
        call = reader.read()
        if call is None:
            line.failure, line.ended = reader.failure, True
            return False
        line.calls.append(call)
        self._group.put(call)
        return True

    def _close(self, seconds: float | None) -> None:
        if self._over:
            return
        self._over = True
        if self._reader is not None:
            self._reader.close()
        self._line.calls.clear()
        if os.getpid() != self._program or not (self._group.busy or self._room):
            return
        try:
            if self._home.is_here():
                self._home.loop.create_task(self._group.end())
            else:
                self._home.wait(self._group.end(), seconds)
        except TimeoutError:
            # It goes on being cancelled.
            pass
        except RuntimeError:
            # The loop has ended, after it had cancelled everything.
            pass

    # --- inputs that are read on the loop

    def _start_pump(self, iterables: tuple[Any, ...]) -> None:
        line, group, limits = self._line, self._group, self._limits
        room = self._room = Room(self._home.loop, line.has_room)

        def take(args: tuple[Any, ...]) -> None:
            call = Call(args, limits)
            line.calls.append(call)
            group.begin(call)

        source = zipped(iterables)
        self._home.loop.call_soon_threadsafe(lambda: group.begin_beside(pump(source, room, take, line.end)))

    def _make_room(self) -> None:
        """Have the pump go on, once there is room for a good part of what it may read."""
        room, line = self._room, self._line
        if room is not None and room.wanted and len(line.calls) <= line.ahead // 2:
            self._home.loop.call_soon_threadsafe(room.tell)
