"""The first calls of a map: made on one thread while they are measured, their results kept."""

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from plait import _core
from plait._auto import priors, sending
from plait._auto.crew import Crew
from plait._auto.inputs import Call, Inputs
from plait._auto.results import Batch

# Seconds of measured calls: enough looks at the GIL to tell a fifth from a half.
_ENOUGH = 0.008

# The same for calls so short that none of them lets go of the GIL, which are shorter than this.
_ENOUGH_TINY = 0.002
_TINY = 3e-6

# Seconds after which the figures so far must do.
_LONGEST = 0.025

# Seconds that nothing takes.
_NO_LIMIT = 1e9

# Seconds for the first call of a function that was measured before: a longer one is like a longer one.
_GLANCE = 0.002

# Seconds of calls after which it may be clear what they do.
_SUSPICION = 0.002

# Seconds of calls to come for which processes may be worth their start.
_WORTH = 0.1

# Calls that are made behind a first one that took long.
_SECOND_LOOK = 2

# Seconds of calls that go to the thread together.
_BATCH = 0.002

# Calls that are kept: to see what they change, and what it takes to send them.
_KEPT = 64

# The most calls that go together, whatever they seem to take: one of them may be long.
_MOST_CALLS = 1 << 14

# Below this share of a call on a processor, worker processes have nothing to offer, and sending is not tried.
_BUSY = 0.05


