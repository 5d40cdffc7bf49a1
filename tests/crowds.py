"""Coroutines for the tests of maps of them: what they count, what they leave, a server that they may ask."""

import asyncio
import contextlib
import itertools
import os
import threading
from pathlib import Path

import plait
from outside import TESTS

# Programs of their own import the plait that is tested here.
ENV = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(Path(plait.__file__).parents[1])])}


async def add_one(number):
    await asyncio.sleep(0)
    return number + 1


async def add(a, b):
    await asyncio.sleep(0)
    return a + b


async def fail_on(number, bad):
    await asyncio.sleep(0)
    if number == bad:
        raise ValueError(f"item {number}")
    return number


async def pid_and_thread(_):
    await asyncio.sleep(0)
    return os.getpid(), threading.current_thread().name


def plain(number):
    return number + 1


def amapped(fn, *iterables, **options):
    """`plait.map` on the backend "asyncio"."""
    return plait.map(fn, *iterables, backend="asyncio", **options)


class Source:
    """Numbers without end (or up to one that raises), counting how many were taken."""

    def __init__(self, raises_at=None):
        self.taken = 0
        self.closed = False
        self.raises_at = raises_at

    def __iter__(self):
        try:
            for n in itertools.count():
                if n == self.raises_at:
                    raise OSError(f"no item {n}")
                self.taken += 1
                yield n
        finally:
            self.closed = True


async def numbers(source):
    """The same as an asynchronous generator."""
    items = iter(source)
    try:
        for n in items:
            await asyncio.sleep(0)
            yield n
    finally:
        items.close()
        source.finished = True


class Crowd:
    """Counts how many of its coroutines run, and how many did at most; they wait until the gate is open."""

    def __init__(self, opened=False):
        self.inside = self.most = self.begun = self.ended = self.cancelled = 0
        self.opened = opened

    async def enter(self, number=0):
        self.begun += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await asyncio.sleep(0)
            while not self.opened:
                await asyncio.sleep(0.001)
            return number
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            # What tidies up may wait, too.
            await asyncio.sleep(0.001)
            self.inside -= 1
            self.ended += 1


@contextlib.contextmanager
def server(most=None):
    """A server on loopback that answers each line with itself; its port, and what it has seen.

    `most`: so many connections at one time are answered, the others wait for them.
    """
    loop = asyncio.new_event_loop()
    seen = {"now": 0, "most": 0, "answered": 0}
    places = asyncio.Semaphore(most or 1 << 20)

    async def answer(reader, writer):
        seen["now"] += 1
        seen["most"] = max(seen["most"], seen["now"])
        try:
            async with places:
                while line := await reader.readline():
                    await asyncio.sleep(0.002)
                    writer.write(line)
                    await writer.drain()
                    seen["answered"] += 1
        except ConnectionError:
            pass
        finally:
            seen["now"] -= 1
            writer.close()

    listening = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listening.sockets[0].getsockname()[1], seen
    finally:

        async def stop():
            listening.close()
            while seen["now"]:
                await asyncio.sleep(0.001)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(40)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def ask(port, number):
    """The server's answer to a number."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"%d\n" % number)
        return int(await reader.readline())
    finally:
        writer.close()
        await writer.wait_closed()


def _loops():
    """How to run a coroutine in each kind of event loop that there is."""

    def of(**options):
        def run(coroutine):
            with asyncio.Runner(**options) as runner:
                return runner.run(coroutine)

        return run

    found = {"asyncio": of(), "debug": of(debug=True)}
    try:
        import uvloop
    except ImportError:
        return found
    return {**found, "uvloop": of(loop_factory=uvloop.new_event_loop)}


LOOPS = _loops()


async def listed(results):
    return [result async for result in results]


async def passed(condition, what):
    """As `until`, without holding up the loop."""
    while not condition():
        await asyncio.sleep(0.002)
    assert condition(), what


class Numbers:
    """An asynchronous generator without end (or up to a number at which it raises), and what became of it."""

    def __init__(self, raises_at=None, most=None):
        self.taken = 0
        self.closed = False
        self.raises_at = raises_at
        self.most = most

    async def __call__(self):
        try:
            for n in itertools.count():
                if n == self.raises_at:
                    raise OSError(f"no item {n}")
                if n == self.most:
                    return
                self.taken += 1
                yield n
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            self.closed = True
