"""What is kept of buffers to see whether they were written to: all of small ones, a sample of large ones.

Gives plain values, which are compared with those of another time. NumPy and pandas are never imported: who
has an array has them. Memory that plait shares between processes is left out, since what is written there is
seen by all.
"""

import sys
from math import prod
from typing import Any

from plait import _core
from plait._state.safe import dict_of, member, module_of, mro_of

# As many bytes are kept whole; of more, the two ends and a spread between.
_WHOLE = 128 << 10
_END = 2048
_SPREAD = 1024
# Of a table no more columns, or blocks of them, are kept.
_COLUMNS = 16

Facts = tuple[Any, ...]


def of_bytes(data: bytearray) -> Facts:
    """What is kept of a bytearray."""
    size = bytearray.__len__(data)
    read = bytearray.__getitem__
    if size <= _WHOLE:
        return size, bytes(read(data, slice(None)))
    spread = slice(None, None, size // _SPREAD)
    return size, *(bytes(read(data, part)) for part in (slice(_END), slice(-_END, None), spread))


def of_array(data: Any) -> Facts:
    """The same of an `array.array`."""
    base: Any = next(cls for cls in mro_of(type(data)) if module_of(cls) == "array")
    size = base.__len__(data)
    if size * member(base, "itemsize", data) <= _WHOLE:
        return size, base.tobytes(data)
    spread = slice(None, None, size // _SPREAD)
    parts = (base.__getitem__(data, part) for part in (slice(_END), slice(-_END, None), spread))
    return size, *(base.tobytes(part) for part in parts)


def of_ndarray(data: Any) -> Facts | None:
    """The same of a NumPy array; None where nobody can change it, or all would see it."""
    numpy = sys.modules["numpy"]
    ndarray = numpy.ndarray
    # As a plain array: what a subclass does when it is sliced is the user's code.
    plain = ndarray.view(data, ndarray)
    if not plain.flags.writeable or _is_shared(plain):
        return None
    shape = plain.shape
    if plain.nbytes <= _WHOLE:
        return shape, plain.strides, plain.tobytes()
    axes = len(shape)
    # The corners, and the same spread along each axis.
    side = max(1, int(_END ** (1 / axes)))
    step = max(1, int((prod(shape) / _SPREAD) ** (1 / axes)))
    parts = [plain[(part,) * axes] for part in (slice(side), slice(-side, None), slice(None, None, step))]
    if plain.flags.forc:
        # As it lies in memory: whole rows, or columns.
        line = plain.ravel("K")
        parts += [line[:_END], line[-_END:], line[:: max(1, line.size // _SPREAD)]]
    return shape, plain.strides, *(part.tobytes() for part in parts)


def _is_shared(plain: Any) -> bool:
    if not plain.flags.forc:
        plain = plain.base if type(plain.base) is type(plain) and plain.base.flags.forc else plain
    if not plain.flags.forc or not plain.nbytes:
        return False
    return bool(_core.is_shared(plain.__array_interface__["data"][0], plain.nbytes))


def of_view(data: memoryview) -> Facts | None:
    """The same of a memoryview; None where nobody can change it, or all would see it."""
    try:
        if data.readonly or not data.c_contiguous or not data.nbytes:
            return None
    except ValueError:
        # Released.
        return None
    if module_of(type(data.obj)).partition(".")[0] == "plait":
        return None
    with data.cast("B") as line:
        if len(line) <= _WHOLE:
            return len(line), line.tobytes()
        return (
            len(line),
            line[:_END].tobytes(),
            line[-_END:].tobytes(),
            line[:: len(line) // _SPREAD].tobytes(),
        )


def of_frame(data: Any) -> Facts:
    """The same of a pandas object: its shape, and its columns' data as far as they lie where they lay.

    How columns lie together is pandas' business, and may change when they are read.
    """
    manager = (dict_of(data) or {})["_mgr"]
    blocks: list[Any] = []
    for values in list(manager.arrays)[:_COLUMNS]:
        home = module_of(type(values)).partition(".")[0]
        # Of the columns that keep something else, such as text in Arrow's memory, nothing is known.
        plain = values if home == "numpy" else getattr(values, "_ndarray", None) if home == "pandas" else None
        blocks.append((id(values), None if plain is None else of_ndarray(plain)))
    return tuple(len(axis) for axis in manager.axes), tuple(blocks)


def frame_changed(before: Facts, after: Facts) -> bool:
    """Whether the facts of a pandas object tell of a change."""
    (shape, blocks), (shape_now, blocks_now) = before, after
    if shape != shape_now:
        return True
    if [place for place, _ in blocks] != [place for place, _ in blocks_now]:
        return False
    return bool(blocks != blocks_now)
