"""Calls that wait for a decision, and the futures of those that were handed on."""

import concurrent.futures
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from plait._future import Future


class Waiting:
    """A call of a function that is not decided yet."""

    future: "TiedFuture"

    def __init__(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        limits: tuple[float | None, int],
    ) -> None:
        """The call, its timeout and retries, and the context variables of now."""
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.limits = limits
        self.context = copy_context()

    def cancel(self) -> None:
        """Cancel it, and tell those who wait."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()

    def hand_on(self, submit: Callable[..., Any]) -> bool:
        """Submit it by `submit`; its future ends as that one. False: it was cancelled."""
        if not self.future.set_running_or_notify_cancel():
            return False
        try:
            self.future.tie(self.context.run(submit, *self.limits, self.fn, self.args, self.kwargs))
        except Exception as error:
            self.future.set_exception(error)
        return True


class TiedFuture(Future):  # type: ignore[type-arg]
    """A future whose call was handed on: another future says how it ends."""

    _tied: Any = None

    def cancel(self) -> bool:
        """Cancel the call, if nothing has begun it."""
        tied = self._tied
        return super().cancel() if tied is None else bool(tied.cancel())

    def cancelled(self) -> bool:
        """Whether it was cancelled, here or after it was handed on."""
        tied = self._tied
        return super().cancelled() if tied is None else bool(tied.cancelled())

    def running(self) -> bool:
        """Whether the call has begun and not ended."""
        tied = self._tied
        return super().running() if tied is None else bool(tied.running())

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised, None if nothing; waits for its end."""
        error = super().exception(timeout)
        if error is not None and self.cancelled():
            raise error
        return error

    def tie(self, other: Any) -> None:
        """End as `other` does."""
        self._tied = other
        other.add_done_callback(self._settle)

    def _settle(self, other: Any) -> None:
        if other.cancelled():
            # Nothing can be cancelled any more that was begun, and this was.
            self.set_exception(concurrent.futures.CancelledError())
        elif (error := other.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(other.result())
