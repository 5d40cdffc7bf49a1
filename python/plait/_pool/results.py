"""What `apply_async`, `map_async` and `starmap_async` return.

Promises: a result is ready when its call has ended, and its callback, if it has one, was run; who waits gets
the same value or exception each time; nothing but the futures is kept of a call, so arguments are let go when
it is sent.
"""

import multiprocessing.pool
import threading
import time
from collections.abc import Callable
from typing import Any

from plait._future import Future
from plait._pool.engines import Engine
from plait._pool.failures import as_caught, late

Callback = Callable[[Any], object] | None


class AsyncResult(multiprocessing.pool.ApplyResult):
    """The result of `apply_async`, as `multiprocessing.pool.AsyncResult`."""

    __module__ = "plait"

    def __init__(self, engine: Engine, future: Future) -> None:
        """For a call that has no callback."""
        self._engine = engine
        self._future = future

    def ready(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    def successful(self) -> bool:
        """Whether the call has ended without raising.

        Raises:
            ValueError: it has not ended.

        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._future.exception() is None if not self._future.cancelled() else False

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call has ended, up to `timeout` seconds."""
        self._wait(timeout)

    def get(self, timeout: float | None = None) -> Any:
        """Return what the call returned, waiting for it up to `timeout` seconds.

        Raises:
            multiprocessing.TimeoutError: the call has not ended in time.
            plait.WorkerDied: the worker died that ran the call.
            concurrent.futures.CancelledError: the pool was terminated before the call had ended.
            Exception: what the call raised.

        """
        try:
            return self._future.result(timeout)
        except BaseException as error:
            failure = self._failure(error)
        raise failure

    def _failure(self, error: BaseException) -> BaseException:
        if isinstance(error, TimeoutError) and not self._future.done():
            return late()
        return as_caught(error, self._engine.terminated)

    def _wait(self, timeout: float | None) -> bool:
        """Wait for the call itself; whether it has ended."""
        if not self._future.done():
            try:
                self._future.exception(timeout)
            except Exception:
                return self._future.done()
        return True


class MapResult(AsyncResult):
    """The result of `map_async` and `starmap_async`.

    It is ready when all items are, also if one raised: then it raises the exception of the first that did.
    """

    def __init__(self, engine: Engine, futures: list[Future], chunked: bool) -> None:
        """`futures` are those of the items, or of lists of them."""
        self._engine = engine
        self._futures = futures
        self._chunked = chunked
        # Those before it have ended.
        self._ended = 0
        self._outcome: tuple[list[Any], BaseException | None] | None = None
        self._taking = threading.Lock()

    def ready(self) -> bool:
        """Whether all calls have ended."""
        return self._next() is None

    def successful(self) -> bool:
        """Whether all calls have ended, and none has raised.

        Raises:
            ValueError: they have not ended.

        """
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return self._take()[1] is None

    def get(self, timeout: float | None = None) -> Any:
        """Return the list of what the calls returned, in order; raises as that of one call does."""
        if not self._wait(timeout):
            raise late()
        values, error = self._take()
        if error is not None:
            raise error
        return values

    def _next(self) -> Future | None:
        """Give the first that has not ended."""
        futures = self._futures
        ended = self._ended
        while ended < len(futures) and futures[ended].done():
            ended += 1
        self._ended = ended
        return futures[ended] if ended < len(futures) else None

    def _wait(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (future := self._next()) is not None:
            try:
                future.exception(None if deadline is None else deadline - time.monotonic())
            except Exception:
                if not future.done():
                    return False
        return True

    def _take(self) -> tuple[list[Any], BaseException | None]:
        """Make one list of all results, once all calls have ended."""
        with self._taking:
            if self._outcome is None:
                values: list[Any] = []
                raised: BaseException | None = None
                for future in self._futures:
                    try:
                        value = future.result()
                    except BaseException as error:
                        raised = as_caught(error, self._engine.terminated)
                        break
                    if self._chunked:
                        values.extend(value)
                    else:
                        values.append(value)
                self._outcome = values, raised
                # The values are in the list now.
                self._futures, self._ended = [], 0
            return self._outcome


class Announced:
    """A result with callbacks, which is ready when the one that is due was run."""

    _engine: Engine
    _wait_for_calls: Callable[..., bool]

    def _promise(self, callback: Callback, error_callback: Callback) -> None:
        self._callback = callback
        self._error_callback = error_callback
        self._told = threading.Event()
        # Whoever takes it sees to it that the end is told.
        self._to_be_told = [True]
        self._engine.courier.expect()
        self._watch()

    def ready(self) -> bool:
        return self._told.is_set()

    def wait(self, timeout: float | None = None) -> None:
        self._settle(timeout)

    def get(self, timeout: float | None = None) -> Any:
        if not self._settle(timeout):
            raise late()
        return super().get()  # type: ignore[misc]

    def _settle(self, timeout: float | None) -> bool:
        if self._told.is_set():
            return True
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._wait(timeout):  # type: ignore[attr-defined]
            return False
        # Whoever waits may be the first to know, or the only one at the end of a program.
        self._announce()
        return self._told.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def _announce(self) -> None:
        try:
            self._to_be_told.pop()
        except IndexError:
            return
        self._engine.courier.bring(self)

    def _tell(self) -> None:
        """On the courier's thread: run the callback that is due."""
        engine = self._engine
        try:
            # In this order: who ends the program looks whether it is aside after that.
            engine.courier.aside = False
            if engine.terminated:
                # Whoever terminates a pool wants to hear no more of it.
                return
            try:
                value, error = super().get(), None  # type: ignore[misc]
            except BaseException as raised:
                value, error = None, raised
            engine.courier.aside = True
            callback = self._callback if error is None else self._error_callback
            if callback is not None and not engine.terminated:
                callback(value if error is None else error)
        finally:
            engine.courier.aside = True
            self._callback = self._error_callback = None
            self._told.set()


class AnnouncedResult(Announced, AsyncResult):
    """The result of `apply_async` with a callback."""

    def __init__(self, engine: Engine, future: Future, callback: Callback, error_callback: Callback) -> None:
        """See the class."""
        super().__init__(engine, future)
        self._promise(callback, error_callback)

    def _watch(self) -> None:
        self._future.add_done_callback(lambda _: self._announce())


class AnnouncedMapResult(Announced, MapResult):
    """The result of `map_async` with a callback, which is run once, with the list of all results."""

    def __init__(
        self,
        engine: Engine,
        futures: list[Future],
        chunked: bool,
        callback: Callback,
        error_callback: Callback,
    ) -> None:
        """See the class."""
        super().__init__(engine, futures, chunked)
        self._promise(callback, error_callback)

    def _watch(self) -> None:
        # One at a time: most of those behind it have ended when it has.
        future = self._next()
        if future is None:
            self._announce()
        else:
            future.add_done_callback(lambda _: self._watch())
