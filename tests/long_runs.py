"""Functions that long maps call, and programs that make such maps."""

import contextvars
import os
import pickle
import signal
import sqlite3
import threading
import time

import outside
import plait

# Programs find the plait that the tests run.
ENV = {"PYTHONPATH": os.pathsep.join([str(outside.TESTS), os.path.dirname(os.path.dirname(plait.__file__))])}


def odd_fails(x):
    if x % 2:
        raise ValueError(f"item {x}")
    return x * 10


def fails_on(x, *bad):
    if x in bad:
        raise ValueError(f"item {x}")
    return x * 10


def double(x):
    return 2 * x


def dies_on(folder, x, bad):
    """The worker of the bad item dies; each call is noted."""
    note(folder, x)
    if x == bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def gives_until(folder, bad, size, x):
    """The workers of the bad items die; each call is noted. The others give bytes, so many."""
    note(folder, x)
    if x in bad:
        os.kill(os.getpid(), signal.SIGKILL)
    return bytes([x]) * size


def lock_once(folder, bad, x):
    """The bad item's result cannot be sent; each call is noted."""
    note(folder, x)
    return threading.Lock() if x == bad else x


def sleeps_on(x, bad):
    """The bad item takes longer than any test waits for."""
    if x == bad:
        time.sleep(60)
    return x


def fails_at_first(folder, x):
    """Each item fails once."""
    try:
        os.close(os.open(os.path.join(folder, str(x)), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return x
    raise ValueError(f"item {x}, for the first time")


def lock_on(x, bad):
    """The bad item's result cannot be sent."""
    return threading.Lock() if x == bad else x


# Which of several runs a call belongs to: one that was begun on a thread goes on when its run is over.
RUN = contextvars.ContextVar("run", default=0)


def note(folder, x):
    """Adds the item to what was called, whole."""
    log = os.open(os.path.join(folder, "log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(log, f"{x} {RUN.get()}\n".encode())
    finally:
        os.close(log)


def noted(folder, run=None):
    """What was called, in the order of the calls, by one run or by all."""
    try:
        with open(os.path.join(folder, "log")) as log:
            lines = [map(int, line.split()) for line in log.read().split("\n")[:-1]]
    except FileNotFoundError:
        return []
    return [x for x, of in lines if run in (None, of)]


def noting(folder, x):
    note(folder, x)
    time.sleep(0.001)
    return [x, "result"]


def open_gate(gate, name, value):
    """Ends once the gate is open, but for an item that is to come before."""
    import workloads

    return value if name is None else workloads.pass_gate(gate, name, value)


def blob_of(n):
    time.sleep(0.0005)
    return bytes([n % 256]) * 4000


def sleeping(x):
    time.sleep(0.002)
    return x


def kept(path):
    """What is in the file: results by position. Fails unless it is whole, and has each position once."""
    base = sqlite3.connect(path)
    try:
        assert base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = base.execute("SELECT position, value FROM results").fetchall()
    finally:
        base.close()
    results = {position: pickle.loads(value) for position, value in rows}
    assert len(results) == len(rows)
    return results
