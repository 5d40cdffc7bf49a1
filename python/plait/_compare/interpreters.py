"""Sub-interpreters as a row of a comparison."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from plait._compare.backends import Lane
from plait._timed import Timed, timed_function


class Interpreters(Lane):
    """`plait.Executor("interpreters")`."""

    def __init__(self, workers: int) -> None:
        """Take the number of interpreters."""
        super().__init__("interpreters", workers)

    def prepare(self, fn: Callable[[Any], Any]) -> Callable[[Any], Timed]:
        """Load it in one: a module that refuses is the row's failure."""
        from plait._interpreters.check import check

        check(fn)
        return timed_function(fn)

    def open(self) -> Any:
        """Make the pool."""
        from plait._interpreters.executor import InterpreterExecutor

        return InterpreterExecutor(self.workers, "plait-compare")

    def map(self, pool: Any, timed: Callable[[Any], Timed], items: Sequence[Any]) -> Iterator[Timed]:
        """As `plait.map` does it."""
        from plait._interpreters.start import start_on

        return start_on(pool.submit, self.workers, timed, (items,), 1, None)

    def close(self, pool: Any) -> None:
        """Wait for its threads."""
        pool.shutdown()

    def kill(self, pool: Any) -> None:
        """Cancel what has not begun: a thread cannot be stopped."""
        pool.shutdown(wait=False, cancel_futures=True)
