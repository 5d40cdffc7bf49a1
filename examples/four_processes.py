"""Four processes that count primes, each with an interpreter of its own, and give what they found at `join`.

python examples/four_processes.py

No `if __name__ == "__main__":` stands here: a process of plait's never runs the script again.
"""

import plait

LIMITS = [25_000, 50_000, 100_000, 200_000]


def count_primes(limit):
    """Count the primes below `limit` by trial division, up to the square root of each number."""
    count = 0
    for n in range(2, limit):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            divisor += 1
        count += divisor * divisor > n
    return count


processes = [plait.Process(target=count_primes, args=(limit,)) for limit in LIMITS]
for process in processes:
    process.start()
for process, limit in zip(processes, LIMITS):
    print(f"{process.name}: {process.join():,} primes below {limit:,}")
