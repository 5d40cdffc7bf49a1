"""The engine of an executor that chooses: the first calls of each function are measured.

Until a function is decided its calls go one by one to a thread, and those that wait are handed on when it is:
their futures are tied to those of the backend. From then on `submit` is the backend's own.
"""

import concurrent.futures
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from plait import _core, _exit, _state, _task
from plait._auto import deciding, sending
from plait._auto.crew import Crew, climbing
from plait._future import Future

if TYPE_CHECKING:
    from plait._choice import Choice

T = TypeVar("T")

Limits = tuple[float | None, int]

# Seconds of measured calls, or calls, or seconds since the first began, after which a function is decided.
_ENOUGH = 0.008
_MOST_CALLS = 256
_LONGEST = 0.025

# With so many calls that wait, their number says how many are to come.
_MANY = 16

# Functions that are remembered.
_MOST_PLANS = 4096

# Calls and results that are kept to try what it costs to send them.
_KEPT = 8


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
        self._closed = False
        _exit.at_exit(self, first=True)
        self._told: dict[str, Any] | None = None

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
        plan = self._plans.get(_key(fn))
        if plan is None or plan.submit is None:
            with self._lock:
                if self._closed:
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
        from plait._map import submit_ahead
        from plait._process import check_buffersize

        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        check_buffersize(buffersize)
        plan = self._plans.get(_key(fn))
        if plan is not None and plan.map is not None:
            results: Iterator[T] = plan.map(
                fn, *iterables, timeout=timeout, chunksize=chunksize, buffersize=buffersize
            )
            return results
        return submit_ahead(self.submit, fn, zip(*iterables), buffersize, timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See the executor."""
        with self._lock:
            self._closed = True
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
                self._closed = True
                for plan in self._plans.values():
                    plan.cancel()
            for pool in self._pools():
                pool.__exit__(exc_type, *exc)
            return
        self.shutdown(wait=True)

    def _abort(self) -> None:
        """Give up what was not begun."""
        with self._lock:
            self._closed = True
            for plan in self._plans.values():
                plan.cancel()
        for pool in self._pools():
            pool._abort()

    def _pools(self) -> list[Any]:
        with self._lock:
            crews = [crew.pool for crew in (self._bench, self._crew) if crew is not None]
            return crews if self._processes is None else [*crews, self._processes]

    def _plan(self, fn: Callable[..., Any]) -> "Plan":
        key = _key(fn)
        plan = self._plans.get(key)
        if plan is None:
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
        """What these figures ask for, which is noted as the latest choice."""
        machine = deciding.machine("cold" if self._processes is None else "warm")
        told = deciding.choose(figures, machine, self.bounds)
        self._told = told | {"figures": figures, "machine": machine}
        return told


class Plan:
    """What is known of one function: how its measured calls went, and where the others go.

    All but the calls themselves happens with the executor's lock held.
    """

    def __init__(self, executor: AutoExecutor, fn: Callable[..., Any]) -> None:
        """Nothing is measured yet."""
        # How a call is submitted and a map is made, once that is decided.
        self.submit: Callable[..., Any] | None = None
        self.map: Callable[..., Any] | None = None
        self._executor = executor
        self._fn = fn
        self._lock = executor.lock
        self._gauge = _core.Gauge(_apply, sample=True)
        self._waiting: deque[Waiting] = deque()
        self._running = 0
        self._calls: list[tuple[Any, ...]] = []
        self._results: list[Any] = []
        self._begun = 0.0
        self._watched = False
        self._look: Any = None
        self._said = _task.said(fn)

    def add(self, call: "Waiting") -> Any:
        """Measure the call, or have it wait for its turn or for the decision; its future."""
        if not self._begun:
            self._begun = time.perf_counter()
            if self._said is None:
                self._look = _state.look(self._fn)
            self._executor.bench(1)
        if not self._watched:
            self._watched = True
            self._executor.bench(1).pool.submit(self._watch)
        if self._running == 0:
            return self._measure(call)
        call.future = TiedFuture()
        self._waiting.append(call)
        return call.future

    @property
    def waits(self) -> bool:
        """Whether calls wait for the decision."""
        return bool(self._waiting)

    def cancel(self) -> None:
        """Cancel what waits."""
        for call in self._waiting:
            call.cancel()
        self._waiting.clear()

    def decide(self) -> None:
        """Decide on what was measured so far, and hand on what waits."""
        if self.submit is not None or not self._begun:
            return
        if _exit.is_ending():
            # No more workers: what waits is called on a thread for measuring.
            self._hand_on(self._executor.bench(1).pool._submit_with)
            return
        figures = dict(self._gauge.figures())
        changed = self._look.changed(self._calls) if self._look is not None else None
        # Calls that wait are a part of those to come.
        remaining = 2 * len(self._waiting) if len(self._waiting) > _MANY else None
        figures |= {"remaining": remaining, "task": self._said, "shares_state": changed}
        if self._said is not True and changed is None:
            figures |= sending.weigh(self._fn, self._calls, self._results)
        told = self._executor.decide(figures)
        self._hand_on(self._home(told))

    def _home(self, told: dict[str, Any]) -> Callable[..., Any]:
        """How calls are submitted to what was chosen."""
        workers = told["workers"]
        if told["backend"] == "processes":
            pool = self._executor.processes(workers)
            self.map = pool.map
            return pool._submit_with  # type: ignore[no-any-return]
        crew = self._executor.threads(workers)
        call = _apply
        if self._executor.bounds.workers is None:
            call = climbing(crew, _apply, _core.Climber(workers, told["most_workers"]))
        submit = crew.pool._submit_with
        return lambda timeout, retries, *call_: submit(timeout, retries, call, call_, {})

    def _hand_on(self, submit: Callable[..., Any]) -> None:
        """From now on calls are submitted by `submit`, those that wait first."""
        self.submit = submit
        self._calls.clear()
        self._results.clear()
        self._look = None
        waiting, self._waiting = self._waiting, deque()
        for waits in waiting:
            waits.hand_on(submit)
        if self._running == 0:
            self._executor.bench(-1)

    def _measure(self, call: "Waiting") -> Any:
        self._running += 1
        if self._look is not None:
            self._look.watch(*call.args, *call.kwargs.values())
        self._calls = [call.args, *self._calls[: _KEPT - 1]]
        measured = (call.fn, call.args, call.kwargs)
        return self._executor.bench(0).pool._submit_with(*call.limits, self._call, measured, {})

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            result = self._gauge(fn, args, kwargs)
        except BaseException:
            self._after()
            raise
        with self._lock:
            self._results = [result, *self._results[: _KEPT - 1]]
        self._after()
        return result

    def _after(self) -> None:
        """A measured call has ended."""
        with self._lock:
            self._running -= 1
            if self.submit is not None:
                if self._running == 0:
                    self._executor.bench(-1)
                return
            figures = self._gauge.figures()
            spent = time.perf_counter() - self._begun
            if figures["busy"] >= _ENOUGH or figures["calls"] >= _MOST_CALLS or spent >= _LONGEST:
                self.decide()
                return
            while self._waiting:
                call = self._waiting.popleft()
                if call.future.set_running_or_notify_cancel():
                    call.future.tie(self._measure(call))
                    return

    def _watch(self) -> None:
        """See to it that a long first call does not hold up the others."""
        time.sleep(_LONGEST)
        with self._lock:
            self._watched = False
            if self.submit is None and (self._running or self._waiting):
                self.decide()
            self._executor.bench(-1)


class Waiting:
    """A call of a function that is not decided yet."""

    future: "TiedFuture"

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], limits: Limits
    ) -> None:
        """The call, and its timeout and retries."""
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.limits = limits

    def cancel(self) -> None:
        """Cancel it, and tell those who wait."""
        if self.future.cancel():
            self.future.set_running_or_notify_cancel()

    def hand_on(self, submit: Callable[..., Any]) -> None:
        """Submit it by `submit`; its future ends as that one."""
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.tie(submit(*self.limits, self.fn, self.args, self.kwargs))
        except Exception as error:
            self.future.set_exception(error)


class TiedFuture(Future):  # type: ignore[type-arg]
    """A future whose call was handed on: another future says how it ends."""

    _tied: Any = None

    def cancel(self) -> bool:
        """Cancel the call, if nothing has begun it."""
        tied = self._tied
        return super().cancel() if tied is None else bool(tied.cancel())

    def tie(self, other: Any) -> None:
        """End as `other` does."""
        self._tied = other
        other.add_done_callback(self._settle)

    def _settle(self, other: Any) -> None:
        if other.cancelled():
            # Nothing can be cancelled any more that was begun, and this was.
            self.set_exception(concurrent.futures.CancelledError())
        elif (error := other.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(other.result())


def _apply(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)


def _key(fn: Callable[..., Any]) -> Hashable:
    """What calls of the same function have in common: its code, since closures are made anew."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = getattr(fn, "__func__", fn)
    code = getattr(fn, "__code__", None)
    if code is not None:
        return code
    try:
        hash(fn)
    except TypeError:
        return type(fn)
    return fn
