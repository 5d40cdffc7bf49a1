"""Threads that talk to an event loop: what they call is handed over, for a loop belongs to its thread.

python examples/callbacks_to_loop.py

A library calls back from a thread of its own: `call_soon_threadsafe` takes what it says to the loop. A
function that runs on a thread needs something of a coroutine: `run_coroutine_threadsafe` asks the loop for
it.
"""

import asyncio
import threading

import plait

PRICES = {"apples": 3, "pears": 4, "plums": 7}


class Scanner(threading.Thread):
    """Stands for a library that knows nothing of asyncio: it calls `found` in a thread of its own."""

    def __init__(self, found):
        """Make one that tells this function what it finds."""
        super().__init__()
        self.found = found

    def run(self):
        """Find one thing after the other, and None at the end."""
        for name in [*PRICES, None]:
            self.found(name)


async def price(name):
    """Look something up, as a client for asyncio does."""
    await asyncio.sleep(0.01)
    return PRICES[name]


def invoice(name, loop):
    """Compute on a thread, with what only the loop can get."""
    cost = asyncio.run_coroutine_threadsafe(price(name), loop).result()
    return f"{name}: {cost}.00"


async def main():
    """Take what the scanner finds, and have invoices written."""
    loop = asyncio.get_running_loop()
    found = asyncio.Queue()
    scanner = Scanner(lambda name: loop.call_soon_threadsafe(found.put_nowait, name))
    scanner.start()
    async with plait.ThreadPoolExecutor(2) as executor:
        while name := await found.get():
            print(await executor.submit(invoice, name, loop))


if __name__ == "__main__":
    asyncio.run(main())
