"""Array tasks without end: the memory of the program and its workers over time, which has to stay flat.

    bench/soak.py [--tasks 1000000] [--workers 2] [--every SECONDS] [--seed N]

Most arrays have 64 to 256 KiB, one in some hundred has some megabytes; they go up, down, or both ways, and
some are shared. Some results are held for a while, some arguments are kept by workers for a while, some calls
are cancelled, and a worker is killed now and then: all that makes memory that somebody has to give back.
Each answer is checked. Memory is `memory.in_use`: anonymous pages of each process, shared ones once.

The first tenth of the run warms up. Fails (exit code 1) if afterwards memory grows: if the least that was in
use in the last quarter exceeds the least in the first quarter by more than a tenth and 16 MiB, or the most by
more than a quarter and 64 MiB. Least against least, since what is held differs from moment to moment.
"""

import argparse
import collections
import os
import random
import signal
import sys
import time
from concurrent.futures import CancelledError
from typing import Any

import numpy
import plait
from cpu import descendants
from memory import in_use

MIB = 1 << 20
# Calls on their way at a time, results held at a time, and arguments kept by each worker at a time.
AHEAD, HELD, KEPT = 32, 40, 12
LARGE_EVERY, CANCEL_EVERY, KILL_EVERY = 300, 50, 4_999

_kept: collections.deque[Any] = collections.deque(maxlen=KEPT)


class Wrong(Exception):
    """An array came out other than it was."""


# --- what workers do


def make(size: int, byte: int) -> Any:
    """Give an array of so many bytes."""
    return numpy.full(size, byte, "u1")


