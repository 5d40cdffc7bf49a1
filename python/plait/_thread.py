"""The thread pool."""

import concurrent.futures
import concurrent.futures.thread
import itertools
import logging
import threading
import weakref
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from plait import _breakpoint, _core, _exit, _pending
from plait._attributes import Backlog
from plait._options import PoolMixin, check_limits

if TYPE_CHECKING:
    from plait._stats import Stats

T = TypeVar("T")

# By this name, because a program may have put plait's class where the stdlib's was.
_Stdlib = concurrent.futures.ThreadPoolExecutor


class ThreadPoolExecutor(PoolMixin, _core.ThreadEngine, _Stdlib):
    """Run calls in threads. A drop-in for `concurrent.futures.ThreadPoolExecutor`, and a subclass of it.

    Queue and futures are in Rust, so that a small call costs a fraction of what it costs there.

    A thread cannot be stopped. A call that outlives `timeout` fails with `plait.TaskTimeout`, but goes on in
    its thread until it ends by itself, and what comes of it is dropped. The pool starts another thread in its
    place, and `shutdown` does not wait for it; the end of the program does, as for every thread.

    Args:
        max_workers: The most threads; by default what the stdlib chooses, `min(32, cpus + 4)`.
        thread_name_prefix: The threads' names begin with it.
        initializer: Called in each thread as it starts. If it raises, the pool is broken.
        initargs: Its arguments.
        timeout: Seconds that each call may take from its start, and each of its tries; by default any time.
        retries: Extra tries of a call after an exception or a timeout. The last one's exception counts.
        max_pending: The most calls that are pending; `submit` waits until there are fewer. It never waits in
            a callback of a future, or in a call that the pool itself runs. By default there is no bound.
        capture_output: Keep what each call prints with its future, as `future.stdout` and `future.stderr`;
            it does not appear then. See `plait.Executor`.

    Raises:
        ValueError: `max_workers` is below 1, `timeout` not above 0 or `retries` below 0.
        TypeError: `initializer` cannot be called, `timeout` is no number or `retries` no integer.

    """

    __module__ = "plait"

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        retries: int = 0,
        max_pending: int | None = None,
        capture_output: bool = False,
    ) -> None:
        """See the class."""
        if max_workers is None:
            max_workers = min(32, _core.cpu_count() + 4)
        _Stdlib.__init__(self, max_workers, thread_name_prefix, initializer, initargs)
        check_limits(timeout, retries)
        self._limits = (timeout, retries)
        start = (initializer, tuple(initargs)) if initializer is not None else None
        prefix = self._thread_name_prefix or ""
        self._crew = crew = _Crew(max_workers, prefix, start, weakref.ref(self), thread_name_prefix or None)
        self._threads = crew.threads
        _pending.bound(self, max_pending, crew.threads.__contains__)
        self._work_queue = Backlog(lambda: crew.queue.queued)  # type: ignore[assignment]
        _exit.at_exit(crew)
        _breakpoint.share()
        self._open(crew.queue, crew.start_thread, timeout, retries)
        if capture_output:
            self._capture(capture_output, "threads")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish the pending ones, or cancel those not begun with `cancel_futures`.

        With `wait`, return when every thread has ended, but for those whose call was abandoned.
        """
        self._shutdown = True
        self._crew.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Shut down; after Ctrl-C what was not begun is cancelled."""
        try:
            self.shutdown(wait=True, cancel_futures=_exit.is_interrupt(exc_type))
        except BaseException:
            # Ctrl-C while this waits.
            self._abort()
            raise

    def _abort(self) -> None:
        """Give up what was not begun; a running call cannot be stopped."""
        self.shutdown(wait=False, cancel_futures=True)

    def _refusal(self) -> NoReturn:
        if self._crew.broken:
            raise concurrent.futures.thread.BrokenThreadPool(_BROKEN)
        when = "interpreter shutdown" if _exit.is_ending() else "shutdown"
        raise RuntimeError(f"cannot schedule new futures after {when}")

    def _tell_stats(self) -> "Stats":
        from plait._stats import of_threads

        return of_threads(self._crew.queue.figures(), self._crew.threads)

    @property
    def _queued(self) -> int:
        """Calls that no thread has begun."""
        return self._crew.queue.queued


_BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


class _Crew:
    """The threads of a pool. It knows nothing of its executor, and outlives it while calls are pending."""

    def __init__(
        self,
        max_workers: int,
        prefix: str,
        start: tuple[Callable[..., object], tuple[Any, ...]] | None,
        executor: Callable[[], Any],
        name: str | None,
    ) -> None:
        self.queue = _core.ThreadQueue(max_workers, name)
        self.threads: set[threading.Thread] = set()
        self.broken = False
        # Called by each thread as it ends.
        self.at_end: Callable[[], object] | None = None
        self._prefix = prefix
        self._numbers = itertools.count()
        self._start = start
        self._executor = executor

    def start_thread(self) -> None:
        """Start a thread for a place that the queue gave away; if that fails, the place is given back."""
        name = f"{self._prefix}_{next(self._numbers)}"
        # Newer Pythons would begin it with the values of whoever submits first.
        begin = Context().run
        thread = threading.Thread(target=begin, args=(self._work,), name=name, daemon=False)
        self.threads.add(thread)
        try:
            thread.start()
        except BaseException as error:
            # After Ctrl-C it may have started all the same: whoever comes first decides.
            if _decide(thread, "dismissed") == "arrived":
                raise
            self.threads.discard(thread)
            # At the end of a program Python 3.12 starts no thread any more, while calls still wait. One that
            # it does not know will do: what is waited for is the queue.
            refused = _exit.is_ending() and isinstance(error, RuntimeError)
            if not (refused and _core.start_native(self._work)):
                self.queue.gone(error)
                raise

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See the executor."""
        self.queue.close(cancel_futures)
        if not wait:
            return
        self.queue.join()
        abandoned = self.queue.abandoned()
        for thread in list(self.threads):
            if thread not in abandoned:
                thread.join()

    def _abort(self) -> None:
        """Give up what was not begun; a running call cannot be stopped."""
        self.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> None:
        """The life of a thread; when the interpreter waits for it, the exit hook has closed the queue."""
        thread = threading.current_thread()
        if _decide(thread, "arrived") == "dismissed":
            return
        if self._start is not None:
            initializer, initargs = self._start
            try:
                initializer(*initargs)
            except BaseException as error:
                logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
                self.broken = True
                if (executor := self._executor()) is not None:
                    executor._broken = _BROKEN
                failure = concurrent.futures.thread.BrokenThreadPool(_BROKEN)
                failure.__cause__ = error
                self.queue.fail(failure)
                self.queue.gone(failure)
                return
        try:
            self.queue.work(self.start_thread, thread)
        finally:
            if self.at_end is not None:
                self.at_end()
        # While the pool goes on, nobody needs a thread that had no place in it any more.
        if not self.queue.closed:
            self.threads.discard(thread)


def _decide(thread: threading.Thread, fate: str) -> str:
    """What becomes of a thread: what the first caller said."""
    said: str = vars(thread).setdefault("_plait_fate", fate)
    return said
