"""Objects whose data lie in memory that all processes of the program see: `share`, `zeros`, `empty`, `full`.

Their memory is a `_core` buffer, which lives as long as anything refers to it, in whichever process; they
themselves are what they would be anywhere, a plain `numpy.ndarray` or whatever was shared. The codec finds
them by the address of their data; `_reducers` is for those that pickle would copy on the way. Imports numpy
only where an array is asked for.
"""

import io
import operator
import sys
from _pickle import PickleBuffer, loads
from math import prod

from plait import _core
from plait._interrupt import is_interrupt
from plait._reducers import offers_buffer, plain_pickler, rebuild, reduce_in_place, reduce_view

TYPE_CHECKING = False
if TYPE_CHECKING:
    import numpy

# Where the buffers of one shared object begin: on a cache line, as numpy and Arrow like it.
_ALIGNMENT = 64


def empty(shape, dtype=float, order="C") -> "numpy.ndarray":
    """Returns a new NumPy array whose memory all workers see, as `numpy.empty` would.

    Fresh memory is zeros, but that is `plait.zeros`'s promise, not this one's.
    """
    return _array("empty", shape, dtype, order)


def zeros(shape, dtype=float, order="C") -> "numpy.ndarray":
    """Returns a new NumPy array of zeros whose memory all workers see.

    It goes to a worker, and comes back from one, as a reference: what one process writes, the others see at
    once. Nothing is attached, closed or unlinked; the memory goes with the last array that refers to it.

    Examples:
        >>> import plait
        >>> table = plait.zeros((2, 3))
        >>> def fill(row, value):
        ...     table[row] = value
        >>> _ = list(plait.map(fill, [0, 1], [1.5, 2.5], backend="processes", workers=2))
        >>> table.tolist()
        [[1.5, 1.5, 1.5], [2.5, 2.5, 2.5]]
    """
    return _array("zeros", shape, dtype, order)


def full(shape, fill_value, dtype=None, order="C") -> "numpy.ndarray":
    """Returns a new NumPy array full of `fill_value`, whose memory all workers see."""
    numpy = _numpy("full")
    if dtype is None:
        dtype = numpy.asarray(fill_value).dtype
    array = _array("full", shape, dtype, order)
    numpy.copyto(array, fill_value, casting="unsafe")
    return array


def share(obj):
    """Returns the object with its large data in memory that all workers see; they are copied there once.

    Takes NumPy arrays, pandas and Arrow objects, and whatever else offers its buffers to pickle (protocol 5),
    alone or within other objects. `bytes`, `bytearray`, `array.array` and `mmap.mmap` become memoryviews,
    within lists, tuples and dicts, too. What lies in shared memory already is not copied again.

    Raises `TypeError` where there is nothing to share, and `plait.NotPicklable` where the object cannot be
    taken apart.

    Examples:
        >>> import plait
        >>> words = plait.share(b"a long text")
        >>> words
        <memory at 0x...>
        >>> list(plait.map(lambda at: bytes(words[at : at + 4]), [2, 7], backend="processes", workers=2))
        [b'long', b'text']
    """
    taken = _Taken()
    data = taken.apart(_lent(obj))
    if not taken.buffers:
        raise TypeError(
            f"nothing in this {type(obj).__name__!r} object can be shared: NumPy arrays, pandas and Arrow "
            "objects, bytes, bytearrays and memoryviews can be, alone or in containers; arrays of dtype "
            "object or of a subclass of ndarray cannot, so share what they are made of"
        )
    return loads(data, buffers=taken.placed())


def _numpy(name: str):
    try:
        import numpy
    except ImportError as error:
        raise ImportError(
            f"plait.{name} makes NumPy arrays, and NumPy is not there: pip install numpy", name="numpy"
        ) from error
    return numpy


def _array(name: str, shape, dtype, order) -> "numpy.ndarray":
    numpy = _numpy(name)
    # Numpy says what is wrong with a dtype or an order, and what a dtype with a shape of its own means.
    model = numpy.empty(0, dtype, order)
    if model.dtype.hasobject:
        raise TypeError(
            f"an array of dtype {model.dtype} holds references to Python objects, which mean nothing in "
            "another process: use a dtype of numbers, dates or strings of fixed length, or send the "
            "objects as arguments"
        )
    sizes = (*_sizes(shape), *model.shape[1:])
    nbytes = prod(sizes) * model.itemsize
    if nbytes <= 0 or nbytes > sys.maxsize or min(sizes, default=0) < 0:
        # Nothing to share, or not to be had: then this raises.
        make = getattr(numpy, "zeros" if name == "zeros" else "empty")
        return make(shape, dtype, order)
    return numpy.ndarray(sizes, model.dtype, _core.shared_buffer(nbytes), order=order)


def _sizes(shape) -> tuple:
    """The sizes along the axes; negative for what is no shape, so that numpy is left to refuse it."""
    try:
        return (operator.index(shape),)
    except TypeError:
        pass
    try:
        return tuple(map(operator.index, shape))
    except TypeError:
        return (-1,)


# --- taking an object apart, and putting it together in shared memory


