"""A call that blocks the event loop keeps all else waiting: a heartbeat comes late, and plait says where.

python examples/blocked_loop.py  # four calls that block the loop, then the same four in threads
"""

import asyncio
import time

import plait

ITEMS = [0.5] * 4


def look_up(seconds):
    """Ask a database by a driver that waits for the answer; here it only waits."""
    time.sleep(seconds)
    return seconds


async def in_the_loop(seconds):
    """Serve a request, and nobody else meanwhile."""
    return look_up(seconds)


async def in_threads(seconds):
    """Serve a request while the loop serves others."""
    return await asyncio.to_thread(look_up, seconds)


async def heartbeat(late):
    """Wake up every 5 ms, and note how late that was."""
    while True:
        expected = time.monotonic() + 0.005
        await asyncio.sleep(0.005)
        late.append(time.monotonic() - expected)


async def main():
    """Serve all requests, one way and the other."""
    for serve in (in_the_loop, in_threads):
        late = []
        beating = asyncio.create_task(heartbeat(late))
        with plait.watch_loop(callback=print):
            await asyncio.gather(*map(serve, ITEMS))
            await asyncio.sleep(0.1)
        beating.cancel()
        print(f"{serve.__name__}: a heartbeat late by up to {max(late) * 1000:.0f} ms")


if __name__ == "__main__":
    asyncio.run(main())
