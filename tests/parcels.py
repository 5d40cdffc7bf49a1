"""What the tests of buffers send: values drawn by lot, how two of them are compared, and what workers do with
them.

A draw depends on its seed alone, so that a worker can draw the very value that it should have got. The sizes
crowd around those where the way of a buffer changes: nothing at all, a page, 64 KiB, a few megabytes.
"""

import array
import collections
import dataclasses
import functools
import io
import os
import pickle
import random
import struct

import numpy as np
import workloads as w

SIZES = (0, 1, 7, 100, 4095, 4096, 4097, 65_535, 65_536, 65_537, 200_000, 1_000_000, 3_000_000)
WEIGHTS = (2, 2, 2, 4, 1, 2, 1, 1, 2, 2, 3, 2, 1)
DTYPES = ("f8", "f4", "i8", "u1", "i2", ">i4", "c16", "?", "M8[ns]", "m8[s]", "U3", "S5", "V6", "f2")
RECORD = np.dtype([("id", "i4"), ("where", "f8", (2,)), ("name", "U4"), ("when", "M8[D]")], align=True)


class Tagged(np.ndarray):
    """An array of a class of one's own, with an attribute beside its data."""

    tag = None

    def __array_finalize__(self, other):
        self.tag = getattr(other, "tag", None)

    def __reduce__(self):
        make, args, state = super().__reduce__()
        return make, args, (state, self.tag)

    def __setstate__(self, state):
        super().__setstate__(state[0])
        self.tag = state[1]


class Plain(np.ndarray):
    """An array of a class that adds nothing."""


@dataclasses.dataclass
class Parcel:
    """A user's own type with buffers in it."""

    label: str
    inside: object


Pair = collections.namedtuple("Pair", "left right")


# --- drawing


def draw(seed):
    """Gives the value of a seed: containers with buffers and plain values in them, some megabytes at most."""
    lot = random.Random(str(seed))
    return Drawer(lot).value(depth=lot.choice((0, 1, 2, 3)))


