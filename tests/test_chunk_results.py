"""The results of a chunk, written one by one: each arrives as it was when its item ended."""

import collections
import datetime
import decimal
import enum
import functools
import uuid
from dataclasses import dataclass

import plait
import pytest
import workloads as w

pytestmark = pytest.mark.once

# Every worker loads this file, and what it loads takes longer than most tests.
PRELOAD = ["pytest"]

COUNT = 40


class Colour(enum.Enum):
    RED = 0
    GREEN = 1


class Outer:
    @dataclass
    class Inner:
        n: int


@dataclass
class Pair:
    left: object
    right: object


Named = collections.namedtuple("Named", "first second")


class Slotted:
    __slots__ = ("n",)

    def __init__(self, n):
        self.n = n

    def __eq__(self, other):
        return type(other) is Slotted and other.n == self.n

    __hash__ = None


class Reduced:
    """Pickles as a call of a function."""

    def __init__(self, n):
        self.n = n

    def __reduce__(self):
        return reduced, (self.n,)

    def __eq__(self, other):
        return type(other) is Reduced and other.n == self.n

    __hash__ = None


def reduced(n):
    return Reduced(n)


MAKE = {
    "enum": lambda n: [Colour(n % 2)],
    "a class within a class": lambda n: Outer.Inner(n),
    "namedtuple": lambda n: Named(n, "b"),
    "slots": lambda n: Slotted(n),
    "reduced": lambda n: Reduced(n),
    "decimal": lambda n: decimal.Decimal(n) / 8,
    "uuid": lambda n: uuid.UUID(int=n),
    "moments": lambda n: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(n),
    "complex": lambda n: complex(n, -n),
    "bytearray": lambda n: bytearray(range(n)),
    "a class": lambda n: Pair,
    "a function": lambda n: reduced,
    "long": lambda n: Pair("x" * 70_000, b"y" * n),
    "long texts": lambda n: "x" * 70_000 + str(n),
    "long bytearray": lambda n: Pair(bytearray(70_000), n),
    "the byte that marks a name": lambda n: Pair(0x93, "\x93" * n),
    "ordered": lambda n: collections.OrderedDict({n: Pair(n, n)}),
    "counter": lambda n: collections.Counter("abc" * n),
    "range": lambda n: range(n),
    "not a number of 64 bits": lambda n: 1 << (n * 20),
    "nothing": lambda n: None,
}
KINDS = list(MAKE)


def make(n, kind):
    kinds = KINDS if kind == "in turn" else [kind]
    return MAKE[kinds[n % len(kinds)]](n)


@pytest.mark.parametrize("chunksize", [1, 3, COUNT])
@pytest.mark.parametrize("kind", [*KINDS, "in turn"])
def test_each_kind_of_result(processes, kind, chunksize):
    results = list(processes.map(functools.partial(make, kind=kind), range(COUNT), chunksize=chunksize))
    expected = [make(n, kind) for n in range(COUNT)]
    assert results == expected
    assert [type(result) for result in results] == [type(result) for result in expected]


MANY = [type(f"Many{n}", (Slotted,), {"__module__": __name__}) for n in range(100)]
globals().update({cls.__name__: cls for cls in MANY})


def of_many(n):
    return Pair(n, MANY[n % len(MANY)])


def test_more_classes_than_are_worth_keeping(processes):
    results = list(processes.map(of_many, range(300), chunksize=300))
    assert results == [of_many(n) for n in range(300)]


# --- what two results share


_state = Pair([], {})


def change(n):
    _state.left.append(n)
    _state.right[n] = Named
    return _state


def test_a_result_is_what_it_was_when_its_item_ended(processes):
    results = list(processes.map(change, range(COUNT), chunksize=COUNT))
    assert [pair.left for pair in results] == [list(range(n + 1)) for n in range(COUNT)]
    assert [list(pair.right) for pair in results] == [list(range(n + 1)) for n in range(COUNT)]
    assert len({id(pair) for pair in results}) == COUNT


def twice(n):
    inner = Pair(n, [n])
    return Pair(inner, [inner, inner.right])


def test_what_is_one_object_within_a_result_stays_one(processes):
    for result in processes.map(twice, range(COUNT), chunksize=COUNT):
        assert result.left is result.right[0]
        assert result.left.right is result.right[1]


# --- by name, by value, and changing classes


def test_classes_that_go_by_value(processes):
    @dataclass
    class Local:
        n: int

    def call(n):
        # By name, by value, and neither.
        return [Pair(n, n), Local(n), {n}][n % 3]

    results = list(processes.map(call, range(COUNT), chunksize=COUNT))
    expected = [(type(call(n)).__name__, getattr(call(n), "n", None)) for n in range(COUNT)]
    assert [(type(result).__name__, getattr(result, "n", None)) for result in results] == expected


def raised(n):
    return Pair(n, w.OddError(n, "odd") if n % 5 == 0 else n)


def test_exceptions_within_results(processes):
    results = list(processes.map(raised, range(COUNT), chunksize=COUNT))
    odd = [pair.right for pair in results if pair.left % 5 == 0]
    assert [(type(error), error.code) for error in odd] == [(w.OddError, n) for n in range(0, COUNT, 5)]
    assert [pair.right for pair in results if pair.left % 5] == [n for n in range(COUNT) if n % 5]


# --- what goes wrong after many that went well


def spoil(n, at, how):
    return how() if n == at else Pair(n, {n})


@pytest.mark.parametrize("how", [w.give_lock, w.give_generator, w.give_exploding])
@pytest.mark.parametrize("at", [0, 1, 4, 5, 6, COUNT - 1])
def test_one_that_cannot_travel(processes, how, at):
    results = processes.map(functools.partial(spoil, at=at, how=how), range(COUNT), chunksize=COUNT)
    assert [next(results) for _ in range(at)] == [Pair(n, {n}) for n in range(at)]
    with pytest.raises(plait.NotPicklable, match="result"):
        next(results)
    assert list(results) == []


class Unreadable(Pair):
    """Of a class that is read well otherwise."""

    def __setstate__(self, state):
        if state["right"] == "unreadable":
            raise LookupError("cannot be read")
        self.__dict__.update(state)


def unreadable(n):
    return Unreadable(n, "unreadable" if n == 30 else "readable")


def test_one_that_cannot_be_read_among_others_of_its_class(processes):
    results = processes.map(unreadable, range(COUNT), chunksize=COUNT)
    assert [next(results).left for _ in range(30)] == list(range(30))
    with pytest.raises(plait.NotPicklable, match=r"LookupError: cannot be read.*Unreadable"):
        next(results)
    assert list(results) == []


class Interrupted(Pair):
    def __reduce__(self):
        if self.left == 30:
            raise MemoryError("none left")
        return Interrupted, (self.left, self.right)


def interrupted(n):
    return Interrupted(n, n)


def test_memory_that_runs_out_while_pickling(processes):
    results = processes.map(interrupted, range(COUNT), chunksize=COUNT)
    assert [next(results).left for _ in range(30)] == list(range(30))
    with pytest.raises(MemoryError, match="none left"):
        next(results)
