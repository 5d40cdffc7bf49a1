"""The lanes of a long map whose backend was left to plait: measured calls first, then what they ask for."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from plait import _core, _own
from plait._auto import deciding, run
from plait._auto.crew import climbing
from plait._long.chunk import Sizer
from plait._long.lanes import Lanes, OwnLanes, ProcessLanes, SerialLanes, ThreadLanes, is_interrupt
from plait._long.run import Run
from plait._long.stretch import Stretch

# Where calls have limits, one that fails ends the measuring; so often it is begun anew.
_TRIES = 5


class Failed:
    """Stands for the exception of a measured call, which so is one of many."""

    __slots__ = ("error",)

    def __init__(self, error: Exception | None = None) -> None:
        """Take what was raised."""
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        """Weigh nothing where it is weighed what results take to send."""
        return Failed, ()


def _catching(fn: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        try:
            return fn(*args)
        except Exception as error:
            return Failed(error)

    return call


class MeasuredLanes(Lanes):
    """The thread of the measured calls: results that are there, and what it still runs. It begins nothing."""

    def __init__(self, probe: Any, arrived: Callable[[Stretch], object], alone: bool) -> None:
        """`alone`: the call that still runs gives its result, and is not one of many."""
        super().__init__(1, arrived, Sizer(1))
        self._probe = probe
        self._alone = alone

    def collect(self, stretch: Stretch) -> int:
        """See `Lanes`."""
        future, stretch.future = stretch.future, None
        failure = None if future is not None else self._probe._failure
        if future is not None:
            try:
                value = future.result()
            except BaseException as error:
                if is_interrupt(error, future):
                    stretch.future = future
                    raise
                failure = error
            else:
                if self._alone:
                    self._probe.results.append(value)
        values, self._probe.results = self._probe.results[: len(stretch)], self._probe.results[len(stretch) :]
        for place, value in enumerate(values):
            if type(value) is Failed:
                stretch.failures[place] = value.error  # type: ignore[assignment]
                values[place] = None
        if failure is not None and len(values) < len(stretch):
            stretch.failures[len(values)] = failure
            values.append(None)
        stretch.values = values
        return len(stretch)


class Decider:
    """Makes the measured calls of a map, and gives the lanes that they ask for."""

    def __init__(
        self,
        fn: Callable[..., Any],
        bounds: deciding.Bounds,
        limits: tuple[float | None, int],
        pools: Callable[[int], Any],
        is_warm: Callable[[], bool],
    ) -> None:
        """See `plait._auto.run.Run`."""
        self._fn = fn
        self._bounds = bounds
        self._limits = limits
        self._pools = pools
        self._is_warm = is_warm

    def __call__(self, long: Run) -> Lanes:
        """Measure, and choose."""
        for tries in range(_TRIES):
            auto = self._measure(long)
            failed = auto._probe.failed
            if failed and not long.goes_on:
                auto.close()
                return SerialLanes(self._fn, False, long.arrived)
            if not failed or long.source.is_over or tries == _TRIES - 1:
                break
            auto.close()
        try:
            long.choice = auto.choice
            return self._lanes(long, auto)
        finally:
            auto.close()

    def _measure(self, long: Run) -> run.Run:
        """Make measured calls, and hand over what came of them."""
        read: list[Stretch] = []

        def unknown() -> Iterator[tuple[Any, ...]]:
            while (stretch := long.source.take(1)) is not None:
                if stretch.is_known:
                    long.source.put_back(stretch)
                    return
                read.append(stretch)
                yield stretch.calls[0]

        left = long.source.left
        auto = run.Run(
            self._fn, (unknown(),), self._bounds, long.buffersize, self._limits, self._pools, self._is_warm
        )
        # Tuples of arguments, so many of them.
        auto.inputs.star, auto.inputs.left = True, left
        alone = self._limits != (None, 0)
        probe = auto._probe
        if long.goes_on and not alone:
            probe.gauge = _core.Gauge(_catching(self._fn), sample=True)
        try:
            auto._decide()
        except BaseException:
            auto.close()
            raise
        made = probe._made
        for stretch in reversed(read[made:]):
            long.source.put_back(stretch)
        if made:
            calls = [stretch.calls[0] for stretch in read[:made]]
            digests = [digest for stretch in read[:made] for digest in stretch.digests]
            self._adopt(long, probe, Stretch(read[0].first, calls, digests), alone)
        return auto

    def _adopt(self, long: Run, probe: Any, made: Stretch, alone: bool) -> None:
        lanes = MeasuredLanes(probe, long.arrived, alone)
        there = len(made) if probe.running is None else len(probe.results)
        if there:
            done = made.part(0, there)
            long.adopt(done, lanes)
            long.arrived(done)
        if there < len(made):
            runs = made.part(there, len(made))
            runs.future = probe.running
            long.adopt(runs, lanes)
            probe.running.add_done_callback(lambda _: long.arrived(runs))

    def _lanes(self, long: Run, auto: run.Run) -> Lanes:
        told, fn = auto._told, self._fn
        backend, workers = told["backend"], told["workers"]
        if backend == "serial":
            return SerialLanes(fn, long.goes_on, long.arrived, auto._first["wall"])
        if backend == "threads":
            return self._on_threads(long, auto, workers)
        own = _own.current() if self._bounds.workers is None else None
        kind, pool = (ProcessLanes, self._pools(workers)) if own is None else (OwnLanes, own)
        return kind(pool, fn, self._bounds.chunksize, long.goes_on, self._limits, long.arrived)

    def _on_threads(self, long: Run, auto: run.Run, workers: int) -> Lanes:
        """As many threads as were chosen, and then as many as the calls are found to want."""
        crew, auto._crew = auto._crew, None
        assert crew is not None
        crew.resize(workers)
        call = crew.limit().wrap(self._fn)
        if self._bounds.workers is None:
            worth = deciding.threads_worth(auto._first, auto._machine)
            most = max(workers, min(auto._told["most_workers"], worth))
            found = auto._first.get("width") is not None
            call = climbing(crew, call, _core.Climber(workers, most, auto._alone(), found))
        submit = crew.pool.submit
        if self._limits != (None, 0):
            submit = partial(_submit_with, crew.pool, self._limits)
        return ThreadLanes(submit, call, lambda: crew.width, long.arrived, crew.leave)


def _submit_with(pool: Any, limits: tuple[float | None, int], fn: Callable[..., Any], *args: Any) -> Any:
    return pool._submit_with(*limits, fn, args, {})
