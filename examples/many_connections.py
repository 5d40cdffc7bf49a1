"""Ten thousand questions to a server that takes its time, hundreds at once, by coroutines of a single thread.

python examples/many_connections.py [QUESTIONS]

Each has a connection of its own; threads would be hundreds. One after the other they would take a quarter of
an hour of waiting alone. `concurrency` is the bound: what is open at a time, here and at the server.
"""

import asyncio
import sys
import time

import plait

QUESTIONS = int(sys.argv[1]) if sys.argv[1:] else 10_000
AT_ONCE, SECONDS = 400, 0.1


class Server:
    """Answers each question after a while, and knows how many wait at a time."""

    open = most = 0

    async def answer(self, reader, writer):
        """Send the square of the number that was sent."""
        self.open += 1
        self.most = max(self.most, self.open)
        number = int(await reader.readline())
        await asyncio.sleep(SECONDS)
        writer.write(f"{number * number}\n".encode())
        await writer.drain()
        writer.close()
        self.open -= 1


async def main():
    """Ask all questions, and add up the answers as they come."""
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", backlog=1024)
    port = listening.sockets[0].getsockname()[1]

    async def ask(number):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{number}\n".encode())
        square = int(await reader.readline())
        writer.close()
        return square

    began = time.perf_counter()
    total = 0
    async for square in plait.amap(ask, range(QUESTIONS), concurrency=AT_ONCE):
        total += square
    took = time.perf_counter() - began
    print(f"{QUESTIONS:,} answers add up to {total:,}, at most {AT_ONCE} at once: {server.most <= AT_ONCE}")
    print(f"in {took:.1f} s; one after the other it is {QUESTIONS * SECONDS:,.0f} s of waiting alone")
    listening.close()


if __name__ == "__main__":
    asyncio.run(main())
