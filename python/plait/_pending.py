"""A bound on the calls that are pending in an executor: `submit` waits until one has ended.

Who must not wait does not: a worker thread of the pool, which would wait for itself, and threads that Python
did not start, where plait completes futures and runs their callbacks.
"""

import threading
from collections.abc import Callable
from typing import Any

from plait import _waiting


class Gate:
    """Stands before an executor's `submit`; counts calls from there to their end."""

    def __init__(self, executor: Any, most: int, is_worker: Callable[[threading.Thread], bool]) -> None:
        """Let `most` calls be pending; `is_worker` tells the threads that run them."""
        self._submit = executor.submit
        self._submit_limited = executor._submit_with
        self._places = threading.Semaphore(most)
        self._is_worker = is_worker

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Submit as the executor does, once there is room."""
        return self._pass(self._submit, fn, *args, **kwargs)

    def submit_with(
        self, timeout: float | None, retries: int, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same for a call with limits of its own."""
        return self._pass(self._submit_limited, timeout, retries, fn, args, kwargs)

    def _pass(self, submit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        thread = threading.current_thread()
        if isinstance(thread, threading._DummyThread) or self._is_worker(thread):
            # Counted in no place: there may be none.
            return submit(*args, **kwargs)
        _waiting.acquire(self._places)
        try:
            future = submit(*args, **kwargs)
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(self._on_done)
        return future

    def _on_done(self, future: Any) -> None:
        self._places.release()


def bound(
    executor: Any, most: int | None, is_worker: Callable[[threading.Thread], bool] = lambda thread: False
) -> None:
    """Have an executor's `submit` wait while `most` calls are pending; None: never.

    Raises:
        TypeError: `most` is no integer.
        ValueError: it is below 1.

    """
    if most is None:
        return
    if isinstance(most, bool) or not isinstance(most, int):
        raise TypeError(f"max_pending must be an integer or None, not {most!r}")
    if most < 1:
        raise ValueError(f"max_pending must be at least 1, not {most!r}")
    gate = Gate(executor, most, is_worker)
    executor.submit, executor._submit_with = gate.submit, gate.submit_with
