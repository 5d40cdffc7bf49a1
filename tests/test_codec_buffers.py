"""Buffers that leave the pickle, and long bytes and text that are not copied into it."""

import array
import gc
import importlib.util
import io
import pickle
import sys
import threading

import numpy as np
import parcels as p
import plait
import pytest
from plait import _core

pytestmark = pytest.mark.once

codec = _core.codec
PICKLE = 1
THRESHOLD = 64 << 10


def sent(value):
    """The value's message: kind, bytes, buffers."""
    buffers = []
    return *codec.encode(value, buffers), buffers


def there_and_back(value):
    return codec.decode(*sent(value))


def address(memory):
    return np.frombuffer(memory, "u1").ctypes.data


# --- which leave


@pytest.mark.parametrize("size", [0, 1, 100, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 1_000_000])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("writable", [True, False])
def test_large_buffers_leave_the_pickle(size, order, writable):
    value = np.arange(size, dtype="u1").reshape(1 if size % 2 else 2, -1, order=order)
    value.flags.writeable = writable
    kind, data, buffers = sent({"value": value})
    assert [len(buffer) for buffer in buffers] == ([size] if size >= THRESHOLD else [])
    assert len(data) < THRESHOLD + 1000
    back = codec.decode(kind, data, buffers)["value"]
    assert p.difference(back, pickle.loads(pickle.dumps(value, 5))) is None
    if size >= THRESHOLD:
        assert np.shares_memory(back, np.frombuffer(buffers[0], "u1"))


def test_without_a_list_everything_stays():
    value = [np.arange(100_000), b"x" * 100_000]
    data = codec.encode(value)[1]
    assert len(data) > 900_000
    back = codec.decode(PICKLE, data)
    assert (back[0] == value[0]).all()
    assert back[1] == value[1]


def test_one_array_met_twice_leaves_once():
    value = np.arange(20_000.0)
    back = there_and_back([value, {"again": value}, value.T])
    assert back[0] is back[1]["again"]
    assert len(sent([value, value])[2]) == 1
    one, other = codec.decode_call(*codec.encode_call((value, [value]), None, buffers := []), buffers)[0]
    assert other[0] is one


@pytest.mark.parametrize("seed", range(150))
def test_what_arrives_is_what_pickle_makes(seed):
    expected = p.pickled(p.draw(seed))
    assert p.difference(there_and_back(p.draw(seed)), expected) is None
    call = (p.draw(seed), 1), {"key": p.draw(-seed)}
    buffers = []
    kind, data = codec.encode_call(*call, buffers)
    args, kwargs = codec.decode_call(kind, data, buffers)
    assert p.difference(args[0], expected) is None
    assert p.difference(kwargs["key"], p.pickled(p.draw(-seed))) is None
    buffers = []
    kind, data = codec.encode_chunk([p.draw(seed), 2], 0, buffers)
    assert p.difference(codec.decode_chunk(kind, data, buffers)[0], expected) is None
    buffers = []
    data = codec.encode_direct([].append, (p.draw(seed),), None, buffers)[1]
    assert p.difference(codec.decode_direct(data, buffers)[1][0], expected) is None


# --- what goes wrong


class Refuses:
    def __reduce__(self):
        raise TypeError("not me")


def test_what_cannot_be_sent_is_let_go():
    value = bytearray(100_000)
    for bad in (Refuses(), [lambda: value, Refuses()], threading.Lock()):
        buffers = []
        with pytest.raises(plait.NotPicklable):
            codec.encode([pickle.PickleBuffer(value), b"x" * 100_000, bad], buffers)
        assert buffers == []
        del bad
        gc.collect()  # the traceback
        value.append(1)  # raises BufferError while somebody holds its memory


def test_what_was_sent_is_let_go():
    value = bytearray(100_000)
    for thing in (value, pickle.PickleBuffer(value), memoryview(value), [np.frombuffer(value, "u1")]):
        codec.lengths(thing)
        if isinstance(thing, memoryview | pickle.PickleBuffer):
            thing.release()
        del thing
        gc.collect()
    value.append(1)


def test_missing_buffers_are_an_error():
    kind, data, buffers = sent([np.arange(100_000), np.arange(100_001)])
    for some in (None, [], buffers[:1]):
        with pytest.raises(plait.NotPicklable):
            codec.decode(kind, data, some)
    with pytest.raises(plait.NotPicklable):
        codec.decode(kind, data, [buffers[1], buffers[0]])
    with pytest.raises(plait.NotPicklable):
        codec.decode(kind, data, [None, None])


