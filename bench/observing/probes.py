"""Uprobes of the kernel, read through `perf_event_open`: when each thread got the GIL and let go of it.

A probe on the return of CPython's `take_gil` and one on the entry of its `drop_gil` see each of them. They
take root, and a Python whose symbols were not stripped.
"""

import ctypes
import mmap
import os
import re
import struct
import subprocess
from pathlib import Path

PMU = Path("/sys/bus/event_source/devices/uprobe/type")
# perf_event_open(2), on x86-64 and elsewhere.
SYSCALL = 298 if os.uname().machine == "x86_64" else 241
TID_AND_TIME = 1 << 1 | 1 << 2
USE_CLOCKID = 1 << 25
SAMPLE, LOST = 9, 2
CLOCK_MONOTONIC = 1
RING = 1 << 20


class Unavailable(Exception):
    """There are no such probes here; says why."""


def library(pid: int) -> str:
    """Return the file that a process has its interpreter from."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    found = re.search(r"(/\S*libpython3[^/\s]*\.so\S*)", maps)
    return found[1] if found else os.readlink(f"/proc/{pid}/exe")


def offset_of(path: str, function: str) -> int:
    """Return where in its file a function begins."""
    try:
        listed = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"nm cannot list the symbols of {path}: {error}") from None
    found = re.search(rf"^([0-9a-f]+) \w {function}$", listed, re.MULTILINE)
    if found is None:
        raise Unavailable(f"{path} has no symbol {function}")
    address = int(found[1], 16)
    elf = Path(path).read_bytes()
    (table,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for number in range(count):
        kind, _, offset, start, _, length = struct.unpack_from("<IIQQQQ", elf, table + number * size)
        if kind == 1 and start <= address < start + length:
            return address - start + offset
    raise Unavailable(f"{function} lies in no segment of {path}")


class Probe:
    """One probe on one processor: its hits, for all processes."""

    def __init__(self, path: str, offset: int, on_return: bool, cpu: int) -> None:
        self._path = ctypes.create_string_buffer(path.encode())
        flags = USE_CLOCKID
        attributes = struct.pack(
            "<IIQQQQQIIQQQQIiQIHH",
            int(PMU.read_text()),
            120 - 8,
            int(on_return),
            1,
            TID_AND_TIME,
            0,
            flags,
            1,
            0,
            ctypes.addressof(self._path),
            offset,
            0,
            0,
            0,
            CLOCK_MONOTONIC,
            0,
            0,
            0,
            0,
        )
        buffer = ctypes.create_string_buffer(attributes, 112)
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.syscall(SYSCALL, buffer, -1, cpu, -1, 8)
        if self._fd < 0:
            raise Unavailable(f"perf_event_open: {os.strerror(ctypes.get_errno())}")
        self._page = mmap.PAGESIZE
        self._ring = mmap.mmap(self._fd, self._page + RING, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.lost = 0

    def drain(self) -> list[tuple[int, int]]:
        """Return the hits since the last time: moment in nanoseconds, and thread."""
        head, tail = struct.unpack_from("<QQ", self._ring, 1024)
        hits = []
        while tail < head:
            kind, _, size = struct.unpack("<IHH", self._bytes(tail, 8))
            if kind == SAMPLE:
                _, tid, at = struct.unpack("<IIQ", self._bytes(tail + 8, 16))
                hits.append((at, tid))
            elif kind == LOST:
                self.lost += struct.unpack("<Q", self._bytes(tail + 16, 8))[0]
            tail += size
        struct.pack_into("<Q", self._ring, 1032, head)
        return hits

    def _bytes(self, at: int, count: int) -> bytes:
        place = at % RING
        first = self._ring[self._page + place : self._page + min(place + count, RING)]
        return first + self._ring[self._page : self._page + count - len(first)]

    def close(self) -> None:
        """See no more."""
        self._ring.close()
        os.close(self._fd)
