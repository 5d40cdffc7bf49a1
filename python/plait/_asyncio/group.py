"""The coroutines of one map or executor on one event loop: a task each, so many at a time.

`put` may be called by any thread, all else belongs to the loop's. A call that waits is begun by the one that
ends, so that a loop with enough to do need not be called from elsewhere. Promises: never more than `width`
tasks; each runs in a copy of the context that the group was made in; after `end` none is left.
"""

import asyncio
import concurrent.futures
import contextvars
import types
from collections import deque
from collections.abc import Callable, Coroutine
from time import perf_counter
from typing import Any

from plait import _core
from plait._asyncio.kind import name_of
from plait._errors import CallStopped, TaskTimeout

Limits = tuple[float | None, int]

# Seconds that a cancelled coroutine has for what it still awaits, before it is cancelled once more: one that
# has swallowed its cancellation would never end.
GRACE = 5.0

# Seconds after which the loop looks again for calls, once it was told of some: who puts them in one by one
# need not call it for each.
_AGAIN = 0.001

# Calls read ahead for each that may run.
AHEAD = 4

# Where climbing begins, and the most coroutines at a time that it leads to.
_FIRST_WIDTH = 16
_MOST_WIDTH = 4096


class Call:
    """One call: what it is made of, and what became of it."""

    __slots__ = (
        "args",
        "context",
        "done",
        "error",
        "failed",
        "future",
        "late",
        "retries",
        "started",
        "task",
        "timeout",
        "timer",
        "value",
    )

    def __init__(self, args: tuple[Any, ...], limits: Limits) -> None:
        """`limits`: seconds that each try may take, and further tries."""
        self.args = args
        self.timeout, self.retries = limits
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.failed = 0
        self.late = False
        self.started = 0.0
        self.timer: Any = None
        self.context: contextvars.Context | None = None
        self.task: Any = None
        self.future: Any = None


class Width:
    """How many coroutines there may be at a time: as said, or found while they run."""

    def __init__(self, concurrency: int | None) -> None:
        """Begin; None: found by climbing while that raises the rate."""
        self.climber = None if concurrency else _core.Climber(_FIRST_WIDTH, most_width())
        self.now: int = concurrency or _FIRST_WIDTH


