"""The serial backend: calls run where and when they are submitted."""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from plait._future import Future

T = TypeVar("T")


class SerialExecutor(concurrent.futures.Executor):
    """Runs each call at once, in the caller's thread: to debug, and to measure what parallelism gains."""

    def __init__(
        self, initializer: Callable[..., object] | None = None, initargs: tuple[Any, ...] = ()
    ) -> None:
        """Call the initializer, if there is one."""
        self._max_workers = 1
        self._closed = False
        if initializer is not None:
            initializer(*initargs)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """Call `fn(*args, **kwargs)` now; the future is done when this returns."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        try:
            result = fn(*args, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            # Raised where the user stands, as from a plain call.
            raise
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over `fn(*args)` for each tuple of items, up to `buffersize` calls ahead."""
        from plait._map import submit_ahead
        from plait._process import check_buffersize

        check_buffersize(buffersize)
        return submit_ahead(self.submit, fn, zip(*iterables), buffersize, timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls."""
        self._closed = True
