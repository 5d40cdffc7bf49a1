"""What is known of one function of an executor that chooses."""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plait import _core, _exit, _state, _task
from plait._auto import deciding, sending
from plait._auto.crew import climbing
from plait._auto.tied import TiedFuture, Waiting

if TYPE_CHECKING:
    from plait._auto.executor import AutoExecutor

# Seconds of measured calls, or calls, or seconds since the first began, after which a function is decided.
_ENOUGH = 0.008
_MOST_CALLS = 256
_LONGEST = 0.025

# With so many calls that wait, their number says how many are to come.
_MANY = 16

# Calls and results that are kept to try what it costs to send them.
_KEPT = 8


class Plan:
    """What is known of one function: how its measured calls went, and where the others go.

    All but the calls themselves happens with the executor's lock held.
    """

    def __init__(self, executor: "AutoExecutor", fn: Callable[..., Any]) -> None:
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
        self._alone: float | None = None
        self._look: Any = None
        self._said = _task.said(fn)

    def add(self, call: Waiting) -> Any:
        """Measure the call, or have it wait for its turn or for the decision; its future."""
        if not self._begun:
            self._begun = time.perf_counter()
            if self._said is None:
                self._look = _state.look(self._fn)
            self._executor.bench(1)
        if not self._watched:
            self._watched = True
            self._executor.watches += 1
            self._executor.bench(1).pool.submit(self._watch)
        if self._running == 0:
            return self._measure(call)
        call.future = TiedFuture()
        self._waiting.append(call)
        return call.future

    @property
    def waiting(self) -> list[Waiting]:
        """The calls that wait for the decision."""
        return list(self._waiting)

    @property
    def waits(self) -> bool:
        """Whether calls wait for the decision."""
        return bool(self._waiting)

    def cancel(self) -> None:
        """Cancel what waits."""
        for call in self._waiting:
            call.cancel()
        self._executor.dropped += len(self._waiting)
        self._waiting.clear()

    def decide(self) -> None:
        """Decide on what was measured so far, and hand on what waits."""
        if self.submit is not None or not self._begun:
            return
        if _exit.is_ending():
            # No more workers: what waits is called on a thread for measuring.
            self._hand_on(self._executor.bench(1).pool._submit_with)
            return
        figures: dict[str, Any] = {**self._gauge.figures()}
        changed = self._look.changed(self._calls) if self._look is not None else None
        # Calls that wait are a part of those to come.
        remaining = 2 * len(self._waiting) if len(self._waiting) > _MANY else None
        figures |= {"remaining": remaining, "task": self._said, "shares_state": changed}
        if self._said is not True and changed is None:
            figures |= sending.weigh(self._fn, self._calls, self._results)
        told = self._executor.decide(figures)
        # How long a call takes that queues behind no other; of one that still ran that is not known.
        self._alone = figures["wall"] if figures["calls"] else None
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
            # No later look at the calls raises that: it is twice what a map begins with.
            worth = 2 * deciding.threads_worth(told["figures"], told["machine"])
            most = max(workers, min(told["most_workers"], worth))
            call = climbing(crew, _apply, _core.Climber(workers, most, self._alone))
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
            self._executor.dropped += not waits.hand_on(submit)
        if self._running == 0:
            self._executor.bench(-1)

    def _measure(self, call: Waiting) -> Any:
        self._running += 1
        if self._look is not None:
            self._look.watch(*call.args, *call.kwargs.values())
        self._calls = [call.args, *self._calls[: _KEPT - 1]]
        measured = (call.fn, call.args, call.kwargs)
        future = self._executor.bench(0).pool._submit_with(*call.limits, self._call, measured, {})
        # Not at the end of a try, which another may follow.
        future.add_done_callback(self._after)
        return future

    def _call(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = self._gauge(fn, args, kwargs)
        with self._lock:
            self._results = [result, *self._results[: _KEPT - 1]]
        return result

    def _after(self, _: Any) -> None:
        """A measured call has ended, after all of its tries, or was cancelled."""
        with self._lock:
            self._running -= 1
            if self.submit is not None:
                if self._running == 0:
                    self._executor.bench(-1)
                return
            if self._executor.closed and not self._waiting:
                # No call of it will come, and no workers are wanted any more.
                return
            figures = self._gauge.figures()
            spent = time.perf_counter() - self._begun
            if figures["busy"] >= _ENOUGH or figures["calls"] >= _MOST_CALLS or spent >= _LONGEST:
                self.decide()
                return
            while self._waiting:
                call = self._waiting.popleft()
                if call.future.set_running_or_notify_cancel():
                    call.future.tie(call.context.run(self._measure, call))
                    return
                self._executor.dropped += 1

    def _watch(self) -> None:
        """See to it that a long first call does not hold up the others."""
        time.sleep(_LONGEST)
        with self._lock:
            self._watched = False
            if self.submit is None and (self._running or self._waiting):
                self.decide()
            self._executor.bench(-1)
            self._executor.watched += 1


def _apply(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _core.call_as(fn, fn, args, kwargs)