class _Taken:
    """The buffers of an object that is being shared, in the order in which its pickle refers to them."""

    def __init__(self):
        # As many as the pickle refers to, some perhaps twice.
        self.buffers = []
        # What stands for an array that offers no buffer.
        self._strided = {}

    def apart(self, obj) -> bytes:
        """Pickles the object without its buffers."""
        try:
            return self._pickled(obj, plain_pickler)
        except MemoryError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
        # What a plain pickle cannot do: lambdas, classes inside functions.
        try:
            return self._pickled(obj, _pickler_by_value)
        except MemoryError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            from plait._culprit import explain

            raise explain(obj, "obj", error, 0) from error

    def placed(self) -> list:
        """Copies what is not in shared memory yet into one block; gives all buffers where they lie now."""
        places = {}
        end = 0
        for buffer in self.buffers:
            size = self._size(buffer)
            if id(buffer) not in places and size and not self._is_shared(buffer):
                start = -(-end // _ALIGNMENT) * _ALIGNMENT
                places[id(buffer)] = slice(start, start + size)
                end = start + size
        if end:
            block = memoryview(_core.shared_buffer(end)).cast("B")
        found = {}
        for buffer in self.buffers:
            key = id(buffer)
            if key in found:
                continue
            if key not in places:
                found[key] = buffer.raw()
                continue
            found[key] = room = block[places[key]]
            strided = self._strided.get(key)
            if strided is None:
                _copy(room, buffer.raw())
            else:
                array, strides = strided
                rebuild(room, array.dtype, array.shape, strides, 0, True)[...] = array
        return [found[id(buffer)] for buffer in self.buffers]

    def _pickled(self, obj, make) -> bytes:
        self.buffers.clear()
        self._strided.clear()
        with io.BytesIO() as file:
            pickler = make(file, self.buffers.append)
            pickler.dispatch_table[memoryview] = reduce_view
            numpy = sys.modules.get("numpy")
            if numpy is not None:
                pickler.dispatch_table[numpy.ndarray] = self._reduce_array
                pickler.dispatch_table[numpy.memmap] = lambda array: self._reduce_array(numpy.asarray(array))
            pickler.dump(obj)
            return file.getvalue()

    def _reduce_array(self, array):
        if offers_buffer(array) or array.dtype.hasobject or not array.size or not array.itemsize:
            # Of a subclass of ndarray, no buffer comes of this.
            return array.__reduce_ex__(5)
        in_place = reduce_in_place(array)
        if in_place is not None:
            return in_place
        strides = _dense_strides(array)
        stand_in = PickleBuffer(bytearray(1))
        self._strided[id(stand_in)] = array, strides
        return rebuild, (stand_in, array.dtype, array.shape, strides, 0, array.flags.writeable)

    def _size(self, buffer) -> int:
        strided = self._strided.get(id(buffer))
        return buffer.raw().nbytes if strided is None else strided[0].nbytes

    def _is_shared(self, buffer) -> bool:
        if id(buffer) in self._strided:
            return False
        raw = buffer.raw()
        return _core.is_shared(_core.address_of(raw), raw.nbytes)


def _pickler_by_value(file, take):
    from plait import _byvalue

    return _byvalue.Pickler(file, buffer_callback=take)


def _dense_strides(array) -> tuple:
    """The strides of the array's items without gaps, in the order in which they lie."""
    strides = [0] * array.ndim
    step = array.itemsize
    axes = list(reversed(range(array.ndim)))
    # Repeated along an axis, it lies in no order.
    if 0 not in array.strides:
        axes.sort(key=lambda axis: abs(array.strides[axis]))
    for axis in axes:
        strides[axis] = step
        step *= array.shape[axis]
    return tuple(strides)


def _copy(room: memoryview, raw: memoryview) -> None:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        room[:] = raw
    else:
        # Lets other threads run.
        numpy.copyto(numpy.frombuffer(room, "B"), numpy.frombuffer(raw, "B"))


def _lent(obj):
    """Gives the object with a buffer in place of each `bytes` and its like, which picklers would copy."""
    lenders = {bytes: PickleBuffer, bytearray: PickleBuffer}
    for module, name in (("array", "array"), ("mmap", "mmap")):
        if module in sys.modules:
            lenders[getattr(sys.modules[module], name)] = memoryview
    copies = {}
    found = []
    lent = _with_lent(obj, lenders, copies, found)
    # Else the original, in which one object may stand in several places that this walk does not see.
    return lent if found else obj


def _with_lent(part, lenders, copies, found):
    kind = type(part)
    if kind not in lenders and kind not in (list, tuple, dict):
        return part
    if id(part) in copies:
        return copies[id(part)]
    if kind in lenders:
        found.append(kind)
        copy = lenders[kind](part)
    elif kind is dict:
        copy = copies[id(part)] = {}
        copy.update((key, _with_lent(value, lenders, copies, found)) for key, value in part.items())
    elif kind is list:
        copy = copies[id(part)] = []
        copy.extend(_with_lent(item, lenders, copies, found) for item in part)
    else:
        copy = tuple(_with_lent(item, lenders, copies, found) for item in part)
        # Copied already, if it contains itself.
        copy = copies.get(id(part), copy)
    copies[id(part)] = copy
    return copy
