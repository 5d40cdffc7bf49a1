"""Calls of `plait.amap` that run elsewhere: on threads, on worker processes, wherever an executor puts them.

The loop is never blocked, and its default executor never used: the calls are submitted to the pools that
`plait.map` keeps, and their futures wake the loop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from plait import _core, _native_threads
from plait._asyncio.group import Call, Limits
from plait._asyncio.start import submit_of
from plait._auto.executor import AutoExecutor
from plait._serial import SerialExecutor

# Calls ahead for each worker: enough that none waits for the loop's turn.
_AHEAD_PER_WORKER = 32


class Futures:
    """Futures of one map in one loop; see `stream.Maker`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        submit: Callable[..., Any],
        fn: Callable[..., Any],
        ahead: int,
        held: _native_threads.Limit | None,
        tell: Callable[[Call], object],
    ) -> None:
        """`held` is let go of at the end; `tell` is called in the loop with each call that has ended."""
        self.ahead = ahead
        self._loop = loop
        self._submit = submit
        self._fn = fn
        self._held = held
        self._tell = tell
        self._running: set[asyncio.Future[Any]] = set()
        self._beside: set[asyncio.Future[Any]] = set()

    @property
    def running(self) -> int:
        """How many were submitted and have not ended."""
        return len(self._running)

    def begin(self, call: Call) -> None:
        """Submit it."""
        try:
            future = self._submit(self._fn, *call.args)
        except Exception as error:
            call.error, call.done = error, True
            self._tell(call)
            return
        call.args = ()
        if future.done():
            # A serial one.
            _finish(call, future)
            self._tell(call)
            return
        waiting: asyncio.Future[Any] = asyncio.wrap_future(future, loop=self._loop)
        self._running.add(waiting)

        def on_end(ended: asyncio.Future[Any]) -> None:
            self._running.discard(ended)
            _finish(call, ended)
            self._tell(call)

        waiting.add_done_callback(on_end)

    def begin_beside(self, coroutine: Coroutine[Any, Any, object]) -> object:
        """Run something that is ended with the calls."""
        task = self._loop.create_task(coroutine)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    async def end(self) -> None:
        """Cancel what has not begun, stop what runs in worker processes, and wait for what runs beside.

        A thread cannot be stopped: a call that it has begun goes on, unheard.
        """
        for waiting in list(self._running):
            waiting.cancel()
        for task in list(self._beside):
            task.cancel()
        interrupted: asyncio.CancelledError | None = None
        while left := [*self._running, *self._beside]:
            try:
                await asyncio.wait(left)
            except asyncio.CancelledError as error:
                interrupted = error
        if self._held is not None:
            self._held.close()
        if interrupted is not None:
            raise interrupted


def _finish(call: Call, ended: Any) -> None:
    try:
        call.value = ended.result()
    except BaseException as error:
        call.error = error
    call.done = True


class _Chooser(AutoExecutor):
    """An executor that chooses, on the worker processes that `map` keeps."""

    def processes(self, workers: int) -> Any:
        """The worker processes."""
        from plait._kept import process_pool

        return process_pool(workers)


def ahead_of(pool: Any) -> int:
    """How many calls should be ahead on a pool."""
    ahead: int = _AHEAD_PER_WORKER * pool._max_workers
    return ahead


def maker(
    fn: Callable[..., Any], backend: str, workers: int | None, limits: Limits
) -> Callable[[asyncio.AbstractEventLoop, Callable[[Call], object]], Futures]:
    """Give what makes the maker for plain functions on threads, on the serial backend, or where plait
    chooses."""

    def make(loop: asyncio.AbstractEventLoop, tell: Callable[[Call], object]) -> Futures:
        held, call, ahead = None, fn, 1
        pool: Any
        if backend == "serial":
            pool = SerialExecutor()
        elif backend == "threads":
            from plait._kept import pool_of

            pool = pool_of("threads", workers or min(32, _core.cpu_count() + 4))
            ahead = ahead_of(pool)
            held = _native_threads.limit(pool._max_workers)
            call = held.wrap(fn)
        else:
            pool = _chooser(workers)
            ahead = _AHEAD_PER_WORKER * max(32, pool._max_workers)
        return Futures(loop, submit_of(pool, limits), call, ahead, held, tell)

    return make


def _chooser(workers: int | None) -> _Chooser:
    from plait._kept import chooser

    found: _Chooser = chooser(workers, lambda: _Chooser(workers, None, (), (None, 0)))
    return found
