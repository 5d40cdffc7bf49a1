"""Values, calls and chunks to bytes and back."""

import array
import collections
import datetime
import enum
import fractions
import gc
import io
import math
import pickle
import struct

import plait
import pytest
from plait import _core
from platforms import HAS_GIL, in_place

codec = _core.codec
NATIVE, PICKLE = 0, 1


def kind(value):
    return codec.encode(value)[0]


def there_and_back(value):
    return codec.decode(*codec.encode(value))


def same(left, right):
    """Equal, of the same types all through, and NaN equal to itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    return left == right


PLAIN = [
    None, True, False, 0, 1, -1, 255, 256, -129, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 2**63,
    -(2**63) - 1,
    2**64, 10**30, -(10**30), 2**511 - 1, -(2**511), 2**127, 2**128 - 1, -(2**127),
    0.0, -0.0, 1.5, math.inf, -math.inf, math.nan, 5e-324,
    "", "a", "grüße", "日本語", "\N{PILE OF POO}", "\0", "x" * 10_000, b"", b"\0\xff", b"y" * 10_000,
    (), (1,), ((),), (1, (2, (3,))), [], [1], [1, 2], [[]], [1, [2, "x"]], {}, {"a": 1}, {1: [2], (3,
    4): {"b": None}},
    [1, 2.5], [True, 1], [1, True], [1.0, 2], [1.0, 2.0], [1, 2**63], [1, 2**70], [None, None], ["a", "b"],
    [(1, 2), (3, 4)], {"nested": {"dict": [1, (2,)]}},
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=lambda value: repr(value)[:40])
def test_plain_values_are_native(value):
    in_place = HAS_GIL or not isinstance(value, (list, dict))
    assert kind(value) == (NATIVE if in_place else PICKLE)
    assert same(there_and_back(value), value)


@pytest.mark.parametrize("edge", [2**7, 2**15, 2**31, 2**63])
@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_lists_of_ints_take_the_width_they_need(edge, offset, sign):
    value = [0, sign * edge + offset, 1]
    assert same(there_and_back(value), value)


@in_place
def test_long_lists_of_numbers_stay_native():
    for value in ([*range(100_000)], [i / 7 for i in range(100_000)], [10**12 * i for i in range(20_000)]):
        assert kind(value) == NATIVE
        assert same(there_and_back(value), value)
    assert len(codec.encode([*range(100)])[1]) < 200


Point = collections.namedtuple("Point", "x y")


class Int(int):
    pass


class Text(str):
    pass


class Colour(enum.IntEnum):
    RED = 1


class Exact(dict):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Point(1, 2), Int(3), Text("t"), Colour.RED, Exact(a=1), [Int(3)], [1, Int(2)], [1.0,
        fractions.Fraction(1)],
        {"k": Text("v")}, {Text("k"): 1}, collections.OrderedDict(a=1), collections.Counter("aab"), 1j, {1},
        frozenset((1,)),
        bytearray(b"a"), range(3), datetime.date(2026, 1, 2), array.array("i", [1, 2]), 2**512, -(2**600),
        ...,
        "lone \ud800 surrogate", ["\udfff"], {"\ud800": 1}, "x" * 100_000, b"x" * 100_000, ["word"] * 100_000,
        [[[[[1]]]]], ((((("deep",),),),),),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_everything_else_is_pickled(value):
    assert kind(value) == PICKLE
    assert same(there_and_back(value), value)


def test_one_object_met_twice_stays_one():
    shared = [1]
    for value in ([shared, shared], (shared, shared), {"a": shared, "b": shared}, [shared, [shared]]):
        assert kind(value) == PICKLE
    left, right = there_and_back((shared, shared))
    assert left is right
    holder = ([],)
    left, right = there_and_back([holder, holder])
    assert left[0] is right[0]
    left, right = there_and_back([(1, holder), (2, holder)])
    assert left[1][0] is right[1][0]
    table = {}
    left, right = there_and_back((table, table))
    assert left is right


def test_recursive_values():
    value = []
    value.append(value)
    back = there_and_back(value)
    assert back[0] is back
    value = {}
    value["self"] = value
    back = there_and_back(value)
    assert back["self"] is back


def test_calls():
    shared = [1, 2]
    for args, kwargs in [
        ((), None), ((5,), None), ((1, "x", None), {"key": 2.5}), ((), {"a": (1, 2), "b": [3]}), ((shared,),
        {"more": shared}),
        ((datetime.date(2026, 1, 1),), None), ((1,), {"when": datetime.date(2026, 1, 1)}), (([1], {"a": 1}),
        None),
        (tuple(range(300)), None), (((1, 2), {"a": 1}), {}),
    ]:  # fmt: skip
        back_args, back_kwargs = codec.decode_call(*codec.encode_call(args, kwargs))
        assert same(back_args, args)
        assert back_kwargs == (kwargs or None)
    (left,), back = codec.decode_call(*codec.encode_call((shared,), {"more": shared}))
    assert left is back["more"]


def test_calls_that_carry_their_callable():
    function, args, kwargs = codec.decode_direct(codec.encode_direct([].append, (1,), {})[1])
    assert function(*args, **kwargs) is None
    function, args, kwargs = codec.decode_direct(codec.encode_direct(max, (1, 2))[1])
    assert (function, args, kwargs) == (max, (1, 2), None)


def test_chunks():
    shared = [1]
    for items in (
        [],
        [1],
        [1, 2, 3],
        [1.5, 2.5],
        [(1, 2), (3, 4)],
        ["a", None],
        [Point(1, 2), Int(3)],
        [[i] for i in range(100)],
    ):
        assert same(codec.decode_chunk(*codec.encode_chunk(items)), items)
    left, right = codec.decode_chunk(*codec.encode_chunk([shared, shared]))
    assert left is right
    assert codec.encode_chunk([(i, i * 1.5, "name") for i in range(1000)])[0] == NATIVE


@pytest.mark.parametrize(
    "value", [v for v in PLAIN if not isinstance(v, (str, bytes)) or len(v) < 100], ids=lambda v: repr(v)[:40]
)
def test_broken_native_bytes_raise(value):
    data = codec.encode(value)[1]
    for end in range(len(data)):
        with pytest.raises(ValueError, match="native codec"):
            codec.decode(NATIVE, data[:end])
    with pytest.raises(ValueError, match="native codec"):
        codec.decode(NATIVE, data + b"N")
    # Any byte replaced: some value or an exception, nothing worse.
    for index in range(len(data)):
        for byte in (0, 1, 0x7F, 0xFF, *b"NTFiLdsb([{1248D"):
            changed = data[:index] + bytes([byte]) + data[index + 1 :]
            try:
                codec.decode(NATIVE, changed)
            except (ValueError, TypeError):
                continue
    gc.collect()


def test_broken_calls_raise():
    data = codec.encode_call((1, "x"), {"k": [1, 2]})[1]
    whole = codec.encode_call((1, "x"))[1]
    for end in range(len(data)):
        if end != len(whole):
            with pytest.raises(ValueError, match="native codec"):
                codec.decode_call(NATIVE, data[:end])
    with pytest.raises(ValueError, match="no such kind"):
        codec.decode(9, b"")
    with pytest.raises(ValueError, match="native codec"):
        codec.decode(NATIVE, b"[\xff\xff\xff\xff")
    with pytest.raises(TypeError):
        codec.decode_call(PICKLE, pickle.dumps(5))


def test_large_pickles_are_read_in_place_and_let_go():
    value = {"rows": [Point(i, str(i)) for i in range(1000)], "blob": bytearray(b"z" * 100_000)}
    data = bytearray(codec.encode(value)[1])
    assert len(data) > 4096
    back = codec.decode(PICKLE, bytes(data))
    assert back == value
    with pytest.raises(plait.NotPicklable, match="EOFError"):
        codec.decode(PICKLE, b"\x80\x05" + b"N" * 10_000)


def test_a_pickle_with_many_globals_and_buffers_is_walked_right():
    values = [
        datetime.date(2026, 1, 1),
        b"\x93" * 300,
        bytearray(b"\x93"),
        "\x93" * 70_000,
        10**400,
        fractions.Fraction(1, 3),
    ] * 3
    values += [Point(i, None) for i in range(500)]
    data = pickle.dumps(values, 5)
    assert codec.strangers(data) == []
    assert same(there_and_back(values), values)
    main = data.replace(b"\x8c\x08datetime", b"\x8c\x08__main__")
    assert ("__main__", "date") in codec.strangers(main)


def test_numpy_like_reducers_with_buffers():
    value = io.BytesIO(b"abc")
    assert there_and_back(value).getvalue() == b"abc"
    assert there_and_back(pickle.PickleBuffer(b"abc")) == b"abc"
