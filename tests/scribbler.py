"""Calls that overwrite the shared memory their worker can write, as a wild pointer of a C extension would.

What a process has mapped so stands in `/proc/self/maps`. Of the commons, which are as long as an
address space allows, only the first pages are meant.
"""

import ctypes
import os
import random
import signal
import threading
import time

import plait
from platforms import shared_file

PAGE = os.sysconf("SC_PAGE_SIZE")
# The most of one mapping that is overwritten at a time.
MOST = 8 << 20

KINDS = ["zeros", "ones", "noise", "halves", "words", "bits"]


def writable(name):
    """The mappings of the shared file of this name that can be written to here, as (address, length)."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, rights, _offset, _device, _inode, *path = line.split(maxsplit=5)
            if "w" in rights and "s" in rights and path and shared_file(path[0]) == name:
                start, end = (int(part, 16) for part in span.split("-"))
                found.append((start, min(end - start, MOST)))
    return found


def overwrite(address, length, kind, seed):
    """Writes over all of it, or for the last two kinds over some of it."""
    source = random.Random(seed)
    if kind == "zeros":
        ctypes.memset(address, 0, length)
    elif kind == "ones":
        ctypes.memset(address, 0xFF, length)
    elif kind == "noise":
        ctypes.memmove(address, source.randbytes(length), length)
    elif kind == "halves":
        half = length // 2 // PAGE * PAGE
        front = ctypes.string_at(address, half)
        ctypes.memmove(address, address + half, half)
        ctypes.memmove(address + half, front, half)
    elif kind == "words":
        for _ in range(2000):
            word = source.choice([0, 1, 7, 2**32 - 1, 2**63, 2**64 - 1, source.getrandbits(64)])
            ctypes.c_uint64.from_address(address + source.randrange(length // 8) * 8).value = word
    elif kind == "bits":
        for _ in range(2000):
            byte = ctypes.c_uint8.from_address(address + source.randrange(length))
            byte.value ^= 1 << source.randrange(8)


def scribble(name, kind, seed, then="return", part=0, parts=1):
    """Overwrites the file `name`, or one of so many parts of each of its mappings, and goes on or ends."""
    for number, (address, length) in enumerate(writable(name)):
        share = length // parts // PAGE * PAGE
        overwrite(address + part * share, share, kind, seed + number)
    if then == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if then == "exit":
        os._exit(3)
    return seed


def scribble_for_long(name, kind, seed):
    """Goes on to overwrite it from a thread, while this worker and the others run further calls."""

    def go_on():
        for turn in range(100):
            for address, length in writable(name):
                overwrite(address, length, kind, seed + turn)

    threading.Thread(target=go_on, daemon=True).start()


def scribble_and_map(seed):
    """Overwrites its own memory, and then has its pool run calls, which goes by way of that memory."""
    scribble("plait-worker", "noise", seed)
    return list(plait.map(square, range(20)))


def square(n):
    """A call of somebody else's."""
    return n * n


def slow_square(n):
    time.sleep(0.002)
    return n * n


def bulk(n):
    """A result that does not fit into a ring."""
    return bytes([n % 251]) * 200_000


def made(which):
    """Values whose pickles do not fit into a ring."""
    return [
        [(n, str(n), n * 0.5) for n in range(20_000)],
        {str(n): [n, None, True] for n in range(20_000)},
        list(range(100_000)),
        "ä" * 300_000,
        bytes(300_000),
    ][which]


def read_only(name):
    """The lengths of the mappings of this file that cannot be written to here."""
    with open("/proc/self/maps") as maps:
        lines = [line.split(maxsplit=5) for line in maps]
    found = [
        line[0].split("-")
        for line in lines
        if line[5:] and shared_file(line[5]) == name and "w" not in line[1]
    ]
    return [int(end, 16) - int(start, 16) for start, end in found]
