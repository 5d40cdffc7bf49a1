"""The class of plait's futures."""

import concurrent.futures
from collections.abc import Generator
from typing import Any

from plait._core import FutureBase, set_future_class


class Future(FutureBase, concurrent.futures.Future):
    """A `concurrent.futures.Future` that can also be awaited.

    Its state lives in Rust; methods and meaning are the stdlib's. Executors make them.
    """

    __module__ = "plait"
    __slots__ = ()

    def __init__(self) -> None:
        """Make a pending future, for tests and for executors of one's own."""

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the result in a coroutine, without blocking its event loop."""
        import asyncio

        return asyncio.wrap_future(self).__await__()


set_future_class(Future)
