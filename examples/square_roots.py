"""Square roots, four million for each core, in chunks: arithmetic that holds the GIL, so threads do not help.

python examples/square_roots.py           # adds them up, on all cores
plait compare examples/square_roots.py    # shows on your machine what threads and processes make of it
"""

import math

import plait

# Enough chunks that no core has to wait long for the others at the end.
ITEMS = [500_000] * (8 * plait.cpu_count())


def square_roots(count):
    """Add up the square roots of the first `count` numbers."""
    return sum(math.sqrt(n) for n in range(count))


# The guard only keeps these lines out of `plait compare`, which loads this file. Workers never load it, and
# need no guard.
if __name__ == "__main__":
    total = sum(plait.map(square_roots, ITEMS, backend="processes"))
    print(f"{sum(ITEMS):,} square roots in {len(ITEMS)} chunks add up to {total:,.0f}")
