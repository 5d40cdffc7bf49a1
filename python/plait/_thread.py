"""The thread pool."""

import concurrent.futures
import concurrent.futures.thread
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn, TypeVar

from plait import _core, _exit

T = TypeVar("T")


class ThreadPoolExecutor(_core.ThreadEngine, concurrent.futures.ThreadPoolExecutor):
    """Run calls in threads. A drop-in for `concurrent.futures.ThreadPoolExecutor`, and a subclass of it.

    Queue and futures are in Rust, so that a small call costs a fraction of what it costs there.

    Args:
        max_workers: The most threads; by default what the stdlib chooses, `min(32, cpus + 4)`.
        thread_name_prefix: The threads' names begin with it.
        initializer: Called in each thread as it starts. If it raises, the pool is broken.
        initargs: Its arguments.

    Raises:
        ValueError: `max_workers` is below 1.
        TypeError: `initializer` cannot be called.

    """

    __module__ = "plait"

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        """See the class."""
        if max_workers is None:
            max_workers = min(32, _core.cpu_count() + 4)
        concurrent.futures.ThreadPoolExecutor.__init__(
            self, max_workers, thread_name_prefix, initializer, initargs
        )
        self._start = (initializer, tuple(initargs)) if initializer is not None else None
        self._broken_by: list[BaseException] = []
        _exit.at_exit(self)
        self._open(max_workers)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Return an iterator over `fn(*args)` for each tuple of items, in order; the calls start at once.

        Args:
            fn: The function.
            iterables: Its arguments, item by item; the shortest ends it. They are read at once unless
                `buffersize` is given.
            timeout: Seconds from now after which waiting for a result raises `TimeoutError`.
            chunksize: Without effect on threads, as in the stdlib.
            buffersize: The most items read ahead of the results that were taken.

        """
        from plait._map import submit_ahead
        from plait._process import check_buffersize

        check_buffersize(buffersize)
        return submit_ahead(self.submit, fn, zip(*iterables), buffersize, timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; finish the pending ones, or cancel those not begun with `cancel_futures`.

        With `wait`, return when every thread has ended.
        """
        with self._shutdown_lock:
            self._shutdown = True
            self._close(cancel_futures)
        if wait:
            for thread in list(self._threads):
                thread.join()

    def _abort(self) -> None:
        """Give up what was not begun; a running call cannot be stopped."""
        self.shutdown(wait=False, cancel_futures=True)

    def _start_thread(self) -> None:
        with self._shutdown_lock:
            name = f"{self._thread_name_prefix or self}_{len(self._threads)}"
            args = (self._queue, self._start, self._broken_by)
            thread = threading.Thread(target=_work, name=name, args=args, daemon=False)
            thread.start()
            self._threads.add(thread)

    def _refusal(self) -> NoReturn:
        if self._broken_by:
            raise concurrent.futures.thread.BrokenThreadPool(
                "A thread initializer failed, the thread pool is not usable anymore"
            )
        when = "interpreter shutdown" if _exit.is_ending() else "shutdown"
        raise RuntimeError(f"cannot schedule new futures after {when}")

    async def __aenter__(self) -> "ThreadPoolExecutor":
        """Return itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut down without blocking the event loop."""
        import asyncio

        await asyncio.to_thread(self.shutdown)


def _work(queue: _core.ThreadQueue, start: tuple[Callable[..., object], tuple] | None, broken: list) -> None:
    """The life of a worker thread; when the interpreter waits for it, the exit hook has closed its queue."""
    if start is not None:
        initializer, initargs = start
        try:
            initializer(*initargs)
        except BaseException as error:
            logging.getLogger("concurrent.futures").critical("Exception in initializer:", exc_info=True)
            broken.append(error)
            queue.fail(
                concurrent.futures.thread.BrokenThreadPool(
                    "A thread initializer failed, the thread pool is not usable anymore"
                )
            )
            return
    queue.work()
