"""The lanes of a map on a cluster; see `plait._long.lanes`."""

from collections.abc import Callable
from typing import Any

from plait._cluster.executor import ClusterExecutor, Limits
from plait._cluster.job import Mismatch, Unloadable, job_of, opened
from plait._cluster.sizer import Sizer
from plait._long.lanes import Arrived, Lanes, Unusable
from plait._long.stretch import Stretch

# Chunks on their way for each place: one runs, the others are at hand.
_PER_PLACE = 3


class ClusterLanes(Lanes):
    """Chunks of calls as tasks of an engine; each call has an outcome of its own."""

    sizer: Sizer  # type: ignore[assignment]

    def __init__(
        self,
        executor: ClusterExecutor,
        fn: Callable[..., Any],
        chunksize: int | None,
        goes_on: bool,
        limits: Limits,
        arrived: Arrived,
        left: Callable[[], int | None],
    ) -> None:
        """`left`: how many items were not sent yet.

        Raises:
            plait.NotPicklable: the function cannot be sent.

        """
        self._engine = executor._crew.engine
        sizer = Sizer(chunksize, self._engine.aim, self._engine.overhead, left)
        super().__init__(executor._max_workers, arrived, sizer)  # type: ignore[arg-type]
        self._executor = executor
        self._goes_on = goes_on
        self._limits = limits
        self._job = job_of(fn)
        figures = executor.figures.get(self._job.digest)
        if figures is not None:
            sizer.begin_with(figures)

    @property
    def ahead(self) -> int:
        """See `Lanes`."""
        # Workers come and go.
        self.workers = self.sizer.places = max(1, self._engine.places())
        return _PER_PLACE * self.workers * self.sizer.size

    def _submit(self, stretch: Stretch) -> Any:
        return self._executor._submit_chunk(
            self._job, stretch.calls, stretch.first, self._goes_on, self._limits
        )

    def collect(self, stretch: Stretch) -> int:
        """See `Lanes`."""
        try:
            return super().collect(stretch)
        except Unloadable as error:
            if error.is_function:
                raise Unusable from error
            if len(stretch) > 1:
                # One of them does not load there: which, is seen when each goes alone.
                return 0
            stretch.failures[0] = error
            stretch.values = [None]
            return 1
        except Mismatch as error:
            raise Unusable from error

    def _take(self, stretch: Stretch, future: Any) -> int:
        answer = opened(future.result(), self._job.name, self._engine.where)
        stretch.values = answer.values
        stretch.failures.update(answer.failures)
        self.sizer.learn(answer.seconds, len(answer.values), answer.weight)
        if not self.sizer.is_fixed:
            self._executor.keep_figures(self._job.digest, self.sizer.figures)
        return len(stretch)
