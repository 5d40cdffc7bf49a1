"""The executor of backend "asyncio": coroutine functions, submitted from any thread, on a loop of plait's."""

import asyncio
import concurrent.futures
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from plait import _core, _exit
from plait._asyncio.group import Call, Group, Width, most_width, shown
from plait._asyncio.home import home
from plait._asyncio.kind import name_of, refuse_plain
from plait._future import Future
from plait._options import PoolMixin, check_limits

if TYPE_CHECKING:
    from plait._stats import Stats

P = ParamSpec("P")
T = TypeVar("T")


class CoroutineFuture(Future[T]):
    """A future whose `cancel` reaches the coroutine while it runs."""

    __slots__ = ("_call", "_group", "_loop", "_tally")

    _call: Call
    _group: Group
    _loop: asyncio.AbstractEventLoop
    _tally: _core.PoolTally

    def cancel(self) -> bool:
        """Cancel the call, whether it has begun or not; False if it has ended.

        One that has begun is cancelled as a task of asyncio is: it is done once the coroutine has ended.
        """
        if not super().cancelled() and super().cancel():
            self._tally.add("cancelled")
            return True
        if self.done():
            return self.cancelled()
        self._loop.call_soon_threadsafe(self._group.cancel, self._call)
        return True

    def cancelled(self) -> bool:
        """Whether it was cancelled, and has ended of that."""
        return super().cancelled() or isinstance(self._ended_by(), concurrent.futures.CancelledError)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `concurrent.futures.Future.exception`."""
        error = super().exception(timeout)
        if isinstance(error, concurrent.futures.CancelledError):
            raise error
        return error

    def _ended_by(self) -> BaseException | None:
        return super().exception() if self.done() and not super().cancelled() else None


class _Calls(Group):
    """A group whose calls bring their functions, and are counted."""

    tally: _core.PoolTally

    def _begin(self, call: Call) -> None:
        super()._begin(call)
        self.tally.run(self.running)

    def _on_end(self, task: "asyncio.Future[Any]") -> None:
        super()._on_end(task)
        self.tally.run(self.running)

    def _retry(self, call: Call, error: BaseException) -> bool:
        again = super()._retry(call, error)
        if again:
            self.tally.add("retried")
        return again

    def name_of(self, call: Call) -> str:
        """What was submitted."""
        return name_of(call.args[0])


def _call(
    fn: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Coroutine[Any, Any, Any]:
    return fn(*args, **kwargs)


class AsyncioExecutor(PoolMixin):
    """Runs coroutine functions on an event loop in a thread of plait's own.

    Args:
        max_workers: The most coroutines at a time; by default found by climbing.
        timeout: Seconds that each call may take from its start.
        retries: Extra tries of a call after an exception or a timeout.
        capture_output: Keep what each coroutine prints with its future.

    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        timeout: float | None = None,
        retries: int = 0,
        capture_output: bool = False,
    ) -> None:
        """See the class."""
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        check_limits(timeout, retries)
        self._limits = (timeout, retries)
        self._max_workers = max_workers or most_width()
        self._closed = False
        self._lock = threading.Lock()
        self._program = os.getpid()
        self._home = home()
        # The group holds this executor while calls are pending, whoever drops it.
        self._tally = tally = _core.PoolTally(self._max_workers)
        self._group = _Calls(self._home.loop, _call, Width(max_workers), functools.partial(_tell, tally))
        self._group.tally = tally
        self._home.groups.add(self._group)
        _exit.at_exit(self, first=True)
        if capture_output:
            self._capture(capture_output, "asyncio")

    @property
    def ahead(self) -> int:
        """How many calls should be pending, so that a slow one does not starve the others."""
        return self._group.ahead

    def submit(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Future[Any]:
        """Schedule the coroutine of `fn(*args, **kwargs)` and return its future.

        Raises:
            TypeError: `fn` is no coroutine function.
            RuntimeError: the executor was shut down, or is the parent process's.

        """
        return self._submit_with(*self._limits, fn, args, kwargs)

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Future[Any]:
        refuse_plain(fn)
        if os.getpid() != self._program:
            raise RuntimeError("this executor belongs to the parent process; make another one here")
        call = Call((fn, args, kwargs), (timeout, retries))
        call.context = contextvars.copy_context()
        call.future = future = CoroutineFuture[Any]()
        future._call, future._group, future._loop = call, self._group, self._home.loop
        future._tally = self._tally
        with self._lock:
            if self._closed:
                when = "interpreter shutdown" if _exit.is_ending() else "shutdown"
                raise RuntimeError(f"cannot schedule new futures after {when}")
            self._tally.add("submitted")
            self._group.put(call)
        return future

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:

        refuse_plain(fn)
        return super()._start_map(fn, iterables, timeout, chunksize, buffersize)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish the pending ones, or cancel those not begun with `cancel_futures`.

        With `wait`, return when every coroutine has ended.
        """
        with self._lock:
            self._closed = True
        self._tally.close()
        if cancel_futures:
            self._group.drop(lambda call: call.future.cancel())
        if wait and os.getpid() == self._program and not self._home.is_here() and self._group.busy:
            self._home.wait(self._group.finished())

    def _tell_stats(self) -> "Stats":
        from plait._stats import Stats

        if os.getpid() != self._program:
            raise RuntimeError("this executor belongs to the parent process; make another one here")
        figures = self._tally.figures()
        pending = figures["submitted"] - figures["done"] - figures["failed"] - figures["cancelled"]
        running = min(self._group.running, pending)
        return Stats.of("asyncio", figures | {"running": running, "queued": pending - running})

    def _abort(self) -> None:
        """Cancel everything, and wait a moment for its end."""
        self.shutdown(wait=False, cancel_futures=True)
        if self._home.is_here() or not self._group.busy:
            return
        try:
            self._home.wait(self._group.end(), _exit.MOMENT)
        except (TimeoutError, RuntimeError):
            # It goes on being cancelled.
            pass


def _tell(tally: _core.PoolTally, call: Call) -> None:
    """A call has ended: so has its future."""
    future, call.future = call.future, None
    error = call.error
    if error is None:
        tally.add("done")
        future.set_result(call.value)
    elif isinstance(error, asyncio.CancelledError):
        tally.add("cancelled")
        future.set_exception(concurrent.futures.CancelledError())
    else:
        tally.add("failed")
        future.set_exception(shown(error))
