"""Where the calls of a long map run: here, on threads, on an event loop, or on worker processes.

All lanes have the same face: `begin` starts a stretch and has it handed to `arrived` when it has ended,
`collect` takes its results. They know nothing of order, files or progress.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor
from contextvars import copy_context
from typing import Any

from plait import _core
from plait._errors import NotPicklable
from plait._long.chunk import Failed, Sizer, bind, catching
from plait._long.stretch import Stretch

# Threads: enough calls ahead that no thread waits for the consumer's turn.
_AHEAD_PER_THREAD = 32

# Chunks on their way for each worker process.
_CHUNKS_PER_WORKER = 4

# Calls that take so many times what was expected of them, and more than so many seconds, are other calls.
_LONGER = 4
_SHORT = 1e-4

Arrived = Callable[[Stretch], object]


class Lanes:
    """What all lanes have in common: the calls are futures, unless a subclass knows better."""

    # Whether whoever waits must do so for one stretch, since it may have to make the call itself.
    waits_by_future = False

    # Whether nothing is called before somebody asks for its result.
    is_lazy = False

    # Whether they are no more what the calls ask for.
    is_stale = False

    def __init__(self, workers: int, arrived: Arrived, sizer: Sizer) -> None:
        """`workers`: how many calls run at once; `arrived` is called from any thread."""
        self.workers = workers
        self.sizer = sizer
        self._arrived = arrived
        # Of whoever has started the map: most calls begin when a result is asked for.
        self._context = copy_context()

    @property
    def ahead(self) -> int:
        """Items that are to be on their way, where nobody said how many."""
        return _CHUNKS_PER_WORKER * self.workers * self.sizer.size

    def begin(self, stretch: Stretch) -> None:
        """Start its calls. What speaks against its items is their failure.

        Raises:
            BrokenExecutor, MemoryError: no other item would fare better.

        """
        stretch.lanes = self
        try:
            stretch.future = future = self._context.run(self._submit, stretch)
        except (BrokenExecutor, MemoryError):
            raise
        except Exception as error:
            stretch.failures[0] = error
            self._arrived(stretch)
            return
        if not self.waits_by_future:
            arrived = self._arrived
            future.add_done_callback(lambda _: arrived(stretch))

    def collect(self, stretch: Stretch) -> int:
        """Take the results of a stretch that arrived; how many of its items have ended.

        Those behind them were not begun. With 0 it is not known which, so that all have to be called one by
        one.

        Raises:
            Unusable: no other item would fare better.

        """
        future, stretch.future = stretch.future, None
        if future is not None:
            try:
                return self._take(stretch, future)
            except BaseException as error:
                if is_interrupt(error, future):
                    stretch.future = future
                    raise
                stretch.failures[0] = error
        self._look_at(stretch.failures[0])
        if len(stretch) > 1:
            # Whose fault it was is not known: something could not be sent.
            stretch.failures.clear()
            return 0
        stretch.values = [None]
        return 1

    def come_in_order(self) -> None:
        """Results are waited for in the order of their stretches, so that one wait may do for each."""

    def close(self, idle: bool) -> None:
        """Let go of the workers; `idle`: none of them has anything left to do."""

    def _submit(self, stretch: Stretch) -> Any:
        raise NotImplementedError

    def _look_at(self, error: BaseException) -> None:
        """Raise `Unusable` for the failure of a whole stretch that will be that of all."""

    def _take(self, stretch: Stretch, future: Any) -> int:
        """Take what the future of a stretch says, which is there, or raise what stands for all of it."""
        stretch.values = [future.result()]
        return 1


class ThreadLanes(Lanes):
    """Calls on a thread pool, one by one."""

    def __init__(
        self,
        submit: Callable[..., Any],
        fn: Callable[..., Any],
        workers: Callable[[], int],
        arrived: Arrived,
        left: Callable[[bool], object],
    ) -> None:
        """`submit`: the pool's; `fn`: as its threads call it; `left`: told when they are needed no more."""
        super().__init__(1, arrived, Sizer(1))
        self._count = workers
        self._call = submit
        self._fn = fn
        self._left = left

    @property
    def ahead(self) -> int:
        """See `Lanes`."""
        self.workers = self._count()
        return _AHEAD_PER_THREAD * self.workers

    def close(self, idle: bool) -> None:
        """See `Lanes`."""
        self._left(idle)

    def _submit(self, stretch: Stretch) -> Any:
        return self._call(self._fn, *stretch.calls[0])


