"""The class of plait's futures."""

import concurrent.futures
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from plait._core import FutureBase, set_future_class

T = TypeVar("T")

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
            """As the base does."""

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the result in a coroutine, without blocking its event loop."""
        import asyncio

        return asyncio.wrap_future(self).__await__()

    def add_done_callback(self, fn: "Callable[[Future[T]], object]") -> None:
        """Call `fn(future)` when the future is done; at once if it is."""
        if getattr(fn, "__name__", None) == "_call_set_state":
            # By this function asyncio ties a future of an event loop to one of a pool.
            global _chain
            if _chain is None:
                from plait._awaiting import chain

                _chain = chain
            fn = _chain(fn)
        FutureBase.add_done_callback(self, fn)

    def __repr__(self) -> str:
        """As the stdlib's, where a cancelled future is just that."""
        return FutureBase.__repr__(self).replace(" state=cancelled_and_notified>", " state=cancelled>")


set_future_class(Future)
