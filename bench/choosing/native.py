"""Workloads of native code that lets other threads run meanwhile."""

import contextlib
import hashlib
import lzma
import random
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from choosing.fetching import folder
from choosing.workload import Job, Site, each, equals, workload

KIND = "native, no GIL"


def noise(size: int, seed: int = 1) -> bytes:
    """Return bytes that compress by about a half."""
    return bytes(random.Random(seed).choices(b"abcdefghijklmnop", k=size))


def deflate(data: bytes) -> int:
    return len(zlib.compress(data, 6))


@workload("zlib, 256 kB each", KIND)
def compressing(_site: Site) -> Job:
    blocks = [noise(1 << 18, seed) for seed in range(8)] * 14
    return Job(deflate, blocks, len(blocks), each(lambda size: 1 << 16 < size < 1 << 18, len(blocks)))


def expand(data: bytes) -> int:
    return zlib.crc32(lzma.decompress(data))


@workload("lzma, 1 MB unpacked each", KIND)
def unpacking(_site: Site) -> Job:
    data = noise(1 << 20)
    return Job(expand, [lzma.compress(data, preset=0)] * 40, 40, equals([zlib.crc32(data)] * 40))


def short_hash(data: bytes) -> str:
    return hashlib.blake2b(data).hexdigest()


@workload("hashes, 16 kB each", KIND)
def short_hashing(_site: Site) -> Job:
    blocks = [noise(1 << 14, seed) for seed in range(50)] * 1000
    return Job(short_hash, blocks, len(blocks), equals([short_hash(block) for block in blocks[:50]] * 1000))


def sorted_sum(seed: int) -> float:
    import numpy

    values = numpy.random.default_rng(seed).random(400_000)
    values.sort()
    return float(values[::1000].sum())


@workload("NumPy sorts", KIND)
def numpy_sort(_site: Site) -> Job:
    import numpy

    assert numpy
    return Job(sorted_sum, range(40), 40, each(lambda total: 180 < total < 220, 40))


def spectrum(seed: int) -> float:
    import numpy

    values = numpy.random.default_rng(seed).standard_normal(1 << 18)
    powers = numpy.abs(numpy.fft.rfft(values)) ** 2
    return float(numpy.round(numpy.sqrt(powers.mean()) / (1 << 9), 6))


@workload("NumPy FFT and ufuncs", KIND)
def numpy_fft(_site: Site) -> Job:
    import numpy

    numpy.fft.rfft(numpy.zeros(8))
    return Job(spectrum, range(180), 180, each(lambda power: 0.98 < power < 1.02, 180))


def product(seed: int) -> float:
    import numpy

    values = numpy.random.default_rng(seed).random((400, 400))
    return round(float(numpy.trace(values @ values @ values)) / 400**3, 4)


@workload("BLAS, with threads of its own", KIND)
def blas(_site: Site) -> Job:
    import numpy

    numpy.random.default_rng(0).random((8, 8)) @ numpy.zeros((8, 8))
    return Job(product, range(60), 60, each(lambda trace: 0.1 < trace < 0.15, 60))


def picture(seed: int) -> Any:
    """Return a picture of 900 by 600 points."""
    from PIL import Image

    line = random.Random(seed).randbytes(900 * 3)
    return Image.frombytes("RGB", (900, 600), line * 600)


def thumbnail(seed: int) -> int:
    from PIL import Image, ImageFilter

    small = picture(seed).filter(ImageFilter.GaussianBlur(3)).resize((300, 200), Image.Resampling.LANCZOS)
    return zlib.crc32(small.tobytes())


@workload("Pillow, blur and resize", KIND)
def pictures(_site: Site) -> Job:
    from PIL import Image, ImageFilter

    assert Image and ImageFilter
    return Job(thumbnail, range(40), 40, each(lambda checksum: checksum > 0, 40))


@contextlib.contextmanager
def database() -> Iterator[Site]:
    """A file of 60,000 rows."""
    with folder() as site:
        path = str(Path(site["folder"], "rows.db"))
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("create table sold (shop integer, day integer, price integer)")
            rows = ((n % 40, n % 365, n * 7919 % 1000) for n in range(60_000))
            connection.executemany("insert into sold values (?, ?, ?)", rows)
        yield {**site, "path": path}


def best_day(asked: tuple[str, int]) -> tuple[int, int]:
    path, shop = asked
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "select day, sum(price) from sold where shop = ? group by day order by 2 desc, 1 limit 1"
        return connection.execute(query, (shop,)).fetchone()


@workload("SQLite, a query each", KIND, site=database)
def querying(site: Site) -> Job:
    asked = [(site["path"], shop) for shop in range(40)] * 9
    return Job(best_day, asked, len(asked), each(lambda found: found[1] > 10_000, len(asked)))
