"""What the tests of shared objects look at from outside, and what they run on workers."""

import os
import time

import numpy as np
import plait
from plait import _core
from platforms import shared_file


def is_live(array):
    """Whether all of an array lies in shared memory that everybody sees."""
    low, high = np.lib.array_utils.byte_bounds(array)
    return _core.is_shared(low, high - low)


def address(array):
    """Where the first element lies."""
    return array.__array_interface__["data"][0]


def commons():
    """The pages of the shared memory for large data that this process has open, in bytes."""
    found = {}
    for entry in os.scandir("/proc/self/fd"):
        try:
            if shared_file(os.readlink(entry.path)):
                stat = entry.stat()
                found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
        except OSError:
            # That of the directory itself.
            continue
    return sum(found.values())


VIEWS = {
    "all of it": lambda table: table,
    "rows": lambda table: table[5:9],
    "a row": lambda table: table[3],
    "an element": lambda table: table[2, 3, ...],
    "a column": lambda table: table[:, 4],
    "columns": lambda table: table[:, 2:-3],
    "every third row": lambda table: table[::3],
    "backwards": lambda table: table[::-2, ::-1],
    "transposed": lambda table: table.T,
    "part, transposed": lambda table: table[1:, 1:].T,
    "three axes": lambda table: table.reshape(4, 10, -1)[:, ::2].transpose(2, 0, 1),
    "a new axis": lambda table: table[:, None, ::5],
    "a diagonal": lambda table: np.einsum("ii->i", table[:30, :30]),
    "other numbers": lambda table: table.view("u4")[:, ::2],
    "real parts": lambda table: table.view(complex).real,
    "as dates": lambda table: table.view("M8[us]"),
    "as some dates": lambda table: table.view("M8[us]")[::3],
}


def a_table():
    """Shared numbers, 40 by 50, no two alike."""
    table = plait.zeros((40, 50))
    table[:] = np.arange(2000).reshape(40, 50)
    return table


# --- what workers do


def write(array, value=7):
    """Writes into all of it, and gives where it lies."""
    array[...] = value
    return is_live(array)


def wait_for(array, index, value):
    """Waits until somebody else has counted so far."""
    deadline = time.monotonic() + 60
    while array[index] < value:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody counted to {value}: it is {array[index]}")
        time.sleep(0.001)


def converse(array, mine, theirs, turns):
    """Says 1, 2, 3 … in one element, each when the other one has said the number in another."""
    for turn in range(1, turns + 1):
        array[mine] = turn
        wait_for(array, theirs, turn)


def count_up(array, times):
    """Adds one to each element, again and again."""
    for _ in range(times):
        array += 1


def new_zeros(n, value):
    """A shared array that is made where this runs."""
    array = plait.zeros(n)
    array[:] = value
    return array


def half(array):
    """Every other element."""
    return array[::2]


def overwrite(array):
    """Whether it is live, and the sum of what it was; writes into all of it."""
    total = float(array.sum())
    array[...] = -1
    return is_live(array), total


def in_own_pool(array):
    """What a pool within the worker finds in half of an array and in all of it: one it got, one it makes."""
    found = []
    with plait.ProcessPoolExecutor(1) as pool:
        for here in (array, new_zeros(len(array), 2)):
            found += [pool.submit(overwrite, part).result() for part in (here[::2], here)]
            assert (here == 2).all()
    return found
