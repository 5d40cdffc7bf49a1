"""Ten million numbers that all workers see: each writes its part in place, and the parent has the whole.

python examples/shared_array.py           # fills the array, on all cores
plait compare examples/shared_array.py    # shows on your machine what threads and processes make of it
"""

import numpy as np
import plait

COUNT = 10_000_000
PARTS = 20
ITEMS = list(range(PARTS))

# A NumPy array like any other, except for where its memory lies. It goes to workers as a reference: there is
# no name to attach to, and nothing to close or unlink. The memory goes with the last process that uses it.
NUMBERS = plait.zeros(COUNT, dtype="int64")


def fill(part):
    """Write one part of the even numbers to its place; say how many there are."""
    size = COUNT // PARTS
    begin = part * size
    NUMBERS[begin : begin + size] = np.arange(begin, begin + size) * 2
    return size


# The guard only keeps these lines out of `plait compare`, which loads this file. Workers never load it, and
# need no guard.
if __name__ == "__main__":
    filled = sum(plait.map(fill, ITEMS, backend="processes"))
    print(f"{filled:,} numbers, {NUMBERS.nbytes >> 20} MiB, filled by {PARTS} tasks in place")
    print(f"the last one is {NUMBERS[-1]:,}, and they add up to {NUMBERS.sum():,}")
