"""What the storm runs on workers. Each task notes its beginning; its value follows from its number."""

import ctypes
import os
import signal
import sys
import threading
import time
import zlib

import ledger
from ledger import MASK, ONCE, PID_MASK

_me = os.getpid()
# The storm makes the ledger before it imports this module.
_slots = ledger.open_slots(os.environ[ledger.VARIABLE])


def _after_fork() -> None:
    global _me
    _me = os.getpid()


os.register_at_fork(after_in_child=_after_fork)


def note(number):
    """The task begins, here; how often it has, with this time."""
    at = number & MASK
    noted = (_slots[at] & ~PID_MASK) + ONCE + _me
    _slots[at] = noted
    return noted // ONCE


def answer(number):
    """The right value of a task."""
    return (number * 2654435761 + 7) & 0xFFFFFFFF


def tiny(number):
    at = number & MASK
    _slots[at] = (_slots[at] & ~PID_MASK) + ONCE + _me
    return (number * 2654435761 + 7) & 0xFFFFFFFF


# --- tasks that take their time


def slow(number, seconds):
    note(number)
    time.sleep(seconds)
    return answer(number)


def busy(number, seconds):
    note(number)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass
    return answer(number)


def swallow(number, seconds):
    """Busy, and deaf to exceptions."""
    note(number)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            while time.monotonic() < until:
                pass
        except BaseException:
            continue
    return answer(number)


def hold_gil(number, seconds):
    """Sleeps without letting go of the interpreter, as a bad extension does."""
    note(number)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return answer(number)


# --- tasks that raise


class OddError(Exception):
    """Is pickled with one argument, and made with two."""

    def __init__(self, number, reason):
        super().__init__(f"{number}: {reason}")


class LockedError(Exception):
    """Holds what cannot be sent."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


class UnreadableError(Exception):
    """Can be pickled, and not unpickled."""

    def __reduce__(self):
        return explode, ()


def explode():
    raise LookupError("this will not load")


def raise_plain(number):
    note(number)
    raise ValueError(number)


def raise_odd(number):
    note(number)
    raise OddError(number, "odd")


def raise_locked(number):
    note(number)
    raise LockedError(str(number))


def raise_unreadable(number):
    note(number)
    raise UnreadableError(str(number))


def raise_exit(number):
    note(number)
    sys.exit(number)


def raise_deep(number):
    """A recursion without end."""
    note(number)

    def deeper():
        return deeper()

    return deeper()


# --- tasks that are large, or cannot be sent


def blob(number, size):
    note(number)
    return number.to_bytes(8, "little") * (size // 8)


def weigh(number, data):
    note(number)
    return number, len(data), zlib.adler32(data)


def give_lock(number):
    note(number)
    return {"number": number, "lock": threading.Lock()}


class Exploding:
    """Can be pickled, and not unpickled."""

    def __reduce__(self):
        return explode, ()


def give_exploding(number):
    note(number)
    return Exploding()


# --- tasks that need more than one try, or too much memory


def flaky(number, fails):
    if note(number) <= fails:
        raise ValueError(number)
    return answer(number)


_kept = []


def leak(number, size):
    note(number)
    _kept.append(b"x" * size)
    return answer(number)


def hog(number, megabytes, seconds):
    note(number)
    kept = [b"x" * (1 << 20) for _ in range(megabytes)]
    time.sleep(seconds)
    return len(kept)


# --- tasks that end their worker


def kill_self(number, number_of_signal):
    note(number)
    signal.signal(number_of_signal, signal.SIG_DFL) if number_of_signal != signal.SIGKILL else None
    os.kill(os.getpid(), number_of_signal)
    time.sleep(60)


def exit_at_once(number, code):
    note(number)
    os._exit(code)


def crash(number):
    note(number)
    ctypes.string_at(0)


# --- pools in workers


def nest(number, count):
    """A pool in a worker, and tasks on it."""
    import plait

    note(number)
    with plait.ProcessPoolExecutor(2) as pool:
        return list(pool.map(answer, range(number, number + count), chunksize=3))


# --- initializers


def get_ready(number):
    globals()["_ready"] = number


def fail_to_get_ready():
    raise ArithmeticError("this initializer fails on purpose")