class Drawer:
    """One draw, which may put the same object into several places."""

    def __init__(self, lot):
        self.lot = lot
        self.seen = []
        self.left = 6_000_000

    def value(self, depth):
        lot = self.lot
        if self.seen and lot.random() < 0.1:
            return lot.choice(self.seen)
        if depth == 0:
            made = lot.choice(LEAVES)(self)
        else:
            made = lot.choice(NESTS)(self, [self.value(depth - 1) for _ in range(lot.choice((0, 1, 2, 5)))])
        self.seen.append(made)
        return made

    def size(self):
        size = self.lot.choices(SIZES, WEIGHTS)[0]
        if size > self.left:
            return 0
        self.left -= size
        return size

    def bytes(self):
        """Bytes that repeat after an odd distance, so that what arrives shifted is seen."""
        size = self.size()
        pattern = self.lot.randbytes(min(size, 251))
        return (pattern * (size // 251 + 1))[:size]

    def numbers(self):
        lot = self.lot
        dtype = np.dtype(lot.choice(DTYPES))
        if dtype.kind == "U":
            return np.array([f"{n % 997:03}" for n in range(self.size() // dtype.itemsize)], dtype)
        data = self.bytes()
        count = len(data) // dtype.itemsize
        flat = np.frombuffer(bytearray(data[: count * dtype.itemsize]), dtype if dtype.kind != "?" else "u1")
        return flat % 2 == 1 if dtype.kind == "?" else flat

    def array(self):
        flat = self.numbers()
        shaped = flat
        if len(flat) % 2 == 0 and self.lot.random() < 0.5:
            shaped = flat.reshape(2, -1)
        return self.lot.choice(SHAPES)(shaped)


def records(drawer):
    made = np.zeros(drawer.size() // RECORD.itemsize, RECORD)
    made["id"] = np.arange(len(made))
    made["where"] = 0.5
    made["name"] = "abcd"
    made["when"] = "2026-02-03"
    return made


def masked(drawer):
    data = np.arange(drawer.size() // 9, dtype="f8")
    return np.ma.masked_array(data, mask=data % 3 == 0, fill_value=-1.0)


def objects(drawer):
    made = np.empty(3, object)
    made[:] = ["text", drawer.array(), {"more": drawer.bytes()}]
    return made


def tagged(drawer):
    made = drawer.array().view(Tagged)
    made.tag = ("tag", drawer.lot.random())
    return made


def frozen(drawer):
    made = drawer.array().copy()
    made.flags.writeable = False
    return made


SHAPES = (
    lambda made: made,
    lambda made: made.T,
    lambda made: np.asfortranarray(made),
    lambda made: made[..., ::2],
    lambda made: made[..., ::-1],
    lambda made: made[..., 3:-3],
    lambda made: made[..., None, :],
    lambda made: made[..., :0],
    lambda made: np.broadcast_to(made, (3, *made.shape))[:, :1] if made.ndim == 1 else made.copy(),
)
LEAVES = (
    *[Drawer.array] * 6,
    Drawer.bytes,
    lambda drawer: bytearray(drawer.bytes()),
    lambda drawer: memoryview(drawer.bytes()),
    lambda drawer: memoryview(bytearray(drawer.bytes())),
    lambda drawer: array.array("d", range(drawer.size() // 8)),
    lambda drawer: np.array(drawer.lot.random()),
    lambda drawer: np.float32(drawer.lot.random()),
    lambda drawer: drawer.array().view(Plain),
    records,
    masked,
    objects,
    tagged,
    frozen,
    lambda drawer: drawer.lot.randrange(1 << 70),
    lambda drawer: "text" * drawer.lot.choice((0, 1, 50_000)),
    lambda drawer: None,
)
NESTS = (
    lambda drawer, inner: inner,
    lambda drawer, inner: tuple(inner),
    lambda drawer, inner: {f"key {n}": value for n, value in enumerate(inner)},
    lambda drawer, inner: {n: value for n, value in enumerate(inner)},
    lambda drawer, inner: Parcel("label", inner),
    lambda drawer, inner: Pair(inner, drawer.array()),
    lambda drawer, inner: [inner, inner],
    lambda drawer, inner: collections.deque(inner),
    lambda drawer, inner: frozenset({drawer.bytes(), "text"}),
    lambda drawer, inner: functools.partial(w.arguments, *inner),
)


# --- comparing


def difference(left, right, where="it"):
    """Says where two values differ, in type, content, shape, order or access; None where they do not."""
    if type(left) is not type(right):
        return f"{where}: {type(left).__name__}, not {type(right).__name__}"
    if isinstance(left, np.ndarray):
        return array_difference(left, right, where)
    if isinstance(left, (list, tuple, collections.deque)):
        if len(left) != len(right):
            return f"{where}: {len(left)} items, not {len(right)}"
        return first(difference(a, b, f"{where}[{n}]") for n, (a, b) in enumerate(zip(left, right)))
    if isinstance(left, dict):
        if list(left) != list(right):
            return f"{where}: other keys"
        return first(difference(left[key], right[key], f"{where}[{key!r}]") for key in left)
    if isinstance(left, (Parcel, functools.partial)):
        if isinstance(left, Parcel):
            return difference([left.label, left.inside], [right.label, right.inside], where)
        return difference([left.func, left.args], [right.func, right.args], where)
    if isinstance(left, memoryview):
        facts = [(m.format, m.shape, m.readonly, m.tobytes()) for m in (left, right)]
        return None if facts[0] == facts[1] else f"{where}: {brief(facts[0])}, not {brief(facts[1])}"
    if isinstance(left, float):
        return None if struct.pack("d", left) == struct.pack("d", right) else f"{where}: {left}, not {right}"
    return None if left == right else f"{where}: {brief(left)}, not {brief(right)}"


def array_difference(left, right, where):
    """The same of two arrays of one type."""
    if left.dtype != right.dtype and left.dtype.newbyteorder("=") == right.dtype:
        # What pickle copies, it turns into the order of bytes of this machine; what leaves it keeps its own.
        left = left.astype(right.dtype)
    for fact in ("dtype", "shape", "fill_value" if isinstance(left, np.ma.MaskedArray) else "ndim"):
        ours, theirs = getattr(left, fact), getattr(right, fact)
        if ours != theirs:
            return f"{where}.{fact}: {ours}, not {theirs}"
    for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE"):
        if left.flags[flag] != right.flags[flag]:
            return f"{where}.flags.{flag.lower()}: {left.flags[flag]}, not {right.flags[flag]}"
    if getattr(left, "tag", None) != getattr(right, "tag", None):
        return f"{where}.tag: {left.tag}, not {right.tag}"
    if isinstance(left, np.ma.MaskedArray):
        return difference([left.data, left.mask], [right.data, right.mask], where)
    if left.dtype.kind == "O":
        return difference(left.tolist(), right.tolist(), where)
    return None if left.tobytes() == right.tobytes() else f"{where}: other numbers"


def first(found):
    """The first of these that is not None."""
    return next((one for one in found if one is not None), None)


def brief(value):
    """A value in few letters."""
    return repr(value)[:60]


def pickled(value):
    """The value as pickle makes it: what comes out of a worker must be the same, with the same access.

    A memoryview, which pickle refuses, goes as the buffer it is and is one again.
    """

    class Pickler(pickle.Pickler):
        def reducer_override(self, one):
            if type(one) is memoryview:
                return memoryview, (pickle.PickleBuffer(one),)
            return NotImplemented

    file = io.BytesIO()
    Pickler(file, 5).dump(value)
    return pickle.loads(file.getvalue())


# --- what workers do


def complaint(value, seed):
    """What is wrong with the argument that was drawn from this seed."""
    return difference(value, pickled(draw(seed)))


def complaint_in_place(value, seed):
    """The same on backends that hand over the object itself."""
    return difference(value, draw(seed))


def overwrite(value):
    """Writes to all of an array or a buffer; gives what its first byte was, and is."""
    view = memoryview(value).cast("B")
    before = view[0]
    view[:] = b"\xee" * len(view)
    return before, view[0]


def filled(n, byte=1):
    """An array of so many bytes, each the same."""
    return np.full(n, byte, "u1")


def sealed(n, byte=1):
    """The same as bytes."""
    return bytes([byte]) * n


def is_filled(value, byte):
    """Whether each byte of an array is this one."""
    return bool((value == byte).all())


_kept = {}


def keep(name, value):
    """Keeps something in this worker for later tasks."""
    _kept[name] = value
    return os.getpid()


def kept(name):
    """Gives what was kept."""
    return _kept[name]


def kept_is_filled(name, byte):
    """Whether each byte of the array kept here is this one."""
    return is_filled(_kept[name], byte)


def forget():
    """Keeps nothing any more."""
    _kept.clear()


def are_one(left, right):
    """Whether two arguments are one object."""
    return left is right


class KillsOnLoading:
    """Kills the process that unpickles it."""

    def __reduce__(self):
        return w.kill_self, ()


class KillsOnPickling:
    """Kills the process that pickles it."""

    def __reduce__(self):
        w.kill_self()


class FailsOnLoading:
    """Raises where it is unpickled."""

    def __reduce__(self):
        return w.fail, ("will not load",)


def large_and(make, n, last):
    """Something large and an instance of this class, in one result."""
    return make(n), last()
