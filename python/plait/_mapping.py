"""`map` of the executors: its types, and what may be asked of it."""

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

if TYPE_CHECKING:

    class MapOptions(TypedDict, total=False):
        """What the maps of executors take by name."""

        timeout: float | None
        chunksize: int
        buffersize: int | None


A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


def check_buffersize(buffersize: int | None) -> None:
    """Raise what the stdlib raises for a bad `buffersize`."""
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def check_chunksize(chunksize: int) -> None:
    """Raise what the stdlib raises for a bad `chunksize`, where it has a meaning."""
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")


class MapMixin(concurrent.futures.Executor):
    """`map`, of what `_start_map` does."""

    @overload  # type: ignore[override]  # of no iterables
    def map(self, fn: Callable[[A], T], it: Iterable[A], /, **how: "Unpack[MapOptions]") -> Iterator[T]: ...

    @overload
    def map(
        self, fn: Callable[[A, B], T], a: Iterable[A], b: Iterable[B], /, **how: "Unpack[MapOptions]"
    ) -> Iterator[T]: ...

    @overload
    def map(
        self,
        fn: Callable[..., T],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        /,
        *iterables: Iterable[Any],
        **how: "Unpack[MapOptions]",
    ) -> Iterator[T]: ...

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over `fn(*args)` for each tuple of items, in order; the calls start at once.

        Args:
            fn: The function.
            iterables: Its arguments, item by item; the shortest ends it. They are read at once unless
                `buffersize` is given.
            timeout: Seconds from now after which waiting for a result raises `TimeoutError`.
            chunksize: Items sent to a worker together; in a pool with `timeout` or `retries` each goes alone.
                Without effect on threads and coroutines, as in the stdlib.
            buffersize: The most items read ahead of the results that were taken.

        """
        check_buffersize(buffersize)
        return self._start_map(fn, iterables, timeout, chunksize, buffersize)

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        from plait._ahead import submit_ahead

        return submit_ahead(self.submit, fn, zip(*iterables), buffersize, timeout)
