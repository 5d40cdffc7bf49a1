"""Where each task notes that it began, and in which process: a file that the storm and all workers map.

Promises: a slot belongs to one task at a time, and is empty when a task gets it; a note is one store of
four bytes, so it stands however the worker dies right after. A slot holds how often the task began (the
upper ten bits) and the process id of the last worker that began it.

The storm makes the file and names it in the environment; workers open it when they import the tasks. How many
slots it has may be said there, too, before this module is imported: a power of two.
"""

import mmap
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "PLAIT_CHAOS_LEDGER"
SLOTS = int(os.environ.get("PLAIT_CHAOS_SLOTS", 1 << 24))
MASK = SLOTS - 1
PID_BITS = 22
PID_MASK = (1 << PID_BITS) - 1
ONCE = 1 << PID_BITS


def open_slots(path: str) -> memoryview:
    """The slots as numbers of four bytes."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        return memoryview(mmap.mmap(descriptor, SLOTS * 4)).cast("I")
    finally:
        os.close(descriptor)


class Ledger:
    """The storm's side: gives out ranges of numbers, and reads what became of them."""

    def __init__(self, folder: str) -> None:
        path = os.path.join(folder, "ledger")
        with open(path, "wb") as file:
            file.truncate(SLOTS * 4)
        os.environ[VARIABLE] = path
        self._slots = open_slots(path)
        self._lock = threading.Lock()
        self._next = 1
        self._held: dict[int, int] = {}

    @contextmanager
    def numbers(self, count: int) -> Iterator[int]:
        """`count` numbers from the one that it gives, whose slots are nobody else's meanwhile."""
        # Two empty ranges would be one.
        first = self._take(max(1, count))
        try:
            yield first
        finally:
            with self._lock:
                del self._held[first]

    def _take(self, count: int) -> int:
        with self._lock:
            first, looked = self._next, 0
            while True:
                if (first & MASK) + count > SLOTS:
                    # A range does not wrap around.
                    first += SLOTS - (first & MASK)
                for held, length in self._held.items():
                    # The same slots, however often they were used since.
                    apart = (first - held) & MASK
                    if apart < length or SLOTS - apart < count:
                        first += length - apart if apart < length else length + SLOTS - apart
                        break
                else:
                    break
                looked += 1
                if looked > 2 * len(self._held) + 4:
                    raise RuntimeError("the ledger is full: more tasks at a time than it has slots")
            self._next = first + count
            self._held[first] = count
        at = first & MASK
        self._slots[at : at + count] = memoryview(bytes(4 * count)).cast("I")
        return first

    def begins(self, number: int) -> int:
        """How often the task began."""
        return self._slots[number & MASK] >> PID_BITS

    def pid(self, number: int) -> int:
        """The process that began it last."""
        return self._slots[number & MASK] & PID_MASK

    def each_began(self, first: int, count: int, tries: int = 1) -> bool:
        """Whether every task of the range began, none more often than so many times."""
        at = first & MASK
        seen = self._slots[at : at + count].tolist()
        return not seen or (min(seen) >= ONCE and max(seen) < (1 + tries) * ONCE)
