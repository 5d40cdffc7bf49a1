"""The servers that workloads talk to, each a process of its own on the loopback: `servers.py SETTINGS`.

One thread and one event loop, a few tens of microseconds of CPU to an answer, so that the clients are what
is measured. Settings, as JSON: `speaks` ("http" or "lines"), `latency` (seconds, or two of them to vary
between), `at_most` (so many are served at a time, the others wait), `collapses` (over so many at a time,
each takes longer by the square of how many too many there are), `body` ("text" or "records"). It prints
its port, and ends when its standard input does.
"""

import asyncio
import contextlib
import functools
import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"


@functools.cache
def body(number: int, kind: str = "text") -> bytes:
    """Return page `number`: about 4 kB of text, or 250 records as JSON."""
    if kind == "records":
        return json.dumps(
            [
                {"id": number * 250 + k, "name": f"item {k}", "price": (number + k) % 97, "tags": ["a", "b"]}
                for k in range(250)
            ]
        ).encode()
    return (f"page {number}; " * 300).encode()


def latency_of(number: int, latency: float | list[float]) -> float:
    """Return how many seconds an answer takes: spread evenly over the range, the same for the same number."""
    if isinstance(latency, (int, float)):
        return latency
    low, high = latency
    return low + (high - low) * (number * 37 % 101) / 100


class Gate:
    """Lets requests through after their latency, so many at a time, or slower if there are too many."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._latency = settings["latency"]
        self._at_most = settings.get("at_most")
        self._collapses = settings.get("collapses")
        self._inside = 0
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def enter(self, number: int, answer: Callable[[], None]) -> None:
        """Call `answer` when request `number` has been served."""
        if self._at_most is not None and self._inside >= self._at_most:
            self._waiting.append((number, answer))
            return
        self._inside += 1
        seconds = latency_of(number, self._latency)
        if self._collapses is not None and self._inside > self._collapses:
            seconds *= (self._inside / self._collapses) ** 2
        asyncio.get_running_loop().call_later(seconds, self._leave, answer)

    def _leave(self, answer: Callable[[], None]) -> None:
        self._inside -= 1
        answer()
        if self._waiting:
            self.enter(*self._waiting.popleft())


class Http(asyncio.Protocol):
    """`GET /NUMBER`, again and again on one connection."""

    def __init__(self, gate: Gate, kind: str) -> None:
        self._gate, self._kind, self._heard = gate, kind, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\r\n\r\n" in self._heard:
            head, _, self._heard = self._heard.partition(b"\r\n\r\n")
            number = int(head.split(b" ", 2)[1].lstrip(b"/"))
            close = b"\r\nconnection: close" in head.lower()
            self._gate.enter(number, functools.partial(self._answer, number, close))

    def _answer(self, number: int, close: bool) -> None:
        page = body(number, self._kind)
        kept = b"close" if close else b"keep-alive"
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n" % (len(page), kept)
        self._transport.write(head + page)
        if close:
            self._transport.close()


class Lines(asyncio.Protocol):
    """A number on a line; it comes back doubled."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._heard = gate, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while b"\n" in self._heard:
            line, _, self._heard = self._heard.partition(b"\n")
            number = int(line)
            self._gate.enter(number, functools.partial(self._transport.write, b"%d\n" % (2 * number)))


@contextlib.contextmanager
def _served(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    command = [sys.executable, Path(__file__).resolve(), json.dumps(settings)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield {"port": int(process.stdout.readline())}
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def serving(**settings: Any) -> Callable[[], AbstractContextManager[dict[str, Any]]]:
    """Return a site with a server of these settings: its `port`."""
    return functools.partial(_served, settings)


async def serve(settings: dict[str, Any]) -> None:
    """Serve until standard input ends."""
    loop, gate = asyncio.get_running_loop(), Gate(settings)
    if settings["speaks"] == "http":
        make = functools.partial(Http, gate, settings.get("body", "text"))
    else:
        make = functools.partial(Lines, gate)
    server = await loop.create_server(make, HOST, 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
