"""Reading from outside what a process of plait's says of itself.

Written from the description alone, which stands at the head of `crates/plait-trace/src/beacon.rs`.
"""

import functools
import os
import struct
from typing import NamedTuple

HEAD, SLOT = 128, 64


class Doing(NamedTuple):
    """A task that a thread runs."""

    tid: int
    task: int
    name: str
    since: int
    depth: int


class Beacon(NamedTuple):
    """What a process says."""

    role: str
    doing: list[Doing]
    # Slots that were ever in use.
    used: int
    # Threads that have a slot, and those that found none.
    seated: int
    unseated: int


def read(pid):
    """What the process says now; None where plait is not loaded."""
    place = place_in(pid)
    if place is None:
        return None
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        head = _bytes(memory, place, HEAD)
        magic, version, slot, slots, used, unseated, role_len = struct.unpack("8s6I", head[:32])
        if magic == bytes(8):
            return None
        assert (magic, version, slot) == (b"plait\0B1", 1, SLOT) and used <= slots
        doing, seated = [], 0
        for number in range(used):
            words = _slot(memory, place + HEAD + number * SLOT)
            _, task, since, name, module, name_len, module_len, tid, depth = words
            seated += tid != 0
            if tid and depth:
                texts = [
                    _bytes(memory, at, size).decode() if at else ""
                    for at, size in ((module, module_len), (name, name_len))
                ]
                if _slot(memory, place + HEAD + number * SLOT) == words:
                    doing.append(Doing(tid, task, ".".join(filter(None, texts)), since, depth))
    return Beacon(head[32 : 32 + role_len].decode(), doing, used, seated, unseated)


def _slot(memory, at):
    """A slot as two copies in a row show it."""
    while True:
        first, second = _bytes(memory, at, SLOT), _bytes(memory, at, SLOT)
        if first == second and struct.unpack("Q", first[:8])[0] % 2 == 0:
            return struct.unpack("5Q4I", first[:56])


def _bytes(memory, at, size):
    return os.pread(memory.fileno(), size, at)


def place_in(pid):
    """The address of the table."""
    try:
        with open(f"/proc/{pid}/maps") as maps:
            lines = [line.split(None, 5) for line in maps]
    except OSError:
        return None
    for line in lines:
        if len(line) == 6 and "/plait/_core." in line[5] and int(line[2], 16) == 0:
            return int(line[0].split("-")[0], 16) + _offset(line[5].strip())
    return None


@functools.cache
def _offset(path):
    """Where the symbol lies in the module, whose first part is loaded at its address 0."""
    with open(path, "rb") as file:
        data = file.read()
    table, size, count = struct.unpack_from("<Q", data, 40)[0], *struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + number * size) for number in range(count)]
    for _, kind, _, _, at, length, link, _, _, entry in sections:
        if kind == 11:  # the exported symbols
            strings = sections[link][4]
            for symbol in range(at, at + length, entry):
                name, _, _, _, value, _ = struct.unpack_from("<IBBHQQ", data, symbol)
                if data[strings + name :].startswith(b"PLAIT_BEACON\0"):
                    return value
    raise AssertionError(f"{path} exports no PLAIT_BEACON")
