"""The class of plait's futures."""

import concurrent.futures
import threading
from collections.abc import Callable, Generator
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from plait._core import FutureBase, set_future_class

T = TypeVar("T")

# Seconds after which an event loop has a turn, though answers come at once.
_TURN = 0.001

# When the loop of this thread last had one for that.
_turns = threading.local()

_chain: Callable[[Callable[[Any], object]], Callable[[Any], object]] | None = None


class Future(FutureBase, concurrent.futures.Future[T]):
    """A `concurrent.futures.Future` that can also be awaited.

    Its state lives in Rust; methods and meaning are the stdlib's. Executors make them.

    Futures that an event loop waits for, by `await`, `asyncio.wrap_future` or `loop.run_in_executor`, wake
    it once for all that have ended until it looks, not once for each.
    """

    __module__ = "plait"
    __slots__ = ()

    def __init__(self) -> None:
        """Make a pending future, for tests and for executors of one's own."""

    if TYPE_CHECKING:

        def result(self, timeout: float | None = None) -> T:
            """Return the call's result, waiting for it up to `timeout` seconds.

            Raises:
                Exception: what the call raised.
                concurrent.futures.CancelledError: it was cancelled.
                TimeoutError: it is not done in time.

            """

    @property
    def stdout(self) -> str | None:
        """What the call printed on `sys.stdout`, where the executor was made with `capture_output=True`.

        Of its last try, also when it raised. None before its end, after a cancellation, where nothing was
        kept, and when its worker died: then the exception's `output` has the last lines. What programs that
        the call starts write past Python is not in it.
        """
        from plait._captured import output_of

        output = output_of(self)
        return None if output is None else output[0]

    @property
    def stderr(self) -> str | None:
        """The same of `sys.stderr`."""
        from plait._captured import output_of

        output = output_of(self)
        return None if output is None else output[1]

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result in a coroutine, without blocking its event loop.

        The answer to a small call is there sooner than a loop could be woken for it. So it is looked for for
        some microseconds, as `result` does; but the loop has a turn each millisecond.
        """
        if self._expect():
            try:
                if perf_counter() - getattr(_turns, "last", 0.0) > _TURN:
                    yield
                    _turns.last = perf_counter()
            except GeneratorExit:
                self._glance()
                raise
            except BaseException:
                # The task that waits is cancelled.
                self.cancel()
                self._glance()
                raise
            if self._glance():
                try:
                    return self.result()
                except (concurrent.futures.CancelledError, concurrent.futures.InvalidStateError):
                    # asyncio has words of its own for these.
                    pass
        import asyncio

        found: T = yield from asyncio.wrap_future(self).__await__()
        return found

    def add_done_callback(self, fn: "Callable[[Future[T]], object]") -> None:
        """Call `fn(future)` when the future is done; at once if it is."""
        if getattr(fn, "__name__", None) == "_call_set_state":
            # By this function asyncio ties a future of an event loop to one of a pool.
            global _chain
            if _chain is None:
                from plait._awaiting import chain

                _chain = chain
            FutureBase.add_done_callback(self, _chain(fn))
            # In a thread of a pool's: the call that runs the loop may have to lend its place to this one.
            self._await_here()
            return
        FutureBase.add_done_callback(self, fn)

    def __repr__(self) -> str:
        """As the stdlib's, where a cancelled future is just that."""
        return FutureBase.__repr__(self).replace(" state=cancelled_and_notified>", " state=cancelled>")


set_future_class(Future)
