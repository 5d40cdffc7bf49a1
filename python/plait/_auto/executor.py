"""The engine of an executor that chooses: the first calls of each function are measured.

Until a function is decided its calls go one by one to a thread, and those that wait are handed on when it is:
their futures are tied to those of the backend. From then on `submit` is the backend's own.
"""

import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from plait import _core, _exit
from plait._asyncio.kind import is_coroutine_function, refuse_coroutines
from plait._auto import deciding
from plait._auto.crew import Crew
from plait._auto.plan import Plan
from plait._auto.priors import key_of
from plait._auto.tied import Waiting
from plait._future import Future

if TYPE_CHECKING:
    from plait._choice import Choice
    from plait._stats import Stats

T = TypeVar("T")

Limits = tuple[float | None, int]

# Functions that are remembered.
_MOST_PLANS = 4096


class AutoExecutor:
    """Calls on threads or worker processes, as each function's first calls suggest."""

    def __init__(
        self,
        max_workers: int | None,
        initializer: Callable[..., object] | None,
        initargs: tuple[Any, ...],
        limits: Limits,
    ) -> None:
        """As the executors; `limits` are timeout and retries of each call."""
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self.bounds = deciding.Bounds(max_workers, None, ("threads", "processes"))
        self._max_workers = max_workers or _core.cpu_count()
        self._start = (initializer, tuple(initargs))
        self._limits = limits
        self.lock = self._lock = threading.RLock()
        self._plans: dict[Hashable, Plan] = {}
        self._bench: Crew | None = None
        self._crew: Crew | None = None
        self._processes: Any = None
        self.closed = False
        _exit.at_exit(self, first=True)
        self._told: dict[str, Any] | None = None
        # What the figures of the pools do not know: calls that were cancelled while they waited for a
        # decision; and what they know beside: plait's own watches, begun and ended.
        self.dropped = self.watches = self.watched = 0

    @property
    def choice(self) -> "Choice | None":
        """The latest decision; None while the first calls are measured."""
        from plait._choice import Choice

        return None if self._told is None else Choice(self._told)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        """See the executor."""
        return self._submit_with(*self._limits, fn, args, kwargs)

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> "Future[T]":
        plan = self._plans.get(key_of(fn))
        if plan is None or plan.submit is None:
            with self._lock:
                if self.closed:
                    when = "interpreter shutdown" if _exit.is_ending() else "shutdown"
                    raise RuntimeError(f"cannot schedule new futures after {when}")
                plan = self._plan(fn)
                if plan.submit is None:
                    waiting = Waiting(fn, args, kwargs, (timeout, retries))
                    return plan.add(waiting)  # type: ignore[no-any-return]
        return plan.submit(timeout, retries, fn, args, kwargs)  # type: ignore[no-any-return]

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """See the executor."""
        from plait._ahead import submit_ahead
        from plait._mapping import check_chunksize

        check_chunksize(chunksize)
        plan = self._plans.get(key_of(fn))
        if plan is not None and plan.map is not None:
            results: Iterator[T] = plan.map(
                fn, *iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize
            )
            return results
        return submit_ahead(self.submit, fn, zip(*iterables), buffersize, timeout)

    def stats(self) -> "Stats":
        """See the executor."""
        from dataclasses import replace

        from plait._stats import joined

        with self._lock:
            sums = joined("auto", (pool.stats() for pool in self._pools()))
            waiting = [call for plan in self._plans.values() for call in plan.waiting]
            cancelled = sum(call.future.cancelled() for call in waiting)
            watching = self.watches - self.watched
            return replace(
                sums,
                submitted=sums.submitted - self.watches + len(waiting) + self.dropped,
                queued=sums.queued + len(waiting) - cancelled,
                running=max(0, sums.running - watching),
                done=max(0, sums.done - self.watched),
                cancelled=sums.cancelled + self.dropped + cancelled,
            )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See the executor."""
        with self._lock:
            self.closed = True
            plans = list(self._plans.values())
            for plan in plans:
                if cancel_futures:
                    plan.cancel()
                elif plan.waits:
                    plan.decide()
        for pool in self._pools():
            pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, exc_type: type[BaseException] | None, *exc: Any) -> None:
        """Shut down; after Ctrl-C what was not begun is cancelled, and worker processes are ended."""
        interrupted = _exit.is_interrupt(exc_type)
        if interrupted:
            with self._lock:
                self.closed = True
                for plan in self._plans.values():
                    plan.cancel()
            for pool in self._pools():
                pool.__exit__(exc_type, *exc)
            return
        self.shutdown(wait=True)

    def _abort(self) -> None:
        """Give up what was not begun."""
        with self._lock:
            self.closed = True
            for plan in self._plans.values():
                plan.cancel()
        for pool in self._pools():
            pool._abort()

    def _pools(self) -> list[Any]:
        with self._lock:
            crews = [crew.pool for crew in (self._bench, self._crew) if crew is not None]
            return crews if self._processes is None else [*crews, self._processes]

    def _plan(self, fn: Callable[..., Any]) -> "Plan":
        key = key_of(fn)
        plan = self._plans.get(key)
        if plan is None:
            if is_coroutine_function(fn):
                refuse_coroutines(fn, "auto")
            if len(self._plans) >= _MOST_PLANS:
                for old in [key for key, plan in self._plans.items() if plan.submit is not None]:
                    del self._plans[old]
            plan = self._plans[key] = Plan(self, fn)
        return plan

    def bench(self, change: int) -> Crew:
        """The threads on which calls are measured: so many more from now on, or fewer."""
        with self._lock:
            if self._bench is None:
                self._bench = Crew(*self._start)
                self._bench.width = 0
            self._bench.resize(self._bench.width + change)
            return self._bench

    def threads(self, workers: int) -> Crew:
        """The threads for calls that were decided."""
        with self._lock:
            if self._crew is None:
                self._crew = Crew(*self._start)
            self._crew.resize(max(workers, self._crew.width))
            return self._crew

    def processes(self, workers: int) -> Any:
        """The worker processes."""
        with self._lock:
            if self._processes is None:
                from plait._process import ProcessPoolExecutor

                timeout, retries = self._limits
                self._processes = ProcessPoolExecutor(
                    workers, None, *self._start, timeout=timeout, retries=retries
                )
            return self._processes

    def decide(self, figures: dict[str, Any]) -> dict[str, Any]:
        """What these figures ask for, with them and the machine; it is noted as the latest choice."""
        machine = deciding.machine("cold" if self._processes is None else "warm")
        told = deciding.choose(figures, machine, self.bounds)
        self._told = told | {"figures": figures, "machine": machine}
        return self._told
