"""Counting primes: a loop in Python, so threads only take turns on it, and processes share it out.

python examples/primes.py           # counts them, on all cores
plait compare examples/primes.py    # shows on your machine what threads and processes make of it
"""

import plait

ITEMS = [200_000] * 4


def count_primes(limit):
    """Count the primes below `limit` by trial division, up to the square root of each number."""
    count = 0
    for n in range(2, limit):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            divisor += 1
        count += divisor * divisor > n
    return count


# The guard only keeps these lines out of `plait compare`, which loads this file. Workers never load it, and
# need no guard.
if __name__ == "__main__":
    for limit, count in zip(ITEMS, plait.map(count_primes, ITEMS, backend="processes")):
        print(f"{count:,} primes below {limit:,}")
