"""A map that chooses: measured calls first, then stretches on the backend that their figures ask for."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from plait import _core, _own, _state, _task
from plait._auto import apart, deciding, priors
from plait._auto import crew as crews
from plait._auto.inputs import Inputs
from plait._auto.probe import HeadStart, Probe
from plait._auto.results import Noting
from plait._auto.segments import ProcessSegment, SerialSegment, ThreadSegment, Turn
from plait._auto.watch import ProcessWatch, SerialWatch, ThreadWatch
from plait._process import default_workers

if TYPE_CHECKING:
    from plait._choice import Choice

# Seconds from one review to the next: soon at first, for a wrong guess costs most while much is left.
_FIRST_REVIEW = 0.04
_LAST_REVIEW = 0.5

# Seconds of calls that are made here while the first worker processes start, and the most such calls.
_HEAD = 0.05
_MOST_HEAD = 1 << 14


class AutoMap(itertools.chain):  # type: ignore[type-arg]
    """The iterator of a map that chooses its backend; `choice` is what it has chosen, and why."""

    _run: "Run"
    _batches: Iterator[Iterator[Any]]

    @property
    def choice(self) -> "Choice":
        """The decision in force: backend, workers, chunksize, figures, reasons."""
        return self._run.choice

    def close(self) -> None:
        """Take back what was not begun; the iterator is exhausted then."""
        self._run.give_up()
        self._batches.close()  # type: ignore[attr-defined]


def start(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    bounds: deciding.Bounds,
    buffersize: int | None,
    limits: tuple[float | None, int],
    pools: Callable[[int], Any],
    is_warm: Callable[[], bool],
) -> AutoMap:
    """Make the first calls, choose, and start the rest; see `plait.map`."""
    run = Run(fn, iterables, bounds, buffersize, limits, pools, is_warm)
    run.begin()
    batches = run.batches()
    results = cast(AutoMap, AutoMap.from_iterable(batches))
    results._run, results._batches = run, batches
    return results


class Run:
    """One map: its inputs, what was measured of it, and the segment in hand."""

    def __init__(
        self,
        fn: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        bounds: deciding.Bounds,
        buffersize: int | None,
        limits: tuple[float | None, int],
        pools: Callable[[int], Any],
        is_warm: Callable[[], bool],
    ) -> None:
        """`pools` gives the process pool of so many workers, `is_warm` says whether there is one."""
        self.fn = fn
        self.inputs = Inputs(iterables)
        self.bounds = bounds
        self._buffersize = buffersize
        self._limits = limits
        # Of whoever has started the map: most calls begin when a result is asked for.
        self._context = copy_context()
        self._pools = pools
        self._is_warm = is_warm
        self._crew: crews.Crew | None = crews.hire()
        self._probe = Probe(fn, self.inputs, self._crew, buffersize, limits)
        self._head: HeadStart | None = None
        self._told: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        self._latest: dict[str, Any] = {}
        self._machine: dict[str, Any] = {}
        # What was seen of the function, while that may be asked for.
        self._look: Any = None
        self._segment: Any = None
        self._next: Any = None
        self._watch: Any = None
        self._processes: Any = None
        self._deciding = 0.0
        self._switches = 0
        self._opening = False
        self._period = _FIRST_REVIEW
        self._due = 0.0
        self._turn = Turn(self._review, self._go_on)

    @property
    def choice(self) -> "Choice":
        """The decision in force."""
        from plait._choice import Choice

        figures = self._latest or self._first
        return Choice(self._told | {"deciding": self._deciding, "figures": figures, "machine": self._machine})

    def begin(self) -> None:
        """Make the measured calls, choose, and open the first segment."""
        try:
            self._decide()
            if not self._probe.failed and not self.inputs.ended:
                self._segment = self._open()
            if self._probe.running is None and self._head is None:
                self._release()
        except BaseException:
            # Ctrl-C, or no room for what a worker was to be sent.
            self.close()
            raise

    def explain(self) -> "Choice":
        """Make the measured calls, and give the choice."""
        try:
            self._decide()
            if self._told["backend"] == "interpreters":
                from plait._auto.interpreted import try_loading

                why = try_loading(self.fn, self._told["workers"])
                if why is not None:
                    self._refused(why)
            self._probe.raise_failure()
            if self.inputs.failure is not None:
                raise self.inputs.failure
            if not self._probe.calls:
                raise ValueError("there are no items, so there is nothing to measure")
            return self.choice
        finally:
            self.close()

    def _decide(self) -> None:
        begun = time.perf_counter()
        said = _task.said(self.fn)
        look = _state.look(self.fn) if said is None else None
        warm = _own.current() is not None or self._is_warm()
        there = apart.pool_state(self._context) if "interpreters" in self.bounds.backends else None
        self._look = look
        self._machine = deciding.machine("warm" if warm else "cold", there)
        if not warm and said is not True and (look is None or look.finding is None):
            self._probe.warm_up = self._start_workers
        prior = priors.get(self.fn)
        alike = self._probe.run(look, prior)
        changed = look.changed(self._probe.calls) if look is not None else None
        figures = self._probe.figures(look_at_sending=said is not True and changed is None)
        figures |= {"task": said, "shares_state": changed}
        if alike and prior is not None:
            figures |= prior
        elif not self._probe.failed and figures["calls"] + figures["running"]:
            priors.keep(self.fn, figures)
        self._first = figures
        self._told = self._chosen(self._first)
        if alike:
            self._told["reasons"].append("the figures are those of an earlier map of this function")
        self._deciding = (
            time.perf_counter() - begun - min(self._probe.seconds, self._probe.gauge.figures()["busy"])
        )

    def batches(self) -> Iterator[Iterator[Any]]:
        """Iterators over results, one after the other."""
        try:
            yield self._probe.hand_out()
            if self._probe.failed:
                return
            if self._head is not None:
                yield self._head.hand_out()
                if self._head.failed:
                    return
            self._release()
            while self._segment is not None:
                watch = self._watch
                yield from self._segment.batches()
                if self._segment.failed:
                    return
                if isinstance(watch, ThreadWatch) and priors.are_of_a_kind(self._first, watch.calls()):
                    priors.keep_threads(self.fn, self._first, watch.calls(), self._segment)
                self._segment, self._next = self._next, None
            if self._switches and priors.are_of_a_kind(self._first, self._latest):
                priors.keep_settled(self.fn, self._told["backend"])
            if self.inputs.failure is not None:
                raise self.inputs.failure
        finally:
            self.close()

    def close(self) -> None:
        """Take back what was not begun."""
        for segment in (self._segment, self._next):
            if segment is not None:
                segment.close()
        self._segment = self._next = None
        self._release()

    def give_up(self) -> None:
        """The same, and forget what was not handed out."""
        self.close()
        self._probe.close()
        if self._head is not None:
            self._head.close()

    def _open(self) -> Any:
        """Open the segment that the choice asks for; it reads its first inputs."""
        self._opening = True
        try:
            return self._segment_of(self._told["backend"], self._told["workers"])
        finally:
            self._opening = False
            self._due = time.perf_counter() + self._period

    def _segment_of(self, backend: str, workers: int) -> Any:
        segment: Any
        if backend == "serial":
            segment = SerialSegment(self.fn, self.inputs, self._turn, self._buffersize, self._context)
            self._watch = SerialWatch(segment, self._first)
        elif backend == "threads":
            segment = self._on_threads(workers)
        elif backend == "interpreters":
            segment = self._on_interpreters(workers)
        else:
            head = self._begin_here(workers)
            segment = ProcessSegment(self._start_processes, self.inputs, self._turn)
            pool = self._processes
            self._watch = None if pool is None else ProcessWatch(pool, segment, head)
        return segment

    def _on_threads(self, workers: int) -> ThreadSegment:
        crew, self._crew = self._crew, None
        if crew is None:
            crew = crews.hire()
        crew.resize(workers)
        ever = self._told["most_workers"]
        most = max(workers, min(ever, deciding.threads_worth(self._first, self._machine)))
        climber = None
        if self.bounds.workers is None:
            climber = _core.Climber(workers, most, self._alone(), self._first.get("width") is not None)
        gauge = _core.Gauge(self.fn, sample=True)
        segment = ThreadSegment(
            gauge, self.inputs, self._turn, crew, climber, self._buffersize, self._limits, self._context
        )
        self._watch = ThreadWatch(self.fn, segment, self._machine["cpus"], (most, ever))
        return segment

    def _on_interpreters(self, workers: int) -> Any:
        from plait._auto.interpreted import InterpreterSegment, InterpreterWatch
        from plait._kept import pool_of

        # Nothing is called here meanwhile: to begin they need the GIL of this one, and all processors.
        self._machine["interpreters"] = "warm"
        pool = pool_of("interpreters", workers)
        limits = (self.bounds.chunksize, self._buffersize)
        segment = InterpreterSegment(
            self.fn, pool, self.inputs, self._turn, self._refused, self._first["wall"], limits, self._context
        )
        self._watch = InterpreterWatch(segment)
        return segment

    def _refused(self, why: str) -> None:
        """Interpreters cannot have these calls: decide anew, without them."""
        self._first["unloadable"] = why
        figures = (self._latest or self._first) | {"unloadable": why, "remaining": self.inputs.left}
        self._told, self._latest = deciding.choose(figures, self._machine, self.bounds), figures

    def _alone(self) -> float | None:
        """Seconds of a call that queues behind no other; of one that still ran that is not known."""
        calls, wall, longest = (self._first[name] for name in ("calls", "wall", "longest"))
        # The longest one may have been the first, which loads things.
        return (calls * wall - longest) / (calls - 1) if calls > 1 else wall if calls else None

    def _begin_here(self, workers: int) -> Any:
        """Make some calls here while worker processes start; their gauge, if it says more than the first."""
        cold = self._machine["process_pool"] == "cold"
        if self._crew is None or not (cold or self._probe.running is not None) or self._limits != (None, 0):
            return None
        self._machine["process_pool"] = "warm"
        most = (self.inputs.left or _MOST_HEAD) // (2 * workers)
        self._head = self._probe.go_on(_HEAD, min(most, self._buffersize or _MOST_HEAD))
        return self._head.gauge if self._head is not None and self._first["unfinished"] else None

    def _chosen(self, figures: dict[str, Any]) -> dict[str, Any]:
        """What these figures ask for; what speaks against interpreters is looked for where that counts."""
        told = deciding.choose(figures, self._machine, self.bounds)
        if self._machine["interpreters"] and "interpreters" in (told["backend"], told["runner_up"]):
            why = apart.why_not(self.fn, self._look, self._probe.calls, self._probe.results)
            if why is not None:
                figures["unloadable"] = why
                told = deciding.choose(figures, self._machine, self.bounds)
        return told

    def _start_workers(self) -> None:
        """Have a worker process started, without waiting for it, if one is likely to be needed."""
        if self._machine["interpreters"]:
            figures = {**self._probe.gauge.figures(), "remaining": self.inputs.left}
            if self._chosen(figures)["backend"] == "interpreters":
                return
        self._pools(self.bounds.workers or default_workers()).submit(_nothing)

    def _start_processes(self, items: Iterator[Any], star: bool, left: int | None) -> Any:
        timeout, retries = self._limits
        chunksize = self.bounds.chunksize
        own = _own.current() if self.bounds.workers is None else None
        if own is not None:
            # In a worker: no process is started for it, however deep maps are nested.
            calls = items if star else zip(items)
            return Noting(
                self._context.copy().run(
                    _own.start_map, own, self.fn, calls, chunksize, self._buffersize, None, timeout, retries
                )
            )
        pool = self._processes = self._pools(self._told["workers"])
        ahead = self._buffersize or 0
        return _core.process_map(
            pool,
            self.fn,
            items,
            star,
            pool._max_workers,
            left,
            chunksize,
            ahead,
            None,
            timeout,
            retries,
            self._context,
        )

    def _review(self) -> bool:
        """Whether the segment in hand is to end because another backend is clearly better."""
        now = time.perf_counter()
        if now < self._due or self._opening or self._watch is None:
            return False
        measured = self._watch.look(now)
        self._due = now + self._period
        if measured is None:
            return False
        self._period = min(_LAST_REVIEW, 2 * self._period)
        self._due = now + self._period
        left = self.inputs.left
        remaining = None if left is None else left + self._watch.queued
        figures = self._first | {"remaining": remaining} | measured
        told = deciding.revise(self._told, figures, self._machine, self.bounds, self._switches)
        if told is None:
            return False
        if told["backend"] == "interpreters" and "unloadable" not in self._first:
            # What is found is known at the next look.
            self._first["unloadable"] = apart.why_not(self.fn, self._look, self._probe.calls, [])
            if self._first["unloadable"] is not None:
                return False
        self._told, self._latest = told, figures
        self._switches += 1
        return True

    def _go_on(self) -> None:
        """Open the next segment, before the results of the one that was cut off are taken."""
        self._period = _FIRST_REVIEW
        if not self.inputs.ended:
            self._next = self._open()

    def _release(self) -> None:
        """Give the thread of the measured calls back, unless threads have taken it over."""
        crew, self._crew = self._crew, None
        if crew is not None:
            busy = [call for call in (self._probe.running, self._head) if call is not None]
            crew.leave(all(call.done() for call in busy))


def _nothing() -> None:
    """A call for a worker that is to start."""
