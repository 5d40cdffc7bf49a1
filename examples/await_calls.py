"""Coroutines that await calls in worker processes: their loop goes on, and needs no further thread for it.

python examples/await_calls.py
"""

import asyncio

import plait

ITEMS = [40_000, 80_000, 120_000, 160_000]


def count_primes(limit):
    """Count the primes below `limit` by trial division, up to the square root of each number."""
    count = 0
    for n in range(2, limit):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            divisor += 1
        count += divisor * divisor > n
    return count


class Heart:
    """Beats as long as nothing holds up the loop."""

    beats = 0

    async def beat(self):
        """Count on, a hundred times a second."""
        while True:
            await asyncio.sleep(0.01)
            self.beats += 1


async def main():
    """Count in processes, and listen to the heart of the loop meanwhile."""
    heart = Heart()
    beating = asyncio.create_task(heart.beat())
    async with plait.ProcessPoolExecutor() as executor:
        counts = await asyncio.gather(*[executor.submit(count_primes, limit) for limit in ITEMS])
        for limit, count in zip(ITEMS, counts):
            print(f"{count:,} primes below {limit:,}")
        # A limit that holds: the call is stopped in its process, and the worker is free for the next.
        try:
            async with asyncio.timeout(0.2):
                await executor.submit(count_primes, 10**9)
        except TimeoutError:
            print("the primes below 1,000,000,000 were given up")
        print(await executor.submit(count_primes, 10), "primes below 10")
    beating.cancel()
    print("the loop went on meanwhile:", heart.beats > 0)


if __name__ == "__main__":
    asyncio.run(main())