def most_width() -> int:
    """The most that climbing leads to: coroutines mostly hold a connection, and a process may open so many
    files."""
    import resource

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _MOST_WIDTH if files < 0 else max(_FIRST_WIDTH, min(_MOST_WIDTH, files // 2))


class Group:
    """See the module."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fn: Callable[..., Any],
        width: Width,
        tell: Callable[[Call], object],
    ) -> None:
        """`tell` is called in the loop's thread with each call that has ended."""
        self._loop = loop
        self._fn = fn
        self._width = width
        self._climber = width.climber
        self._tell = tell
        self._context = contextvars.copy_context()
        self._inbox: deque[Call] = deque()
        self._tasks: dict[asyncio.Future[Any], Call] = {}
        self._beside: set[asyncio.Future[Any]] = set()
        self._called = False
        self._closing = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def ahead(self) -> int:
        """How many calls should be read ahead: a slow one in front shall not starve the others."""
        return AHEAD * self._width.now

    @property
    def idle(self) -> bool:
        """Whether there is room for a call that waits."""
        return len(self._tasks) < self._width.now

    @property
    def running(self) -> int:
        """How many calls have begun and not ended."""
        return len(self._tasks)

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._tasks or self._inbox or self._beside)

    # --- any thread

    def put(self, call: Call) -> None:
        """Have a call made as soon as there is room, without waiting; the loop sees it within a moment."""
        self._inbox.append(call)
        if not self._called and len(self._tasks) < self._width.now:
            self.hurry()

    def hurry(self) -> None:
        """Have the loop look at once; whoever is about to wait does this."""
        if self._inbox and len(self._tasks) < self._width.now:
            self._called = True
            self._loop.call_soon_threadsafe(self._look)

    def drop(self, refuse: Callable[[Call], object]) -> None:
        """Call `refuse` with each that waits, from the last to the first; what it leaves is begun."""
        for call in reversed(list(self._inbox)):
            refuse(call)

    # --- the loop's thread

    def begin(self, call: Call) -> None:
        """Have a call made as soon as there is room; now, if there is."""
        self._inbox.append(call)
        self._fill()

    def begin_beside(self, coroutine: Coroutine[Any, Any, object]) -> "asyncio.Task[object]":
        """Run something that belongs to the group and is none of its calls."""
        task = self._loop.create_task(coroutine, context=self._context.copy())
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def cancel(self, call: Call) -> None:
        """Cancel one call, whether it runs or waits."""
        call.retries = 0
        if call.task is not None:
            call.task.cancel()
            return
        try:
            self._inbox.remove(call)
        except ValueError:
            return
        self._settle(call, asyncio.CancelledError())

    async def end(self) -> None:
        """Cancel all that was begun, forget what was not, and return when nothing is left of it.

        A cancellation of the caller meanwhile is put off until then.
        """
        self._closing = True
        self._inbox.clear()
        interrupted: asyncio.CancelledError | None = None
        left = self._cancel_all()
        while left:
            try:
                _, late = await asyncio.wait(left, timeout=GRACE)
            except asyncio.CancelledError as error:
                interrupted = error
            else:
                if late:
                    self._cancel_all()
            left = [*self._tasks, *self._beside]
        if interrupted is not None:
            raise interrupted

    async def finished(self) -> None:
        """Return when nothing runs or waits; for one caller at a time."""
        self._fill()
        while self.busy:
            self._drained = self._loop.create_future()
            await self._drained

    def _cancel_all(self) -> list[asyncio.Future[Any]]:
        begun = [*self._beside, *self._tasks]
        for task in begun:
            task.cancel()
        return begun

    def _look(self) -> None:
        """Begin what came in, and come again as long as more does."""
        if self._closing:
            return
        if self._inbox:
            self._fill()
            self._loop.call_later(_AGAIN, self._look)
            return
        self._called = False
        # What came between the two lines above.
        if self._inbox and self.idle:
            self._called = True
            self._loop.call_soon(self._look)

    def _fill(self) -> None:
        inbox, tasks = self._inbox, self._tasks
        while inbox and len(tasks) < self._width.now and not self._closing:
            self._begin(inbox.popleft())
        if self._drained is not None and not self.busy and not self._drained.done():
            self._drained.set_result(None)

    def _begin(self, call: Call) -> None:
        if call.future is not None and not call.failed and not call.future.set_running_or_notify_cancel():
            return
        context = (call.context or self._context).copy()
        if self._climber is not None:
            call.started = perf_counter()
        try:
            coroutine = context.run(self._fn, *call.args)
            if type(coroutine) is not types.CoroutineType and not asyncio.iscoroutine(coroutine):
                coroutine = _awaited(coroutine)
            task = self._loop.create_task(coroutine, context=context)
        except (KeyboardInterrupt, SystemExit) as error:
            self._settle(call, error)
            # Past this the others may still be wanted.
            self._loop.call_soon(self._fill)
            raise
        except BaseException as error:
            # Arguments that do not fit, before there is a coroutine.
            if not self._retry(call, error):
                self._settle(call, error)
            return
        self._tasks[task] = call
        call.task = task
        task.add_done_callback(self._on_end)
        if call.timeout is not None:
            call.timer = self._loop.call_later(call.timeout, self._on_time, task, call)

    def _on_time(self, task: "asyncio.Task[Any]", call: Call) -> None:
        """A try has had its time; again and again, if it takes no notice."""
        if task.done():
            return
        call.late = True
        task.cancel()
        call.timer = self._loop.call_later(GRACE, self._on_time, task, call)

    def _on_end(self, task: "asyncio.Future[Any]") -> None:
        call = self._tasks.pop(task)
        call.task = None
        if call.timer is not None:
            call.timer.cancel()
            call.timer = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if call.late:
            error = self._timed_out(call, error)
        if error is None:
            call.value = task.result()
            if self._climber is not None:
                self._width.now = self._climber.on_call(call.started, perf_counter())
            call.args = ()
            call.done = True
            self._tell(call)
        elif not self._retry(call, error):
            self._settle(call, error)
        if self._inbox or self._drained is not None:
            self._fill()

    def name_of(self, call: Call) -> str:
        """What to call its function."""
        return name_of(self._fn)

    def _retry(self, call: Call, error: BaseException) -> bool:
        """Whether the call is made again; where it is not, the error says how often it was."""
        call.failed += 1
        if self._closing or not isinstance(error, Exception):
            return False
        if call.failed <= call.retries:
            call.late = False
            # Before all others; whoever asks begins what is there.
            self._inbox.appendleft(call)
            return True
        if call.failed > 1:
            error.add_note(f"plait: failed in each of {call.failed} tries")
        return False

    def _settle(self, call: Call, error: BaseException) -> None:
        call.error = error
        call.args = ()
        call.done = True
        self._tell(call)

    def _timed_out(self, call: Call, cause: BaseException | None) -> TaskTimeout:
        name = self.name_of(call)
        error = TaskTimeout(f"{name} took longer than its timeout of {call.timeout} s and was cancelled")
        error.timeout, error.task, error.tries = call.timeout, name, call.failed + 1
        if isinstance(cause, Exception):
            # What it raised instead of ending quietly.
            error.__cause__ = cause
        return error


async def _awaited(awaitable: Any) -> Any:
    """A coroutine of what is none, such as a future."""
    return await awaitable


def shown(error: BaseException) -> BaseException:
    """What whoever asks for a result is to meet: a call's cancellation must not look like the caller's."""
    if isinstance(error, asyncio.CancelledError):
        cancelled = concurrent.futures.CancelledError("the coroutine was cancelled, and not by plait")
        cancelled.__cause__ = error
        return cancelled
    return error


def is_order_to_stop(error: BaseException | None) -> bool:
    """Whether a task has caught what was meant for the whole worker process."""
    return isinstance(error, CallStopped)
