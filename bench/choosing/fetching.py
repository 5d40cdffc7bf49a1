"""Workloads that wait: for servers, for the disk, for other programs, for the clock."""

import contextlib
import http.client
import os
import random
import subprocess
import tempfile
import threading
import time
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from choosing.servers import HOST, body, serving
from choosing.workload import Job, Site, equals, workload

KIND = "I/O"
_local = threading.local()


def crc(number: int) -> int:
    """Return the checksum of a page."""
    return zlib.crc32(body(number))


def by_urllib(url: str) -> int:
    with urllib.request.urlopen(url) as answer:
        return zlib.crc32(answer.read())


@workload("pages, urllib, 20 ms", KIND, site=serving(speaks="http", latency=0.02))
def pages_urllib(site: Site) -> Job:
    count = 600
    urls = [f"http://{HOST}:{site['port']}/{number}" for number in range(count)]
    return Job(by_urllib, urls, count, equals([crc(number) for number in range(count)]))


def by_requests(url: str) -> int:
    import requests

    if not hasattr(_local, "session"):
        _local.session = requests.Session()
    return zlib.crc32(_local.session.get(url).content)


@workload("pages, requests, 10-50 ms", KIND, site=serving(speaks="http", latency=[0.01, 0.05]))
def pages_requests(site: Site) -> Job:
    import requests

    # Only so that it is imported before the clock runs.
    assert requests
    count = 350
    urls = [f"http://{HOST}:{site['port']}/{number}" for number in range(count)]
    return Job(by_requests, urls, count, equals([crc(number) for number in range(count)]))


def by_connection(place: tuple[int, int]) -> int:
    port, number = place
    if getattr(_local, "port", None) != port:
        _local.connection = http.client.HTTPConnection(HOST, port)
        _local.port = port
    _local.connection.request("GET", f"/{number}")
    return zlib.crc32(_local.connection.getresponse().read())


@workload("pages, kept connections, 5 ms", KIND, site=serving(speaks="http", latency=0.005))
def pages_kept(site: Site) -> Job:
    count = 2000
    places = [(site["port"], number) for number in range(count)]
    return Job(by_connection, places, count, equals([crc(number) for number in range(count)]))


@contextlib.contextmanager
def folder() -> Iterator[Site]:
    """A folder of its own, removed at the end."""
    # With what is built, and not where temporary files go: those may lie in memory, where nothing waits.
    place = Path(__file__).resolve().parents[2] / ".build"
    place.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-choose-", dir=place) as path:
        yield {"folder": path}


@contextlib.contextmanager
def folder_of_files() -> Iterator[Site]:
    """The same with files in it to be read."""
    with folder() as site:
        for number in range(200):
            Path(site["folder"], f"{number}.txt").write_bytes(text_of(number))
        yield site


def text_of(number: int) -> bytes:
    """Return what is in file `number`: 300 kB."""
    return (b"%d words and words in a line\n" % number) * (300_000 // 30)


def save(path: str) -> int:
    with open(path, "wb") as file:
        file.write(path.encode() * 200)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


@workload("files written and synced", KIND, site=folder)
def writing(site: Site) -> Job:
    count = 1200
    paths = [f"{site['folder']}/{number:04}" for number in range(count)]
    return Job(save, paths, count, equals([len(path.encode()) * 200 for path in paths]))


def lines_of(path: str) -> tuple[int, int]:
    data = Path(path).read_bytes()
    return data.count(b"\n"), zlib.crc32(data)


@workload("files read, in the cache", KIND, site=folder_of_files)
def reading(site: Site) -> Job:
    paths = [f"{site['folder']}/{number % 200}.txt" for number in range(2000)]
    right = [(text_of(n).count(b"\n"), zlib.crc32(text_of(n))) for n in range(200)]
    return Job(lines_of, paths, len(paths), equals(right * 10))


def run(number: int) -> str:
    return subprocess.run(
        ["/bin/sh", "-c", f"sleep 0.02; echo {number}"], capture_output=True, text=True, check=True
    ).stdout


@workload("other programs, 20 ms", KIND)
def programs(_site: Site) -> Job:
    count = 250
    return Job(run, range(count), count, equals([f"{number}\n" for number in range(count)]))


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@workload("short sleeps, 1 ms", KIND)
def short_sleeps(_site: Site) -> Job:
    naps = [0.001] * 8000
    return Job(nap, naps, len(naps), equals(naps))


@workload("sleeps with a heavy tail", KIND)
def sleeps_with_tail(_site: Site) -> Job:
    drawn = random.Random(17)
    naps: list[Any] = [min(0.4, round(drawn.lognormvariate(-4.6, 1.0), 4)) for _ in range(800)]
    return Job(nap, naps, len(naps), equals(naps))