class CoroutineLanes(Lanes):
    """Coroutines on an event loop of plait's own, each a call."""

    def __init__(self, executor: Any, fn: Callable[..., Any], arrived: Arrived) -> None:
        """`executor`: one for coroutine functions, which is shut down at the end."""
        super().__init__(executor._max_workers, arrived, Sizer(1))
        self._executor = executor
        self._fn = fn

    @property
    def ahead(self) -> int:
        """See `Lanes`."""
        ahead: int = self._executor.ahead
        return ahead

    def close(self, idle: bool) -> None:
        """See `Lanes`. What was cancelled has ended when this returns."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _submit(self, stretch: Stretch) -> Any:
        return self._executor.submit(self._fn, *stretch.calls[0])


class ProcessLanes(Lanes):
    """Calls on worker processes, several at a time if they are short and no call has limits of its own."""

    def __init__(
        self,
        pool: Any,
        fn: Callable[..., Any],
        chunksize: int | None,
        goes_on: bool,
        limits: tuple[float | None, int],
        arrived: Arrived,
    ) -> None:
        """`goes_on`: a call that raises does not keep the others of its chunk from being made."""
        alone = limits != (None, 0)
        super().__init__(pool._max_workers, arrived, Sizer(1 if alone else chunksize))
        self._pool = pool
        self._fn = fn
        self._limits = limits if alone else None
        self._goes_on = goes_on
        self._chunk: Any = catching(fn) if goes_on else fn
        self._was_sent = False

    def come_in_order(self) -> None:
        """See `Lanes`. Whoever waits reads the answers itself, without another thread that tells it."""
        self.waits_by_future = True

    def _submit(self, stretch: Stretch) -> Any:
        if self._limits is not None:
            timeout, retries = self._limits
            return self._pool._submit_with(timeout, retries, self._fn, stretch.calls[0], {})
        return _core.submit_chunk(self._pool, self._chunk, stretch.calls, stretch.first)

    def _look_at(self, error: BaseException) -> None:
        if not self._was_sent and isinstance(error, NotPicklable):
            refuse_unsendable(self._fn, error)
            self._was_sent = True

    def _take(self, stretch: Stretch, future: Any) -> int:
        if self._limits is not None:
            ended = super()._take(stretch, future)
            self._was_sent = True
            return ended
        values, error, seconds, failed = _core.take_chunk(future, len(stretch), stretch.first, Failed)
        self._was_sent = True
        for place in failed:
            stretch.failures[place] = _core.codec.decode_exception(values[place].pickle)
            values[place] = None
        if error is not None:
            # Its worker died there, or the result could not be sent.
            stretch.failures[len(values)] = error
            values.append(None)
        stretch.values = values
        if seconds:
            self.sizer.learn(seconds, len(values))
        return len(values)


class OwnLanes(ProcessLanes):
    """The same from within a worker of the pool, which may have to make the calls that it waits for.

    Of a chunk whose worker died it knows nothing.
    """

    waits_by_future = True

    def __init__(self, pool: Any, fn: Callable[..., Any], *how: Any) -> None:
        """See `ProcessLanes`."""
        super().__init__(pool, fn, *how)
        self._chunk = bind(fn, self._goes_on)

    def _submit(self, stretch: Stretch) -> Any:
        if self._limits is not None:
            return super()._submit(stretch)
        return self._pool.submit(self._chunk, stretch.calls)

    def _take(self, stretch: Stretch, future: Any) -> int:
        if self._limits is not None:
            return super()._take(stretch, future)
        seconds, stretch.values, failures = future.result()
        self._was_sent = True
        self.sizer.learn(seconds, len(stretch))
        for place, error in failures.items():
            stretch.failures[place] = _core.codec.decode_exception(error)
            if not self._goes_on:
                stretch.values.append(None)
        return len(stretch)


class SerialLanes(Lanes):
    """Calls in the thread of whoever asks for results."""

    is_lazy = True

    def __init__(
        self, call: Callable[..., Any], goes_on: bool, arrived: Arrived, expected: float | None = None
    ) -> None:
        """`expected`: seconds of a call, where lanes were chosen for it; then several are made at once."""
        super().__init__(1, arrived, Sizer(1 if expected is None else None))
        self._call = _core.Apart(call)
        self._goes_on = goes_on
        self._most = None if expected is None else max(_SHORT, _LONGER * expected)

    @property
    def ahead(self) -> int:
        """See `Lanes`."""
        return self.sizer.size

    def begin(self, stretch: Stretch) -> None:
        """Make its calls."""
        stretch.lanes = self
        begun = time.perf_counter()
        try:
            for place, args in enumerate(stretch.calls):
                try:
                    stretch.values.append(self._call(*args))
                except Exception as error:
                    stretch.failures[place] = error
                    stretch.values.append(None)
                    if not self._goes_on:
                        break
        finally:
            # After Ctrl-C, what was made until then.
            took = time.perf_counter() - begun
            self.sizer.learn(took, len(stretch.values))
            if self._most is not None and took > self._most * max(1, len(stretch.values)):
                self.is_stale = True
            self._arrived(stretch)

    def collect(self, stretch: Stretch) -> int:
        """See `Lanes`."""
        return len(stretch)


def is_interrupt(error: BaseException, future: Any) -> bool:
    """Whether what came out of `future.result()` is not the call's own, but Ctrl-C while that was asked."""
    if not future.done():
        return True
    if not isinstance(error, KeyboardInterrupt):
        return False
    return future.cancelled() or not isinstance(future.exception(), KeyboardInterrupt)


def refuse_unsendable(fn: Callable[..., Any], error: BaseException) -> None:
    """Raise `Unusable` if it is the function that cannot be sent: no item will fare better."""
    if isinstance(error, NotPicklable):
        try:
            _core.codec.encode_direct(fn, ())
        except Exception as why:
            raise Unusable from why


def unpack_into(stretch: Stretch, sent: Iterable[Any], unpack: Callable[[Any], Any]) -> None:
    """Take what became of each item; `unpack` gives its result, or raises."""
    for place, each in enumerate(sent):
        try:
            stretch.values.append(unpack(each))
        except BaseException as error:
            stretch.failures[place] = error
            stretch.values.append(None)


def has_ended(stretch: Stretch) -> bool:
    """Whether it has ended, and nobody tells of it."""
    return stretch.future is not None and stretch.lanes.waits_by_future and stretch.future.done()


class Unusable(Exception):
    """The function cannot be sent at all; the cause says why."""
