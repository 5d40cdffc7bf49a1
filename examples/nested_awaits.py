"""A thousand coroutines that await each other and two worker processes: who awaits a call holds no worker.

python examples/nested_awaits.py

A tree is walked: at each node a call says what lies below, the nodes below are awaited, and a second call
adds up what they say. Once all coroutines are in this program; once each node is a call, whose own loop
awaits calls of the pool that runs it.
"""

import asyncio

import plait

DEPTH, BRANCHES = 6, 3
WORKERS = 2


def below(depth):
    """Say which nodes lie below one at this height."""
    return [depth - 1] * BRANCHES if depth else []


def add_up(numbers):
    """Count a node and those below it."""
    return 1 + sum(numbers)


async def walk(executor, depth):
    """Count the nodes of a tree, each in a coroutine of its own."""
    nodes = await executor.submit(below, depth)
    counts = await asyncio.gather(*[walk(executor, node) for node in nodes])
    return await executor.submit(add_up, counts)


def walk_inside(executor, depth):
    """Count the nodes of a tree, each in a call of its own, whose loop awaits the calls below it."""

    async def main():
        calls = [executor.submit(walk_inside, executor, node) for node in below(depth)]
        return add_up(await asyncio.gather(*calls))

    return asyncio.run(main())


async def main():
    """Walk both ways on one pool."""
    async with plait.ProcessPoolExecutor(WORKERS) as executor:
        print(f"{await walk(executor, DEPTH):,} coroutines on {WORKERS} workers")
        print(f"{await executor.submit(walk_inside, executor, 3)} calls, one within the other")


if __name__ == "__main__":
    asyncio.run(main())