class Releases:
    """Hands its buffer over and takes it back at once."""

    def __init__(self):
        self.buffer = pickle.PickleBuffer(bytearray(b"kept" * 50_000))

    def __reduce__(self):
        return Second, (self.buffer, Snatches(self.buffer))


class Snatches:
    def __init__(self, buffer):
        self.buffer = buffer

    def __reduce__(self):
        self.buffer.release()
        return str, ()


def Second(first, second):
    return bytes(first)


def test_a_buffer_may_be_released_while_it_is_pickled():
    assert there_and_back([Releases()])[0] == b"kept" * 50_000


# --- pickling within pickling


class Nests:
    def __init__(self, inner):
        self.inner = inner

    def __reduce__(self):
        buffers = []
        kind, data = codec.encode(self.inner, buffers)
        return rebuilt, (kind, data, [bytes(buffer) for buffer in buffers])


def rebuilt(kind, data, buffers):
    return codec.decode(kind, data, buffers)


class NestsAndFails:
    def __reduce__(self):
        codec.encode(np.arange(50_000), [])
        with pytest.raises(plait.NotPicklable):
            codec.encode([np.arange(50_000), Refuses()], [])
        return np.arange, (3,)


def test_a_pickling_within_another_has_buffers_of_its_own():
    first, inner, last = np.arange(20_000), np.arange(30_000), np.arange(40_000)
    kind, data, buffers = sent([first, Nests([inner, NestsAndFails()]), last])
    assert [len(buffer) for buffer in buffers] == [160_000, 320_000]
    back = codec.decode(kind, data, buffers)
    assert (back[0] == first).all()
    assert (back[1][0] == inner).all()
    assert (back[2] == last).all()


# --- cloudpickle


def test_by_value_too():
    value = np.arange(100_000)
    kind, data, buffers = sent([lambda: value.sum(), value])
    assert [len(buffer) for buffer in buffers] == [800_000]
    assert len(data) < 10_000
    function, back = codec.decode(kind, data, buffers)
    assert function() == value.sum()
    assert (back == value).all()


