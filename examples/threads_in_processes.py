"""Threads in processes: pages are fetched by many threads, and read by as many processes as there are cores.

python examples/threads_in_processes.py

A call gets several addresses, and waits for all of their pages at once, on threads; what it computes of
them has a GIL for each process. The pages come from a server in this program, which takes its time as a far
one does.
"""

import os
import threading
import urllib.request

import plait
from fetch_urls import ITEMS

THREADS, TOGETHER = 8, 10


def fetch(url):
    """Fetch a page; return its text, and the thread that this ran in."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        return answer.read().decode(), threading.get_ident()


def read(urls):
    """Fetch pages on threads of this process, and count their words."""
    fetched = list(plait.map(fetch, urls, backend="threads", workers=THREADS))
    words = sum(len(text.split()) for text, _ in fetched)
    return words, len({thread for _, thread in fetched}), os.getpid()


if __name__ == "__main__":
    batches = [ITEMS[n : n + TOGETHER] for n in range(0, len(ITEMS), TOGETHER)]
    words, threads, processes = zip(*plait.map(read, batches, backend="processes", chunksize=1))
    print(f"{sum(words):,} words of {len(ITEMS)} pages")
    print(f"read in other processes: {os.getpid() not in processes}; threads in each: up to {max(threads)}")
