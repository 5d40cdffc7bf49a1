"""The look at the names in a pickle, which skips what holds none."""

import pickle
import pickletools
import random
import sys

import numpy as np
import parcels as p
import pytest
from plait import _core

codec = _core.codec


def names_in(data):
    """The same by pickletools, which is slow and sure."""
    strings, memo, found = [], {}, []
    for opcode, arg, _ in pickletools.genops(data):
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else None
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            strings.append(memo[arg])
        elif opcode.name == "STACK_GLOBAL":
            found.append(tuple(strings[-2:]))
            strings.append(None)
        elif opcode.name not in ("FRAME", "PROTO"):
            strings.append(arg if isinstance(arg, str) else None)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_names_in_pickles_of_many_frames(seed):
    lot = random.Random(seed)
    noise = [
        lambda: lot.choice([0x93, 0x9394, 0x94939493, 0x68009300, -0x6C6B6C6B, lot.randrange(1 << 40)]),
        lambda: lot.randbytes(lot.randrange(200)),
        lambda: lot.choice(["module", "__main__", "h\x93", "\x94\x93" * 40]),
        lambda: b"\x94\x93" * lot.choice([1, 40_000]),
        lambda: lot.random(),
        lambda: ("again", "and again"),
        lambda: [None, True],
    ]
    value = []
    for _ in range(lot.choice([3, 5_000, 40_000])):
        value.append(lot.choice(noise)())
        if len(value) > 20_000:
            del noise[3:4]
        if lot.random() < lot.choice([0, 0.001]):
            value.append(lot.choice([p.Pair, p.Parcel, names_in, np.dtype("f4"), codec_stranger()]))
    data = pickle.dumps(value, 5)
    expected = [name for name in names_in(data) if name[0] == "made_up_module"]
    assert codec.strangers(data) == expected


def codec_stranger():
    """A function that pickles by the name of a module that no worker can import."""
    return made_up.function


class made_up:
    def function():
        pass


made_up.function.__module__ = "made_up_module"
made_up.function.__qualname__ = "function"
sys.modules.setdefault("made_up_module", made_up)


@pytest.mark.parametrize("before", [[], ["made_up_module"], ["function", "made_up_module"]])
def test_names_at_the_edge_of_a_frame(before):
    """The frame ends before the module's name, between the names, and after them."""
    edges = set()
    for size in range(5_400, 5_560):
        value = [*before, b"x" * 60_000, b"x" * size, codec_stranger(), b"y" * 100]
        pickled = pickle.dumps(value, 5)
        edges.add(pickled.index(b"\x95", 60_000) if b"\x95" in pickled[60_000:] else 0)
        assert codec.strangers(pickled) == [("made_up_module", "function")]
    assert len(edges) > 30
