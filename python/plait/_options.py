"""Limits of calls: what may be asked of them, and a view of an executor whose calls have others."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from plait._mapping import MapMixin, check_chunksize

if TYPE_CHECKING:
    from plait._future import Future
    from plait._stats import Stats

P = ParamSpec("P")
T = TypeVar("T")

_UNSET: Any = object()

_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}b": 1000**_power, f"{_letter}ib": 1024**_power}


def check_limits(timeout: float | None, retries: int) -> None:
    """Raise a clear error for a timeout or a number of retries that cannot be meant."""
    if timeout is not None:
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
            raise TypeError(f"timeout must be a number of seconds or None, not {timeout!r}")
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, or None, not {timeout!r}")
    if isinstance(retries, bool) or not isinstance(retries, int):
        raise TypeError(f"retries must be an integer, not {retries!r}")
    if not 0 <= retries < 2**32:
        raise ValueError(f"retries must be 0 or more, not {retries!r}")


def parse_size(name: str, size: int | str | None) -> int | None:
    """Give a size in bytes: a number, or a text such as "500 MB", "1.5GiB".

    Raises:
        ValueError: not above 0, or no size.
        TypeError: neither a number nor a text.

    """
    if size is None:
        return None
    example = 'a number of bytes or a text such as "1.5GiB"'
    if isinstance(size, str):
        text = size.strip().lower()
        digits = text.rstrip("kmgtib \t")
        unit = _UNITS.get(text[len(digits) :].strip())
        try:
            size = int(float(digits) * unit) if unit else 0
        except (ValueError, OverflowError):
            size = 0
        if size <= 0:
            raise ValueError(f"{name} must be {example}, not {text!r}")
    elif isinstance(size, bool) or not isinstance(size, (int, float)):
        raise TypeError(f"{name} must be {example}, not {size!r}")
    elif not 0 < size < 2**63:
        raise ValueError(f"{name} must be more than 0 bytes, not {size!r}")
    return int(size)


class OptionsView(MapMixin):
    """The same executor, whose calls made through this view have other limits.

    Made by an executor's `options`. It owns nothing: shutting it down shuts the executor down.
    """

    __module__ = "plait"

    def __init__(self, executor: Any, timeout: float | None, retries: int) -> None:
        """See the class; `executor` takes calls through `_submit_with`."""
        check_limits(timeout, retries)
        self._executor = executor
        self._timeout = timeout
        self._retries = retries

    def options(self, *, timeout: float | None = _UNSET, retries: int = _UNSET) -> "OptionsView":
        """Give a view with other limits; what is left out stays as it is here."""
        return OptionsView(
            self._executor,
            self._timeout if timeout is _UNSET else timeout,
            self._retries if retries is _UNSET else retries,
        )

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Schedule `fn(*args, **kwargs)` and return its future."""
        future: Future[T] = self._executor._submit_with(self._timeout, self._retries, fn, args, kwargs)
        return future

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        # `timeout` is that of the whole map, as in the stdlib.
        check_chunksize(chunksize)
        return super()._start_map(fn, iterables, timeout, chunksize, buffersize)

    def stats(self) -> "Stats":
        """As the executor's."""
        stats: Stats = self._executor.stats()
        return stats

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut the executor itself down."""
        self._executor.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, *exc: Any) -> None:
        """Leave as the executor does."""
        self._executor.__exit__(*exc)

    async def __aenter__(self) -> "OptionsView":
        """Return itself."""
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave as the executor does."""
        await self._executor.__aexit__(*exc)


class PoolMixin(MapMixin):
    """What executors have in common: `options`, over their `_limits`, `stats`, `map`, how they are left."""

    _limits: tuple[float | None, int]

    def options(self, *, timeout: float | None = _UNSET, retries: int = _UNSET) -> OptionsView:
        """Give a view of this executor whose calls have other limits.

            executor.options(timeout=2, retries=1).submit(fetch, url)

        Args:
            timeout: Seconds that each call may take from its start; None: any time.
            retries: Extra tries after an exception, a timeout or a dead worker.

        Raises:
            ValueError: a timeout not above 0, or retries below 0.
            TypeError: no number.

        """
        return OptionsView(
            self,
            self._limits[0] if timeout is _UNSET else timeout,
            self._limits[1] if retries is _UNSET else retries,
        )

    def stats(self) -> "Stats":
        """Tell what the executor has done, and what its workers do at this moment.

            print(executor.stats())

        It may be asked at any time, also while the executor is shut down and after; then it tells the last
        figures. It waits for nothing, and costs some microseconds for each worker.

        Raises:
            RuntimeError: the executor belongs to the parent process, or to the pool that this process is a
                worker of.

        """
        return self._tell_stats()

    def _tell_stats(self) -> "Stats":
        raise NotImplementedError

    def _capture(self, capture_output: object, backend: str) -> None:
        """Keep what calls print with their futures, if `capture_output` says so."""
        from plait import _captured

        if _captured.check(capture_output, backend):
            _captured.Capture(self, backend)

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Shut down; after Ctrl-C at once, whatever is running."""
        from plait import _exit

        if _exit.is_interrupt(exc_type):
            _exit.give_up(self)
            return
        try:
            self.shutdown(wait=True)
        except BaseException:
            # Ctrl-C while this waits.
            _exit.give_up(self)
            raise

    def _abort(self) -> None:
        """Give up all calls that can be given up, within `_exit.MOMENT`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Shut down without blocking the event loop; if the block was cancelled, at once."""
        from plait import _exit

        await _exit.leave(self, exc_type)
