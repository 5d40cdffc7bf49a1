"""Calls that print, for tests of what is kept of that, on each backend."""

import asyncio
import sys
import threading

import plait

BACKENDS = ["serial", "threads", "processes", "asyncio"]


def executor(backend, workers=2, **options):
    """One that keeps what its calls print."""
    if backend == "serial":
        workers = None
    return plait.Executor(backend, workers, capture_output=True, **options)


def of(backend, fn):
    """The function, or the same as a coroutine function where no other is taken."""
    if backend != "asyncio":
        return fn

    async def awaited(*args):
        await asyncio.sleep(0)
        return fn(*args)

    return awaited


def say(n):
    print("out", n)
    print("err", n, file=sys.stderr)
    return n * 2


def say_and_fail(n):
    say(n)
    raise ValueError(n)


def say_odd(_):
    sys.stdout.buffer.write(b"bytes \xc3\xa9\n")
    sys.stdout.writelines(["lines\n", "of a list\n"])
    print("no end", end="", flush=True)
    print("\ud83d|grüße", end="\r\n")
    assert not sys.stdout.isatty() and sys.stdout.encoding == "utf-8"
    assert sys.stderr.fileno() >= 0
    return "said"


def say_broken(_):
    sys.stdout.buffer.write(b"\xff\xfe|")


def say_long(n):
    for _ in range(n):
        print("x" * 99)
    return n


def say_from_threads(_):
    def run():
        print("from a thread")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    print("from the call")


def say_within(backend):
    print("before")
    with executor(backend, 1) as inner:
        future = inner.submit(of(backend, say), 7)
        assert future.result() == 14
    print("after")
    return future.stdout, future.stderr
