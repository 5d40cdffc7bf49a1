"""100 pages fetched with requests: one by one, on 10 threads, on 10 processes; by asyncio, with aiohttp.

python examples/fetch_pages.py [PAGES]                                     # each way, and what a page takes
plait compare examples/fetch_pages.py:fetch --workers 10 --html page.html  # each request's time as a plot

All wait for a server (local_server.py), so threads and processes are alike. A single page takes longer than
alone: ten share one line.
"""

import statistics
import sys
import time

import aiohttp
import plait
import requests
from local_server import start

SITE = start()
ITEMS = [f"{SITE}/{number}" for number in range(100)]


def fetch(url):
    """Fetch a page; return its length, and the seconds that took."""
    began = time.perf_counter()
    with requests.Session() as session:
        session.trust_env = False  # No proxy is asked, for the server is here.
        size = len(session.get(url, timeout=30).content)
    return size, time.perf_counter() - began


async def fetch_async(url):
    """Do the same in a coroutine."""
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        size = len(await answer.read())
    return size, time.perf_counter() - began


WAYS = {"serial": fetch, "threads": fetch, "processes": fetch, "asyncio": fetch_async}

if __name__ == "__main__":
    items = ITEMS[: int(sys.argv[1])] if sys.argv[1:] else ITEMS
    print(f"{len(items):>3} pages         time  speed-up     a page  bytes")
    took = {}
    for backend, function in WAYS.items():
        workers = 1 if backend == "serial" else min(10, len(items))
        # What is preloaded is imported once, in the process that workers are forked from.
        preload = {"preload": ["requests"]} if backend == "processes" else {}
        with plait.Executor(backend, workers, **preload) as executor:
            list(executor.map(function, ITEMS[-workers:]))
            began = time.perf_counter()
            sizes, seconds = zip(*executor.map(function, items))
            took[backend] = time.perf_counter() - began
        figures = took[backend], took["serial"] / took[backend], statistics.median(seconds) * 1000
        print("{:>2} {:<12} {:6.2f} s {:8.1f}x {:7.0f} ms ".format(workers, backend, *figures), sum(sizes))
