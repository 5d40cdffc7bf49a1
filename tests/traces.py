"""Recordings written from the description of their format: `docs/recording-format.md`, and nothing else."""

import struct
import zlib

from pages import STATES as BY_LETTER

STATES = list(BY_LETTER.values())


def varint(number):
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def text(it):
    told = it.encode()
    return varint(len(told)) + told


def maybe(it, encode):
    return b"\0" if it is None else b"\1" + encode(it)


def zigzag(number):
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def numbers(*them):
    return b"".join(map(varint, them))


def began(what="python app.py", root=7, period=1_000_000, processors=2):
    return (
        varint(0)
        + numbers(1_790_000_000 * 10**9, 5 * 10**9)
        + text("0.1.0")
        + text(what)
        + numbers(root, period, processors)
    )


def process(key=0, pid=7, command="python app.py", python="3.13.1", sight=0, why=None, found=0):
    return (
        varint(1)
        + numbers(key, pid)
        + maybe(None, varint)
        + varint(found)
        + text(command)
        + maybe(python, text)
        + varint(sight)
        + maybe(why, text)
        + varint(2)
        + maybe(None, varint)
        + maybe(None, text)
    )


def gil(key=0, of=0, interval=5_000_000):
    return varint(3) + numbers(key, of) + varint(1) + zigzag(0) + varint(interval)


def thread(key=0, of=0, tid=7, name="python", found=0):
    return varint(4) + numbers(key, of, tid) + text(name) + maybe(0, zigzag) + varint(found)


def span(of, begin, end, state, call=None):
    return varint(6) + numbers(of, begin, end, STATES.index(state)) + maybe(call, varint)


def hold(begin, end, by, of=0):
    return varint(7) + numbers(of, begin, end) + maybe(by, varint)


def gap(begin, end):
    return varint(13) + numbers(begin, end)


def note(told):
    return varint(14) + maybe(None, varint) + text(told)


def ended(at, looks=1000):
    return varint(15) + numbers(at, looks, 0, 50_000, 100_000, 10**7, 0, 0, 0, 0, 0)


def written(*records, version=1, to_a_block=50_000):
    """The file with these records."""
    out = [b"plait trace\n", struct.pack("<H", version)]
    for first in range(0, len(records), to_a_block):
        deflate = zlib.compressobj(wbits=-15)
        contents = b"".join(records[first : first + to_a_block])
        packed = deflate.compress(contents) + deflate.flush()
        out.append(struct.pack("<II", len(packed), zlib.crc32(packed)) + packed)
    return b"".join(out)
