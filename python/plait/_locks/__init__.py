"""Locks and their kin for threads, processes and coroutines at once.

Each is one object, wherever it is: passed to a process, captured by a function, inherited by a fork. It lives
in memory that all processes of a program share, whose lines `plait._core` hands out. `awaited` is how a
coroutine waits; each primitive has a file.
"""

from plait._locks.barrier import Barrier
from plait._locks.condition import Condition
from plait._locks.event import Event
from plait._locks.lock import Lock, RLock
from plait._locks.semaphore import BoundedSemaphore, Semaphore

__all__ = ["Barrier", "BoundedSemaphore", "Condition", "Event", "Lock", "RLock", "Semaphore"]
