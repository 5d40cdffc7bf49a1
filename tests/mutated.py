"""Bytes that nobody wrote on purpose: mutations of valid ones, the same for the same seed.

`crates/plait-trace/src/fuzz.rs` does the same for what Rust tests alone. `PLAIT_FUZZ_SECONDS` and
`PLAIT_FUZZ_SEED` are those of `make fuzz`.
"""

import os
import random
import time
import zlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus_of_bytes"
RUNS = 20_000
NUMBERS = [0, 1, 0x7F, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]


def fuzz(target, seeds, reader):
    """Calls `reader` with what is kept for the target, and with mutations of that and of `seeds`.

    What makes it raise something else than it may is kept before the error goes on.
    """
    folder = CORPUS / target
    kept = [path.read_bytes() for path in sorted(folder.glob("*"))]
    seeds = [*seeds, *kept]
    seconds = os.environ.get("PLAIT_FUZZ_SECONDS")
    seed = int(os.environ.get("PLAIT_FUZZ_SEED", "1"))
    end = None if seconds is None else time.monotonic() + float(seconds)
    source = random.Random(seed)
    runs = 0
    while (runs < RUNS) if end is None else (time.monotonic() < end):
        data = seeds[runs] if runs < len(seeds) else mutation(source, seeds)
        try:
            reader(data)
        except BaseException:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"failed-{zlib.crc32(data):08x}").write_bytes(data)
            raise
        runs += 1
    print(f"fuzz {target}: {runs} inputs of {len(seeds)} seeds, begun with {seed}")


def mutation(source, seeds):
    """One of the seeds with a few changes."""
    data = bytearray(source.choice(seeds))
    for _ in range(source.randint(1, 6)):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(9)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << source.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = source.randrange(256)
        elif kind == 2:
            number = source.choice([*NUMBERS, len(data)])
            size = source.choice([1, 2, 4, 8])
            data[at : at + size] = (number % 2 ** (8 * size)).to_bytes(size, "little")
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + source.randrange(9)]
        elif kind == 5:
            data[at:at] = data[source.randrange(len(data) + 1) :][:33]
        elif kind == 6:
            data[at : at + 9] = bytes([source.choice([0, 0xFF])]) * 9
        elif kind == 7:
            other = source.choice(seeds)
            data[at:] = other[source.randrange(len(other) + 1) :]
        else:
            data[at:at] = source.randbytes(source.randrange(17))
    return bytes(data[: 1 << 16])
