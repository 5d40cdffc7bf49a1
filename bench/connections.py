"""Connections that worker processes hold at a time: an aiohttp client in each, against local servers.

`make bench-connections` runs it. Servers answer none of the requests before so many are open at once; the
figure is how many were. Everything listens on the loopback only, and ends by itself.
"""

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

# A client's address has some 28,000 ports for each port of a server.
PER_SERVER = 12_500
# Seconds that all of it may take.
PATIENCE = 300

_sessions: dict[Any, Any] = {}


async def fetch(url: str) -> int:
    """Get a page; all of a loop's requests share a session."""
    import aiohttp

    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        _sessions[loop] = aiohttp.ClientSession(connector=connector, timeout=timeout)
    async with _sessions[loop].get(url) as response:
        return len(await response.read())


async def serve() -> None:
    """Take connections, say how many there are, and answer when a line comes on stdin."""
    go = asyncio.Event()
    held = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal held
        await reader.readuntil(b"\r\n\r\n")
        held += 1
        await go.wait()
        held -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    released = loop.run_in_executor(None, sys.stdin.readline)
    while not released.done():
        print(held, flush=True)
        await asyncio.wait([released], timeout=0.1)
    go.set()
    # Until the driver hangs up.
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.contextmanager
def servers(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """So many servers, each in a process of its own."""
    started = [
        subprocess.Popen(
            [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(count)
    ]
    try:
        yield started
    finally:
        for server in started:
            server.stdin.close()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def watch(server: subprocess.Popen[str], held: list[int], place: int) -> None:
    """Take note of what a server says of itself."""
    for line in server.stdout:
        held[place] = int(line)


def main() -> None:
    """Hold them, and print how many."""
    import threading

    import plait

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=50_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if asked.serve:
        asyncio.run(serve())
        return
    count = max(1, -(-asked.connections // PER_SERVER))
    with servers(count) as started:
        ports = [int(server.stdout.readline()) for server in started]
        held = [0] * count
        for place, server in enumerate(started):
            threading.Thread(target=watch, args=(server, held, place), daemon=True).start()
        urls = [f"http://127.0.0.1:{ports[number % count]}/" for number in range(asked.connections)]
        begun = time.monotonic()
        results = plait.map(
            fetch,
            urls,
            backend="processes",
            workers=asked.workers,
            concurrency=-(-asked.connections // asked.workers),
        )
        highest = 0
        while highest < asked.connections and time.monotonic() - begun < PATIENCE:
            time.sleep(0.2)
            highest = max(highest, sum(held))
        opened = time.monotonic() - begun
        for server in started:
            server.stdin.write("go\n")
            server.stdin.flush()
        answered = sum(size == 2 for size in results)
        took = time.monotonic() - begun
    print(
        f"held at once   {highest:,} of {asked.connections:,} by {asked.workers} processes, in {opened:.1f} s"
    )
    print(f"answered       {answered:,}, after {took:.1f} s")
    sys.exit(highest < asked.connections or answered < asked.connections)


if __name__ == "__main__":
    main()
