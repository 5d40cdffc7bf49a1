"""Looking for shared state has bounds: of what is kept, of time, and that nothing of the user's is called."""

import functools
import types

import pytest
from looking import seen, strict  # noqa: F401
from plait import _state
from plait._state import facts


@pytest.mark.parametrize(
    "big, change",
    [
        (list(range(100_000)), lambda big: big.append(1)),
        (list(range(100_000)), lambda big: big.__setitem__(0, -1)),
        (list(range(100_000)), lambda big: big.__setitem__(-1, -1)),
        (list(range(100_000)), lambda big: big.reverse()),
        (list(range(100_000)), lambda big: big.pop()),
        (dict.fromkeys(range(100_000)), lambda big: big.update(more=1)),
        (dict.fromkeys(range(100_000)), lambda big: big.update({0: 1})),
        (dict.fromkeys(range(100_000)), lambda big: (big.pop(5), big.update({5: 1}))),
        (set(range(100_000)), lambda big: big.add(-1)),
        (set(range(100_000)), lambda big: big.discard(7)),
        (facts.deque(range(100_000)), lambda big: big.rotate(1)),
        (bytearray(1_000_000), lambda big: big.__setitem__(slice(0, 10), b"x" * 10)),
        (bytearray(1_000_000), lambda big: big.__setitem__(slice(400_000, 600_000), b"x" * 200_000)),
    ],
)
def test_large_containers_are_sampled(big, change):
    look = _state.look(big.__len__)
    assert look.changed() is None
    change(big)
    assert look.changed() is not None


def test_what_changes_back_is_not_seen():
    found, names = [1, 2], {"a", "b", "c"}

    def borrow(x):
        found.append(x)
        found.pop()
        names.add(x)
        names.discard(x)
        found[0] = 1

    assert seen(borrow, 1) is None


def test_equal_plain_values_are_no_change():
    table, big, text = {}, 10**15, "a long text"
    table.update(n=big, text=text, nan=float("nan"))

    def rewrite():
        table.update(n=int("1" + "0" * 15), text="".join(["a long", " text"]), nan=float("nan"))

    assert seen(rewrite) is None
    assert seen(lambda: table.update(n=10.0**15)) == "it replaces items of the dict `table` of its closure"


def test_a_circle_is_looked_at_once():
    circle = []
    circle.append(circle)
    record = types.SimpleNamespace(circle=circle)
    record.own = record
    assert seen(lambda: (circle, record)) is None
    assert "appends to the list `circle`" in seen(lambda: circle.append(1))


# --- bounds


def chain(count):
    """A function that calls another, and so on; the last assigns a global."""
    names = {"__name__": "chain"}
    exec("".join(f"def f{n}():\n return f{n + 1}()\n" for n in range(count)), names)
    exec(f"def f{count}():\n global last\n last = 1\n", names)
    return names["f0"]


def test_so_many_functions_are_followed():
    assert _state.look(chain(150)).finding == "`f150`, which it calls, assigns the global `last`"
    look = _state.look(chain(5000))
    assert look.finding is None
    assert len(look._reach._followed) <= 200


def test_so_many_objects_are_looked_at(monkeypatch):
    prints = []
    take = facts.Print.__init__
    monkeypatch.setattr(facts.Print, "__init__", lambda self, *args: (prints.append(1), take(self, *args))[1])
    wide = [[[n] for n in range(100)] for _ in range(100)]
    _state.look(lambda: wide).changed()
    assert 10 < len(prints) <= 500


def test_there_is_a_limit_of_time(monkeypatch):
    monkeypatch.setattr(_state, "SECONDS", 0)
    found = []
    look = _state.look(lambda x: found.append(x), [([1],)])
    found.append(1)
    assert look.changed() is None


# --- nothing of the user's is called


called = []


def hostile(name):
    def method(*args, **kwargs):
        called.append(name)
        raise AssertionError(f"{name} was called")

    return method


NAMES = """
    eq ne hash len iter next bool repr str getattr getattribute getitem contains reversed index int format
    instancecheck subclasscheck sizeof dir call array_finalize array reduce_ex missing lt le gt ge
"""
ATTRIBUTES = "items keys values get copy func args keywords tobytes append data obj"


def hostile_names(*left):
    names = {f"__{name}__": hostile(name) for name in NAMES.split() if name not in left}
    return names | {name: property(hostile(name)) for name in ATTRIBUTES.split()}


@pytest.fixture
def loud():
    """Classes of which every method fails; made here, since even to make one calls some of them."""
    meta_names = hostile_names("call", "repr", "str")
    meta = type("Meta", (type,), {})
    bases = [
        object,
        list,
        dict,
        set,
        facts.deque,
        bytearray,
        tuple,
        int,
        functools.partial,
        types.SimpleNamespace,
    ]
    made = []
    for base in bases:
        args = (print,) if base is functools.partial else ()
        cls = meta(f"Loud{base.__name__}", (base,), {"__class__": property(hostile("__class__"))})
        made.append(cls(*args))
        for name, value in hostile_names().items():
            type.__setattr__(cls, name, value)
    for name, value in meta_names.items():
        type.__setattr__(meta, name, value)
    called.clear()
    yield made
    for name in meta_names:
        type.__delattr__(meta, name)


def test_no_method_of_what_is_looked_at_is_called(loud):
    box = [*loud]
    table = {n: thing for n, thing in enumerate(loud)}
    record = types.SimpleNamespace(**{f"a{n}": thing for n, thing in enumerate(loud)})

    def use(*_):
        return box, table, record, record.a0, record.a1, use.extra

    use.extra = loud[0]
    closed = [
        types.FunctionType((lambda: thing).__code__, {}, "f", (), (types.CellType(thing),)) for thing in loud
    ]
    for fn in [use, functools.partial(use, *loud), *closed, functools.partial(use, key=loud[0])]:
        look = _state.look(fn, [tuple(loud)])
        assert look.changed() is None
        box.append(1)
        assert fn in closed or look.changed() is not None
        box.pop()
    for thing in loud:
        _state.look(thing, [(thing,)]).changed()
    assert called == []
