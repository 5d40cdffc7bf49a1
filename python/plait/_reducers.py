"""Reducers for arrays that pickle would copy: views of shared memory stay views, large data leave the pickle.

Numpy gives pickle an array's own memory only where that has no gaps and is not of dates. For the rest these
reducers do it, in picklers with a `dispatch_table`. Imports numpy only for arrays that are there.
"""

import copyreg
import io
import sys
from _pickle import PickleBuffer, Pickler

from plait import _core

# Arrays that pickle would copy leave it from so many bytes on, as other buffers do.
_APART = 64 << 10


def reducers() -> dict:
    """Gives the reducers by which what lies in shared memory is pickled as a view of that memory.

    For a pickler's `dispatch_table`. Without them a slice with a step, or an array of dates, goes as a copy.
    What of such arrays is large and not shared leaves the pickle, too.
    """
    numpy = sys.modules.get("numpy")
    ndarray = getattr(numpy, "ndarray", None)
    if ndarray is not None and ndarray not in _REDUCERS:
        _REDUCERS[ndarray] = _reduce_array
    return _REDUCERS


def pickler(file, take) -> Pickler:
    """C's pickler, which pickles views of shared memory as such; `take` gets the buffers."""
    made = plain_pickler(file, take)
    made.dispatch_table.update(reducers())
    return made


def dumps(value, take) -> bytes:
    """Pickles by such a pickler."""
    with io.BytesIO() as file:
        pickler(file, take).dump(value)
        return file.getvalue()


def plain_pickler(file, take):
    pickler = Pickler(file, 5, buffer_callback=take)
    pickler.dispatch_table = dict(copyreg.dispatch_table)
    return pickler


def goes_apart(array) -> bool:
    """Whether it takes these reducers to keep a numpy array's data out of the pickle."""
    return array.nbytes >= _APART and not offers_buffer(array) and not array.dtype.hasobject


def _reduce_array(array):
    """Reduces an array that pickle would copy to the shared memory that it lies in, or to a buffer."""
    if offers_buffer(array):
        return array.__reduce_ex__(5)
    return reduce_in_place(array) or _reduce_apart(array) or array.__reduce_ex__(5)


def _reduce_apart(array):
    """Reduces a large array to its data without gaps; `None` for others."""
    import numpy

    if not goes_apart(array):
        return None
    if not array.flags.forc:
        axes = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        if array.transpose(axes).flags.c_contiguous:
            # Only in another order, which newer numpys know how to keep.
            return None
        array = numpy.ascontiguousarray(array)
    # In the order in which it lies; as bytes, since dates offer no buffer.
    data = array.ravel("K").view("u1")
    return rebuild_apart, (PickleBuffer(data), array.dtype, array.shape, array.strides)


def offers_buffer(array) -> bool:
    """Whether numpy gives pickle the array's own memory: not for steps between items, nor for dates."""
    if not array.flags.forc or array.dtype.kind in "mMO":
        return False
    if array.dtype.names is None:
        return True
    try:
        memoryview(array).release()
    except ValueError:
        # Of dates, among others.
        return False
    return True


def reduce_in_place(array):
    """Reduces an array to the shared memory that it lies in; `None` where it does not."""
    dtype = array.dtype
    if not array.size or not dtype.itemsize or dtype.hasobject:
        return None
    start = array.__array_interface__["data"][0]
    low, high = 0, dtype.itemsize
    for size, stride in zip(array.shape, array.strides):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    if not _core.is_shared(start + low, high - low):
        return None
    span = _core.buffer_span(start + low, high - low)
    if span is None:
        return None
    return rebuild, (PickleBuffer(span), dtype, array.shape, array.strides, -low, array.flags.writeable)


def rebuild(buffer, dtype, shape, strides, offset, writeable):
    import numpy

    array = numpy.ndarray(shape, dtype, buffer, offset, strides)
    if not writeable:
        array.flags.writeable = False
    return array


def rebuild_apart(buffer, dtype, shape, strides):
    """The array of such data: the receiver's own, and so to be written to, whatever it was made of."""
    if isinstance(buffer, memoryview):
        buffer = buffer.obj
    return rebuild(buffer, dtype, shape, strides, 0, True)


def reduce_view(view: memoryview):
    """Reduces a memoryview to the shared memory that it lies in; others as they go without any."""
    numpy = sys.modules.get("numpy")
    if not view.contiguous and numpy is not None:
        # Only numpy says where such a view lies.
        array = numpy.asarray(view)
        if reduce_in_place(array) is not None:
            return memoryview, (array,)
    return reduce_to_bytes(view)


def reduce_to_bytes(view: memoryview):
    """Reduces a memoryview to its memory, and what says how it lies there."""
    if view.contiguous:
        # Raw, because in the pickle no buffer may be in the order of Fortran.
        memory, fortran = PickleBuffer(view).raw(), not view.c_contiguous
    else:
        # In the order of its elements, as its own tobytes() has them.
        memory, fortran = view.tobytes(), False
        if not view.readonly:
            memory = bytearray(memory)
    shaped = view.format, view.itemsize, view.shape, fortran
    return _core.memory_view, (PickleBuffer(memory), *shaped)


_REDUCERS = {memoryview: reduce_view}