def ends(array: Any, byte: int) -> tuple[int, int]:
    """Look at an array, write to it, keep a part of it in some cases; give its ends as they were."""
    found = int(array[0]), int(array[-1])
    if byte % 8 == 0:
        _kept.append((byte, array[5:]))
    elif byte % 8 == 1:
        array[: len(array) // 2] = 0
    for kept, part in _kept:
        if part[0] != kept or part[-1] != kept:
            raise Wrong(f"an array of {kept} that was kept has become one of {part[0]}, {part[-1]}")
    return found


def negative(array: Any, byte: int) -> Any:
    """Give a new array, of what the numbers lack to 255."""
    assert array[0] == byte
    return ~array


def same(array: Any, byte: int) -> Any:
    """Give the array back, written to in one place."""
    array[len(array) // 2] = byte
    return array


def write(array: Any, byte: int) -> int:
    """Write to all of a shared array."""
    array[:] = byte
    return len(array)


# --- what the parent does


class Soak:
    """The run: calls on their way, and results that are held."""

    def __init__(self, pool: Any, seed: int) -> None:
        self.pool = pool
        self.lot = random.Random(seed)
        self.held: list[tuple[int, Any]] = []
        self.ahead: collections.deque[tuple[str, int, int, Any]] = collections.deque()
        # The shared arrays that calls on their way write to.
        self.shared: dict[Any, Any] = {}
        self.ended = collections.Counter()

    def send(self, number: int) -> None:
        """Submit one call."""
        lot = self.lot
        size = lot.randrange(1, 9) * MIB if number % LARGE_EVERY == 0 else lot.randrange(64 << 10, 256 << 10)
        byte = number % 251 + 1
        what = lot.choices(("make", "ends", "negative", "same", "write"), (6, 6, 6, 6, 1))[0]
        if what == "make":
            future = self.pool.submit(make, size, byte)
        elif what == "write":
            shared = plait.zeros(size, "u1")
            future = self.pool.submit(write, shared, byte)
            self.shared[future] = shared
        elif what != "negative" and self.held and lot.random() < 0.3:
            # A result is sent on.
            byte, array = lot.choice(self.held)
            size = len(array)
            future = self.pool.submit({"ends": ends, "same": same}[what], array, byte)
        else:
            call = {"ends": ends, "negative": negative, "same": same}[what]
            future = self.pool.submit(call, make(size, byte), byte)
        if number % CANCEL_EVERY == 0:
            future.cancel()
        self.ahead.append((what, size, byte, future))

    def receive(self) -> None:
        """Take the oldest call's answer, and look whether it is right."""
        what, size, byte, future = self.ahead.popleft()
        shared = self.shared.pop(future, None)
        try:
            result = future.result()
        except CancelledError:
            self.ended["cancelled"] += 1
            return
        except plait.WorkerDied:
            self.ended["killed"] += 1
            return
        self.ended["done"] += 1
        if what == "write":
            if result != size or shared[0] != byte or shared[-1] != byte:
                raise Wrong(f"a shared array of {byte} begins with {shared[0]}, ends with {shared[-1]}")
            return
        if what == "ends":
            if result != (byte, byte):
                raise Wrong(f"the worker saw {result} in an array of {byte}")
            return
        byte = 255 - byte if what == "negative" else byte
        if len(result) != size or any(result[at] != byte for at in (0, size // 2, size - 1)):
            raise Wrong(f"{what} gave {len(result)} bytes beginning with {result[0]}, not {size} of {byte}")
        if self.lot.random() < 0.2:
            self.held.append((byte, result))
            if len(self.held) > HELD:
                byte, array = self.held.pop(self.lot.randrange(HELD))
                if array.min() != byte or array.max() != byte:
                    raise Wrong(f"a result of {byte} that was held has become one of {array.min()}")

    def kill(self) -> None:
        """Kill a worker; the call that it runs fails, and no other."""
        pids = self.pool._stats()["pids"]
        if pids:
            os.kill(self.lot.choice(pids), signal.SIGKILL)


def judge(flat: list[int]) -> str | None:
    """Say whether memory grew, of samples taken at equal distances; None if it is flat."""
    quarter = max(1, len(flat) // 4)
    first, last = flat[:quarter], flat[-quarter:]
    if min(last) > min(first) * 1.1 + 16 * MIB:
        return f"memory grew: at least {min(first) / MIB:.0f} MiB at first, {min(last) / MIB:.0f} in the end"
    if max(last) > max(first) * 1.25 + 64 * MIB:
        return f"memory grew: at most {max(first) / MIB:.0f} MiB at first, {max(last) / MIB:.0f} in the end"
    return None


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="array tasks without end; fails if memory grows")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="how many (default a million)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two lines (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> int:
    """Run the tasks, print memory, and judge it."""
    asked = parse()
    # So many samples that the quarters have enough of them, however short the run is.
    step = max(1, asked.tasks // 2_000)
    samples: list[int] = []
    began = printed = time.monotonic()
    with plait.ProcessPoolExecutor(asked.workers, preload=["numpy"]) as pool:
        soak = Soak(pool, asked.seed)
        for number in range(1, asked.tasks + 1):
            soak.send(number)
            while len(soak.ahead) >= AHEAD:
                soak.receive()
            if number % KILL_EVERY == 0:
                soak.kill()
            if number % step == 0:
                samples.append(in_use([os.getpid(), *descendants(os.getpid())]))
            if time.monotonic() - printed >= asked.every:
                printed = time.monotonic()
                recent = samples[-50:] or [0]
                print(
                    f"{printed - began:7.0f} s  {number:>9,} tasks  "
                    f"{min(recent) / MIB:6.0f} to {max(recent) / MIB:.0f} MiB",
                    flush=True,
                )
        while soak.ahead:
            soak.receive()
    took = time.monotonic() - began
    ended = ", ".join(f"{count:,} {name}" for name, count in soak.ended.items())
    print(f"{ended} in {took:.0f} s; {asked.tasks / took:,.0f} tasks a second; seed {asked.seed}")
    warm = samples[len(samples) // 10 :]
    verdict = judge(warm)
    print(verdict or f"memory is flat, at {min(warm) / MIB:.0f} to {max(warm) / MIB:.0f} MiB")
    return 1 if verdict else 0


if __name__ == "__main__":
    sys.exit(main())
