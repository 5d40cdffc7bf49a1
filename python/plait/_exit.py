"""What happens to pools at the end of the program, and in a forked child.

As in the stdlib: pending work is finished before the interpreter ends. Registered with `threading`, whose
hooks run while threads can still be joined and new ones started.
"""

import os
import sys
import threading
import weakref
from typing import Protocol

from plait._core import after_fork_in_child, join_orphans


class Closable(Protocol):
    """What can be shut down."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `concurrent.futures.Executor.shutdown`."""

    def _abort(self) -> None:
        """Give up all calls that can be given up."""


_pools: "weakref.WeakSet[Closable]" = weakref.WeakSet()
_ending = False


def at_exit(pool: Closable) -> None:
    """Shut `pool` down when the interpreter ends, if it lives until then."""
    if _ending:
        raise RuntimeError("cannot make a pool after interpreter shutdown")
    _pools.add(pool)


def is_ending() -> bool:
    """Whether the interpreter is shutting down."""
    return _ending


def _shut_down_all() -> None:
    global _ending
    _ending = True
    pools = list(_pools)
    # A program that Ctrl-C has ended shall end; in an interactive session the last exception may be old.
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1")
    if interrupted:
        for pool in pools:
            pool._abort()
    for pool in pools:
        pool.shutdown(wait=False)
    for pool in pools:
        pool.shutdown(wait=True)
    join_orphans(interrupted)


def _forget_all() -> None:
    # The pools are the parent's; the engine knows the same by its own count of forks.
    _pools.clear()
    after_fork_in_child()


threading._register_atexit(_shut_down_all)  # type: ignore[attr-defined]
os.register_at_fork(after_in_child=_forget_all)
