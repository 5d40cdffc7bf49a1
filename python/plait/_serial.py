"""The serial backend: calls run where and when they are submitted."""

import threading
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from plait import _seed
from plait._asyncio.kind import is_coroutine_function, refuse_coroutines
from plait._future import Future
from plait._options import PoolMixin, check_limits

if TYPE_CHECKING:
    from plait._stats import Stats

P = ParamSpec("P")
T = TypeVar("T")


class SerialExecutor(PoolMixin):
    """Runs each call at once, in the caller's thread: to debug, and to measure what parallelism gains.

    Context variables that a call sets are its own, as elsewhere.

    A call that fails is tried again as elsewhere; one that takes too long cannot be stopped, so asking for a
    timeout is an error.
    """

    def __init__(
        self,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        retries: int = 0,
        seed: int | None = None,
        capture_output: bool = False,
    ) -> None:
        """Call the initializer, if there is one."""
        check_limits(timeout, retries)
        _refuse_timeout(timeout)
        self._limits = (None, retries)
        self._max_workers = 1
        self._closed = False
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        if seed is not None:
            _seed.Numbering(self, seed)
        if initializer is not None:
            initializer(*initargs)
        if capture_output:
            self._capture(capture_output, "serial")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call `fn(*args, **kwargs)` now; the future is done when this returns."""
        return self._submit_with(None, self._limits[1], fn, args, kwargs)

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> "Future[T]":
        _refuse_timeout(timeout)
        if is_coroutine_function(fn):
            refuse_coroutines(fn, "serial")
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self._count(submitted=1, running=1)
        for failed in range(1, retries + 2):
            try:
                result = copy_context().run(fn, *args, **kwargs)
            except (KeyboardInterrupt, SystemExit):
                # Raised where the user stands, as from a plain call.
                self._count(failed=1, running=-1)
                raise
            except BaseException as error:
                if isinstance(error, Exception):
                    if failed <= retries:
                        self._count(retried=1)
                        continue
                    if failed > 1:
                        error.add_note(f"plait: failed in each of {failed} tries")
                self._count(failed=1, running=-1)
                future.set_exception(error)
            else:
                self._count(done=1, running=-1)
                future.set_result(result)
            break
        return future

    def _count(self, **changes: int) -> None:
        with self._lock:
            self._counts.update(changes)

    def _tell_stats(self) -> "Stats":
        from plait._stats import Stats

        # A counter gives 0 for what was never counted.
        return Stats.of("serial", self._counts)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls."""
        self._closed = True

    def _abort(self) -> None:
        """There is nothing to give up."""
        self.shutdown()


def _refuse_timeout(timeout: float | None) -> None:
    if timeout is not None:
        raise ValueError("timeout: the serial backend cannot stop a call; use processes")