def test_of_pickles_made_anew_the_last_counts(tmp_path):
    """That a module is not found by imports is seen in a first pickle; the next has what it refers to."""
    path = tmp_path / "unfound_with_buffers.py"
    path.write_text("import numpy as np\ntable = np.arange(50_000)\ndef total(): return table.sum()\n")
    spec = importlib.util.spec_from_file_location("unfound_with_buffers", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        other = np.arange(60_000)
        kind, data, buffers = sent([other, module.total, lambda: other])
        assert sorted(len(buffer) for buffer in buffers) == [400_000, 480_000]
        back = codec.decode(kind, data, buffers)
        assert (back[0] == other).all()
        assert back[1]() == module.table.sum()
    finally:
        del sys.modules[spec.name]


# --- long bytes and text


LONG = {
    "bytes": b"x" * 300_000,
    "edge": b"x" * THRESHOLD,
    "text": "grüße " * 50_000,
    "ascii": "x" * 300_000,
    "bytearray": bytearray(b"y" * 300_000),
    "listed": [b"a" * 70_000, bytearray(b"b" * 70_000), "c" * 70_000, b"d"],
    "twice": [b"x" * 100_000] * 3,
    "within": {"key": [("value", {"inner": b"q" * 200_000})], "more": ["s"] * 30_000},
    "among many": [b"z" * 90_000, [(n, str(n), [n]) for n in range(40_000)], b"z" * 90_001],
    "with objects": [b"z" * 90_000, {1, 2}, p.Pair(1, 2), b"u" * 90_000, p.Parcel("a", b"v" * 90_000)],
    "like a frame": [b"\x95" + bytes(70_000), b"\x8e" + (90_000).to_bytes(8, "little"), b"\x8e" * 90_000],
}


@pytest.mark.parametrize("name", LONG)
def test_long_stretches_make_the_same_pickle(name):
    value = LONG[name]
    kind, data, buffers = sent(value)
    assert (kind, buffers) == (PICKLE, [])
    assert data == pickle.dumps(value, 5)
    assert codec.decode(kind, data) == value
    parts, _ = codec.lengths(value)
    assert sum(parts) == len(data)
    assert len(parts) > 1


@pytest.mark.parametrize("make", [lambda: bytearray(b"y" * 300_000), lambda: np.arange(50_000)])
def test_long_stretches_and_buffers_in_one_message(make):
    value = {"array": make(), "bytes": b"x" * 200_000, "last": make()}
    kind, data, buffers = sent(value)
    back = codec.decode(kind, data, buffers)
    assert p.difference(back, value) is None


def test_names_beside_long_stretches_are_looked_at():
    class Local:
        pass

    hidden = p.Pair(b"x" * 100_000, Local)
    back = there_and_back([b"\x93" * 100_000, "\x94\x93" * 100_000, hidden])
    assert back[2].left == hidden.left
    assert back[2].right.__name__ == "Local"
    assert back[:2] == [b"\x93" * 100_000, "\x94\x93" * 100_000]


# --- memoryviews


VIEWS = {
    "bytes": lambda: memoryview(b"abc" * 50_000),
    "short": lambda: memoryview(b"abc"),
    "empty": lambda: memoryview(b""),
    "bytearray": lambda: memoryview(bytearray(b"abc" * 50_000)),
    "part": lambda: memoryview(bytearray(b"abc" * 50_000))[10:-10],
    "steps": lambda: memoryview(bytearray(b"abc" * 50_000))[::3],
    "backwards": lambda: memoryview(b"abc" * 50_000)[::-1],
    "doubles": lambda: memoryview(array.array("d", range(20_000))),
    "cast": lambda: memoryview(bytearray(80_000)).cast("i", (100, 200)),
    "array": lambda: memoryview(np.arange(30_000).reshape(3, 100, 100)),
    "fortran": lambda: memoryview(np.asfortranarray(np.arange(30_000).reshape(3, 100, 100))),
    "short fortran": lambda: memoryview(np.asfortranarray(np.arange(12.0).reshape(3, 4))),
    "strided": lambda: memoryview(np.arange(30_000).reshape(100, 300)[::2, ::3]),
    "no axes": lambda: memoryview(np.array(7.5)),
    "one item": lambda: memoryview(np.arange(1).reshape(1, 1, 1)),
    "no items": lambda: memoryview(np.empty((3, 0, 2))),
    "records": lambda: memoryview(np.zeros(9_000, np.dtype([("a", "i4"), ("b", "f8")]))),
    "complex": lambda: memoryview(np.arange(9_000) * 1j),
    "text": lambda: memoryview(np.array(["abc", "de"] * 9_000)),
    "big-endian": lambda: memoryview(np.arange(9_000, dtype=">i8")),
    "read-only": lambda: memoryview(np.arange(30_000)).toreadonly(),
}


def facts(view):
    return view.format, view.itemsize, view.shape, view.readonly, view.nbytes, view.tobytes()


@pytest.mark.parametrize("name", VIEWS)
def test_memoryviews_arrive_as_what_they_were(name):
    view = VIEWS[name]()
    for back in (there_and_back(view), there_and_back({"deep": [(view,)]})["deep"][0][0]):
        assert type(back) is memoryview
        assert facts(back) == facts(view)
        assert (back.c_contiguous, back.f_contiguous) == (
            (view.c_contiguous, view.f_contiguous) if view.contiguous else (True, view.ndim == 1)
        )
        assert np.asarray(back).tobytes() == view.tobytes()
        if not view.readonly and view.nbytes:
            np.asarray(back).flat[0] = np.asarray(view).flat[-1]
            assert facts(there_and_back(back)) == facts(back)
    assert facts(codec.decode(*codec.encode(view))) == facts(view)


def test_exporting_what_a_memoryview_is_made_of():
    back = there_and_back(VIEWS["fortran"]())
    origin = back.obj
    assert memoryview(origin) == back
    assert np.asarray(origin).flags.f_contiguous
    assert pickle.PickleBuffer(origin).raw().nbytes == back.nbytes
    with pytest.raises(BufferError, match="another order"):
        io.BytesIO().write(origin)
    constant = there_and_back(VIEWS["bytes"]()).obj
    with pytest.raises((BufferError, TypeError), match=r"read-only|read-write"):
        io.BytesIO(b"abc").readinto(constant)


def test_a_released_memoryview_is_refused():
    view = memoryview(b"abc")
    view.release()
    with pytest.raises(plait.NotPicklable, match="released"):
        codec.encode(view, [])


@pytest.mark.parametrize(
    "shape",
    [
        ("d", 1, (8,)),
        ("d", 8, (2,)),
        ("B", 1, (2**40, 2**40)),
        ("B", 0, (8,)),
        ("a\0b", 1, (8,)),
        ("i", 8, ()),
    ],
)
def test_a_view_that_does_not_fit_is_refused(shape):
    with pytest.raises(ValueError, match="do not fit"):
        _core.memory_view(bytes(8), *shape, False)
