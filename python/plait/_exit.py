"""What happens to pools when the program ends, is interrupted, or forks.

As in the stdlib: pending work is finished before the interpreter ends. Registered with `threading`, whose
hooks run while threads can still be joined and new ones started. Ctrl-C is the exception: what was begun is
killed, what was not is cancelled, and nobody waits for longer than a moment.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from plait._core import ProcessEngine, after_fork, before_fork, join_orphans, leave_callbacks

# Seconds that workers have to be gone after they were killed; the program goes on then, and they go with it.
MOMENT = 1.0


class Closable(Protocol):
    """What can be shut down."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `concurrent.futures.Executor.shutdown`."""

    def _abort(self) -> None:
        """Give up all calls that can be given up, within a `MOMENT`."""


_pools: "weakref.WeakSet[Closable]" = weakref.WeakSet()

# Those that hand calls on to others.
_fronts: "weakref.WeakSet[Closable]" = weakref.WeakSet()
_ending = False


def at_exit(pool: Closable, first: bool = False) -> None:
    """Shut `pool` down when the interpreter ends, if it lives until then; with `first`, before all others."""
    if _ending:
        raise RuntimeError("cannot make a pool after interpreter shutdown")
    (_fronts if first else _pools).add(pool)


def is_ending() -> bool:
    """Whether the interpreter is shutting down."""
    return _ending


def is_interrupt(exc_type: type[BaseException] | None) -> bool:
    """Whether a block is left because of Ctrl-C, which asyncio makes a cancellation of its main task."""
    if exc_type is None:
        return False
    if issubclass(exc_type, KeyboardInterrupt):
        return True
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not issubclass(exc_type, asyncio.CancelledError):
        return False
    import signal

    # The handler that `asyncio.run` installs is a method of its runner, which counts.
    handler = getattr(signal.getsignal(signal.SIGINT), "func", None)
    return getattr(getattr(handler, "__self__", None), "_interrupt_count", 0) > 0


def give_up(pool: Closable) -> None:
    """Abort a pool, undisturbed by a second Ctrl-C: there is nothing left to interrupt."""
    with _Shield():
        _pools.discard(pool)
        _fronts.discard(pool)
        pool._abort()


async def leave(pool: Closable, exc_type: type[BaseException] | None) -> None:
    """End an `async with` block without blocking the event loop; at once if its task is cancelled."""
    import asyncio

    if exc_type is not None and issubclass(exc_type, (KeyboardInterrupt, asyncio.CancelledError)):
        give_up(pool)
        return
    try:
        await apart(pool.shutdown)
    except BaseException:
        give_up(pool)
        raise


async def apart(work: Callable[[], object]) -> None:
    """Run `work()` without blocking the event loop, in a thread of its own.

    Not in the loop's default executor: its threads are few, and others may hold them all.
    """
    import asyncio
    import concurrent.futures
    import contextvars

    ended: concurrent.futures.Future[None] = concurrent.futures.Future()
    # From here on a waiter that is cancelled leaves it as it is.
    ended.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(run,), name="plait-apart").start()
    await asyncio.wrap_future(ended)


class _Shield:
    """Keeps Ctrl-C from raising KeyboardInterrupt, where that is what it does."""

    def __enter__(self) -> None:
        import signal

        self._up = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._up:
            signal.signal(signal.SIGINT, lambda *_: None)

    def __exit__(self, *_: object) -> None:
        import signal

        if self._up:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def finish_processes() -> None:
    """Let process pools finish what was submitted, and thread pools take no more; for a worker that ends."""
    pools = [*_fronts, *_pools]
    for pool in pools:
        pool.shutdown(wait=False)
    for pool in pools:
        if isinstance(pool, ProcessEngine):
            pool.shutdown(wait=True)
    join_orphans(False)


def _shut_down_all() -> None:
    global _ending
    _ending = True
    pools = [*_fronts, *_pools]
    # A program that Ctrl-C has ended shall end; in an interactive session the last exception may be old.
    if getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        _give_all_up(pools)
        return
    try:
        for pool in pools:
            pool.shutdown(wait=False)
        for pool in pools:
            pool.shutdown(wait=True)
        join_orphans(False)
        # As in the stdlib, where the thread that runs them is joined.
        leave_callbacks()
    except BaseException:
        # Ctrl-C while the exit waits: Python says so, and goes on.
        _give_all_up(pools)
        raise


def _give_all_up(pools: list[Closable]) -> None:
    with _Shield():
        # Nobody is told any more; calls that were killed would be reported one by one.
        leave_callbacks(0)
        for pool in pools:
            pool._abort()
        join_orphans(True, MOMENT)
        leave_callbacks(MOMENT)


def _forget_all() -> None:
    # The pools are the parent's; the engine knows the same by its own count of forks.
    _pools.clear()
    _fronts.clear()
    after_fork(True)


threading._register_atexit(_shut_down_all)  # type: ignore[attr-defined]
os.register_at_fork(before=before_fork, after_in_parent=lambda: after_fork(False), after_in_child=_forget_all)
