"""A map that chooses: measured calls first, then stretches on the backend that their figures ask for."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from plait import _core, _own, _state, _task
from plait._auto import crew as crews
from plait._auto import deciding, priors, waiting
from plait._auto.inputs import Inputs
from plait._auto.probe import HeadStart, Probe
from plait._auto.segments import ProcessSegment, SerialSegment, ThreadSegment, Turn
from plait._process import default_workers

if TYPE_CHECKING:
    from plait._choice import Choice

# Seconds from one review to the next: soon at first, for a wrong guess costs most while much is left.
_FIRST_REVIEW = 0.04
_LAST_REVIEW = 0.5

# Calls that a window of figures should have, unless it gets long.
_WINDOW_CALLS = 8
_LONGEST_WINDOW = 1.0

# Below this share of the processors at work, more threads may be of use.
_IDLE = 0.7

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
        self._pools = pools
        self._is_warm = is_warm
        self._crew: crews.Crew | None = crews.hire()
        self._probe = Probe(fn, self.inputs, self._crew, buffersize, limits)
        self._head: HeadStart | None = None
        self._gauge = self._probe.gauge
        self._told: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        self._machine: dict[str, Any] = {}
        self._segment: Any = None
        self._next: Any = None
        self._deciding = 0.0
        self._switches = 0
        self._opening = False
        self._period = _FIRST_REVIEW
        self._due = 0.0
        self._turn = Turn(self._review, self._go_on)
        self._processes: Any = None
        self._window = 0.0
        # Seconds of all threads and of this one on a processor, when the window began.
        self._cpu = (0.0, 0.0)
        self._taken = 0
        self._busy = 0.0
        self._waited: dict[int, float] = {}
        self._latest: dict[str, Any] = {}
        self._most = 1
        self._on_threads: dict[str, Any] = {}

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
        self._machine = deciding.machine("warm" if warm else "cold")
        self._told = deciding.choose(figures, self._machine, self.bounds)
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
                yield from self._segment.batches()
                if self._segment.failed:
                    return
                if isinstance(self._segment, ThreadSegment):
                    self._look_at_threads()
                    priors.keep_threads(self.fn, self._first, self._on_threads, self._segment)
                self._segment, self._next = self._next, None
            if self._switches:
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
            self._window = time.perf_counter()
            self._cpu = time.process_time(), time.thread_time()
            self._due = self._window + self._period

    def _segment_of(self, backend: str, workers: int) -> Any:
        if backend == "serial":
            return SerialSegment(self.fn, self.inputs, self._turn, self._buffersize)
        if backend == "threads":
            crew, self._crew = self._crew, None
            if crew is None:
                crew = crews.hire()
            fixed = self.bounds.workers is not None
            crew.resize(workers)
            climber = None if fixed else self._climber(workers)
            self._gauge = _core.Gauge(self.fn, sample=True)
            self._waited = waiting.of_threads(thread.native_id for thread in list(crew.pool._threads))
            return ThreadSegment(
                self._gauge, self.inputs, self._turn, crew, climber, self._buffersize, self._limits
            )
        cold = self._machine["process_pool"] == "cold"
        if self._crew is not None and (cold or self._probe.running is not None) and self._limits == (None, 0):
            self._machine["process_pool"] = "warm"
            most = (self.inputs.left or _MOST_HEAD) // (2 * workers)
            self._head = self._probe.go_on(_HEAD, min(most, self._buffersize or _MOST_HEAD))
        return ProcessSegment(self._start_processes, self.inputs, self._turn)

    def _climber(self, workers: int) -> Any:
        # How long a call takes that queues behind no other; of one that still ran that is not known.
        # The longest one may have been the first, which loads things.
        calls, wall, longest = (self._first[name] for name in ("calls", "wall", "longest"))
        alone = (calls * wall - longest) / (calls - 1) if calls > 1 else wall if calls else None
        self._most = max(workers, min(self._told["most_workers"], self._worth()))
        return _core.Climber(workers, self._most, alone, self._first.get("width") is not None)

    def _worth(self) -> int:
        """How many threads can be of use, by what calls have done so far."""
        figures = self._first
        own = figures["wall"] - (figures["wanted"] or 0.0) - (figures["delay"] or 0.0)
        busy = min(1.0, (figures["cpu"] or 0.0) / max(own, 1e-9))
        return int(4 * self._machine["cpus"] / max(busy, 1e-3))

    def _start_workers(self) -> None:
        """Have a worker process started, without waiting for it."""
        self._pools(self.bounds.workers or default_workers()).submit(_nothing)

    def _start_processes(self, items: Iterator[Any], star: bool, left: int | None) -> Any:
        timeout, retries = self._limits
        chunksize = self.bounds.chunksize
        own = _own.current() if self.bounds.workers is None else None
        if own is not None:
            # In a worker: no process is started for it, however deep maps are nested.
            calls = items if star else zip(items)
            return Noting(
                _own.start_map(own, self.fn, calls, chunksize, self._buffersize, None, timeout, retries)
            )
        pool = self._processes = self._pools(self._told["workers"])
        self._busy = _busy_seconds(pool)
        ahead = self._buffersize or 0
        return _core.process_map(
            pool, self.fn, items, star, pool._max_workers, left, chunksize, ahead, None, timeout, retries
        )

    def _review(self) -> bool:
        """Whether the segment in hand is to end because another backend is clearly better."""
        now = time.perf_counter()
        if now < self._due or self._opening:
            return False
        seconds = now - self._window
        backend = self._told["backend"]
        fresh = self._look_at_threads() if backend == "threads" else {}
        if backend == "threads" and fresh["calls"] < _WINDOW_CALLS and seconds < _LONGEST_WINDOW:
            self._due = now + self._period
            return False
        if backend == "threads" and (self._segment.leaps or not self._segment.queued):
            # There will soon be more threads; or the consumer sets the pace, and no backend is any faster.
            self._segment.gauge = self._gauge = _core.Gauge(self.fn, sample=True)
            self._waited = self._segment.waited()
            self._window, self._due = now, now + self._period
            return False
        pool = self._processes
        if pool is not None and (not self._taken or pool._stats()["pending"] < pool._max_workers):
            # The same; and worker processes are as good as started when the first results are there.
            self._taken, self._busy = self._segment.taken, _busy_seconds(self._processes)
            self._window, self._due = now, now + self._period
            return False
        self._period = min(_LAST_REVIEW, 2 * self._period)
        self._due = now + self._period
        figures = self._first | fresh | {"remaining": self.inputs.left}
        if backend == "serial" and self._segment.wall:
            # What the gauge measured still says how a call spends its time.
            grown = self._segment.wall / max(figures["wall"], 1e-9)
            figures |= {name: figures[name] * grown for name in ("wall", "cpu", "held") if figures[name]}
            figures["native"] = self._beside(seconds)
        if backend == "threads":
            if self.inputs.left is not None:
                figures["remaining"] = self.inputs.left + self._segment.queued
            waited = self._segment.waited()
            figures["delay"] = figures["wall"] * waiting.share(self._waited, waited, seconds)
            self._waited = waited
            workers, rate = self._segment.width, fresh["calls"] / seconds
            busy = (fresh["cpu"] or 0.0) + figures["delay"]
            figures["threads_tried"] = {"workers": workers, "rate": rate, "cpu_share": rate * busy / workers}
            if rate * busy < _IDLE * self._machine["cpus"]:
                # Calls wait more than the first ones did.
                self._most = min(2 * self._most, self._told["most_workers"])
                self._segment.allow(self._most)
            self._segment.gauge = self._gauge = _core.Gauge(self.fn, sample=True)
        elif pool is not None:
            figures |= self._second_look()
            taken, busy = self._segment.taken, _busy_seconds(pool)
            workers = pool._max_workers
            figures["processes_tried"] = {
                "workers": workers,
                "rate": (taken - self._taken) / seconds,
                "cpu_share": max(0.0, busy - self._busy) / (seconds * workers),
            }
            self._taken, self._busy = taken, busy
        self._window = now
        told = deciding.revise(self._told, figures, self._machine, self.bounds, self._switches)
        if told is None:
            return False
        self._told, self._latest = told, figures
        self._switches += 1
        return True

    def _beside(self, seconds: float) -> float:
        """How many processors other threads used in this window, of calls in this thread.

        Some of them only begin: those of a BLAS spin for a while before they sleep.
        """
        process, thread = self._cpu
        self._cpu = time.process_time(), time.thread_time()
        used = (self._cpu[0] - process) - (self._cpu[1] - thread)
        return max(0.0, used) / seconds

    def _look_at_threads(self) -> dict[str, Any]:
        """What calls on threads are like, in this window; and keep it if there were enough of them."""
        fresh: dict[str, Any] = {**self._gauge.figures()}
        if fresh["calls"] >= _WINDOW_CALLS or not self._on_threads:
            self._on_threads = fresh
        return fresh

    def _second_look(self) -> dict[str, Any]:
        """What calls behind the first one were like, where that alone was decided on."""
        if self._head is None or not self._first["unfinished"]:
            return {}
        figures: dict[str, Any] = {**self._head.gauge.figures()}
        return figures if figures["calls"] > 1 else {}

    def _go_on(self) -> None:
        """Open the next segment, before the results of the one that was cut off are taken."""
        self._period, self._taken, self._processes = _FIRST_REVIEW, 0, None
        if not self.inputs.ended:
            self._next = self._open()

    def _release(self) -> None:
        """Give the thread of the measured calls back, unless threads have taken it over."""
        crew, self._crew = self._crew, None
        if crew is not None:
            busy = [call for call in (self._probe.running, self._head) if call is not None]
            crew.leave(all(call.done() for call in busy))


class Noting:
    """An iterator that knows whether it has raised."""

    def __init__(self, results: Iterator[Any]) -> None:
        self._results = results
        self.failed = False

    def __iter__(self) -> "Noting":
        return self

    def __next__(self) -> Any:
        try:
            return next(self._results)
        except StopIteration:
            raise
        except BaseException:
            self.failed = True
            raise

    def close(self) -> None:
        """Take back what was not begun."""
        self._results.close()  # type: ignore[attr-defined]


def _nothing() -> None:
    """A call for a worker that is to start."""


def _busy_seconds(pool: Any) -> float:
    """Seconds that the worker processes were on a processor, or ready to be and waiting for one."""
    total = 0.0
    for pid in pool._stats()["pids"]:
        try:
            # The clock of another process, as clock_getcpuclockid(3) makes it.
            total += time.clock_gettime((~pid << 3) | 2)
        except OSError:
            continue
        total += waiting.of_process(pid)
    return total