class Probe:
    """The measured calls of one map, and their results in order."""

    def __init__(
        self,
        fn: Callable[..., Any],
        inputs: Inputs,
        crew: Crew,
        most: int | None,
        limits: tuple[float | None, int],
    ) -> None:
        """Prepare to measure calls of `fn`, at most `most` of them, each held to `limits`."""
        self.fn = fn
        self.gauge = _core.Gauge(fn, sample=True)
        # The first calls, and how many there were.
        self.calls: list[Call] = []
        self._made = 0
        self.results: list[Any] = []
        self._batch: Batch | None = None
        self.seconds = 0.0
        # The call or calls that the thread still runs.
        self.running: Any = None
        self._inputs = inputs
        self._crew = crew
        self._most = most
        self._limits = limits
        # Called once it looks as if there will be work for processes.
        self.warm_up: Callable[[], None] | None = None
        self._patience = _LONGEST
        # Seconds of this thread on a processor, before and after.
        self._own_cpu = self._caller_cpu = 0.0
        self._failure: BaseException | None = None

    def run(self, look: Any = None, prior: dict[str, Any] | None = None) -> bool:
        """Make calls until their figures will do, the inputs have ended, or a call takes long.

        A `look` sees what the first of them are called with. With a `prior`, the first call alone will do if
        it is like that: whether it was.
        """
        begun, self._own_cpu = time.perf_counter(), time.thread_time()
        self._patience = _LONGEST if prior is None else _GLANCE
        alone = self._limits != (None, 0)
        count = 1
        try:
            while not self.failed and not self._inputs.ended:
                if self._most is not None:
                    count = min(count, self._most - self._made)
                    if not count:
                        break
                items = self._inputs.take_items(count)
                if not items:
                    break
                some = self._inputs.calls_of(items[: max(0, _KEPT - self._made)])
                if look is not None:
                    look.watch_all(some)
                took = (
                    self._make_one(self._inputs.calls_of(items)[0], begun)
                    if alone
                    else self._make(items, some, begun)
                )
                if prior is not None and not self.failed:
                    if priors.are_alike(prior, {**self.gauge.figures()}):
                        return True
                    prior, self._patience = None, _LONGEST
                    if took is None and not self.failed:
                        took = self._resume(begun)
                if took is None:
                    break
                now = time.perf_counter() - begun
                figures = self.gauge.figures()
                if self.warm_up is not None and figures["busy"] >= _SUSPICION:
                    self._suspect(figures["wall"], figures["cpu"])
                enough = _ENOUGH if figures["wall"] > _TINY else _ENOUGH_TINY
                if now >= _LONGEST or figures["busy"] >= enough:
                    break
                each = took / len(items)
                count = 1 if alone else max(1, min(_MOST_CALLS, 8 * count, int(_BATCH / max(each, 1e-8))))
        finally:
            self.seconds = time.perf_counter() - begun
            self._caller_cpu = time.thread_time()
        return False

    @property
    def failed(self) -> bool:
        """Whether a measured call raised: what came before it is handed out, then that is raised."""
        return self._failure is not None

    def figures(self, *, look_at_sending: bool) -> dict[str, Any]:
        """What was measured, as the chooser takes it."""
        figures: dict[str, Any] = {**self.gauge.figures()}
        figures["remaining"] = self._inputs.left
        if figures["native"]:
            # What this thread did meanwhile, as to have the first worker started, is no part of the calls.
            own = (self._caller_cpu - self._own_cpu) / max(figures["seconds"], 1e-9)
            figures["native"] = max(0.0, figures["native"] - own)
        cpu = figures["cpu"]
        if look_at_sending and (cpu is None or figures["unfinished"] or cpu >= _BUSY * figures["wall"]):
            figures |= sending.weigh(self.fn, self.calls, self.results)
        return figures

    def _suspect(self, wall: float, cpu: float | None) -> None:
        """Have processes started while the measuring goes on, if they are likely to be needed."""
        left = self._inputs.left
        if (cpu is None or cpu > 0.5 * wall) and (left is None or left * wall > _WORTH):
            assert self.warm_up is not None
            self.warm_up()
        self.warm_up = None

    def go_on(self, seconds: float, most: int) -> "HeadStart | None":
        """Make further calls on the thread, for about so long, without waiting for them.

        Behind a first call that still runs, a few: they say more of the others than a slow first call does.
        """
        wall = self.gauge.figures()["wall"]
        count = _SECOND_LOOK if self.running is not None else int(seconds / max(wall, 1e-7))
        calls = self._inputs.take(min(most, count))
        return HeadStart(self.fn, self._crew, calls) if calls else None

    def hand_out(self) -> Iterator[Any]:
        """Iterate over the results, then raise what a call raised. Nothing here keeps what was handed out."""
        if self.running is not None:
            return self._hand_out_slowly(self.running)
        self._batch = Batch(self.results)
        return itertools.chain(self._batch, self._and_raise())

    def close(self) -> None:
        """Forget what was not handed out."""
        self._failure = None
        if self._batch is not None:
            self._batch.forget()
        self.results.clear()

    def _hand_out_slowly(self, running: Any) -> Iterator[Any]:
        made = len(self.results)
        for _ in range(made):
            yield self.results.pop(0)
        try:
            value = [running.result()]
        except BaseException as error:
            if not running.done():
                # Ctrl-C while this waited.
                running.cancel()
                raise
            self._failure = error
        else:
            if self._limits == (None, 0):
                value = self.results
            yield from self._drain(value)
        self.raise_failure()

    @staticmethod
    def _drain(values: list[Any]) -> Iterator[Any]:
        while values:
            yield values.pop(0)

    def raise_failure(self) -> None:
        """Raise what a measured call raised."""
        if self._failure is not None:
            raise self._failure

    def _and_raise(self) -> Iterator[Any]:
        self.raise_failure()
        yield from ()

    def _make(self, items: list[Any], some: list[Call], begun: float) -> float | None:
        """Make calls of these items; their seconds, or None if there is nothing more to be made now.

        `some` are the first of them, to be kept.
        """
        before = time.perf_counter()
        patience = max(0.001, self._patience - (before - begun))
        # The thread takes them from the end of the list, one by one; what it has not taken can be taken back.
        stack = items[::-1]
        star = self._inputs.star
        future = self._crew.pool.submit(self.gauge.call_all, stack, self.results, patience, star)
        over = self._wait(future, patience)
        while not over and len(stack) == len(items):
            # The thread has not had a processor yet, and of no call nothing is known.
            over = self._wait(future, _LONGEST)
        left: list[Any] = []
        while stack:
            try:
                left.append(stack.pop())
            except IndexError:
                break
        made = len(items) - len(left)
        self.calls += some[:made]
        self._made += made
        self._inputs.put_back_items(left)
        if not over:
            self.running = future
            return None
        return None if self.failed else (time.perf_counter() - before) * len(items) / made

    def _make_one(self, call: Call, begun: float) -> float | None:
        before = time.perf_counter()
        timeout, retries = self._limits
        future = self._crew.pool._submit_with(timeout, retries, self.gauge, call, {})
        self._made += 1
        if self._made <= _KEPT:
            self.calls.append(call)
        if not self._wait(future, max(0.001, self._patience - (before - begun))):
            self.running = future
            return None
        if self.failed:
            return None
        self.results.append(future.result())
        return time.perf_counter() - before

    def _resume(self, begun: float) -> float | None:
        """Wait longer for the call that still runs; as `_make`."""
        future, before = self.running, time.perf_counter()
        if not self._wait(future, max(0.001, self._patience - (before - begun))):
            return None
        self.running = None
        if self.failed:
            return None
        if self._limits != (None, 0):
            self.results.append(future.result())
        return time.perf_counter() - begun

    def _wait(self, future: Any, patience: float) -> bool:
        """Wait for a future; whether it is done. What it raised is kept."""
        try:
            future.result(patience)
        except BaseException as error:
            if not future.done():
                if isinstance(error, TimeoutError):
                    return False
                # Ctrl-C: nobody will ask for what was to come.
                future.cancel()
                raise
            try:
                failure = future.exception()
            except BaseException as cancelled:
                failure = cancelled
            if isinstance(error, KeyboardInterrupt) and failure is not error:
                # Ctrl-C, in the moment in which it was done.
                raise
            self._failure = failure
        return True


class HeadStart:
    """Calls on the thread that has measured, while worker processes start; `gauge` measures them apart."""

    def __init__(self, fn: Callable[..., Any], crew: Crew, calls: list[Call]) -> None:
        """Begin with them."""
        self.gauge = _core.Gauge(fn, sample=True)
        self.failed = False
        self._results: list[Any] = []
        self._future = crew.pool.submit(self.gauge.call_all, calls[::-1], self._results, _NO_LIMIT)

    def hand_out(self) -> Iterator[Any]:
        """Iterate over the results, then raise what a call raised."""
        failure: list[Exception] = []
        try:
            self._future.result()
        except Exception as error:
            self.failed = True
            failure.append(error)
        yield from Batch(self._results)
        if failure:
            raise failure.pop()

    def done(self) -> bool:
        """Whether all of them have ended."""
        return bool(self._future.done())

    def close(self) -> None:
        """Forget what was not handed out."""
        self.failed = True
        if self._future.cancel() or self._future.done():
            self._results.clear()
