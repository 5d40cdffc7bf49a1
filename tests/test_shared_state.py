"""What is seen of the state that a function shares with its caller, and what must not be taken for it.

`sharers` and `loners` are the functions of both kinds; here are the bounds, and what is odd.
"""

import functools
import importlib
import sys
import threading
import types

import plait
import pytest
from loners import LONERS
from plait import _state
from plait._state import code, facts
from sharers import SHARERS


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    """A fault is a failure, and a loaded machine no reason to see less."""
    monkeypatch.setattr(_state, "RAISES", True)
    monkeypatch.setattr(_state, "SECONDS", 1000)


def seen(fn, *args, **how):
    """What is said of a function after it was called once."""
    look = _state.look(fn, [args], **how)
    before = look.finding
    fn(*args)
    said = look.changed()
    assert before in (None, said)
    return said


def name_of(case):
    return getattr(case, "__name__", None)


@pytest.mark.parametrize("fn, args, said", SHARERS, ids=name_of)
def test_functions_that_share_state(fn, args, said):
    assert seen(fn, *args) == said


@pytest.mark.parametrize("fn, args", LONERS, ids=name_of)
def test_functions_that_share_none(fn, args):
    assert seen(fn, *args) is None


# --- when


def test_what_the_code_says_is_known_before_any_call():
    lock = threading.Lock()

    def guarded():
        with lock:
            pass

    assert "uses the lock `lock`" in _state.look(guarded).finding
    assert _state.look(print).finding is None


def test_it_may_be_asked_again():
    found = []

    def find(x):
        if x > 2:
            found.append(x)

    look = _state.look(find)
    for x in range(3):
        find(x)
        assert look.changed() is None
    find(3)
    assert look.changed() == look.changed() == "it appends to the list `found` of its closure"


def test_what_others_did_before_is_no_matter():
    found = []

    def read():
        return len(found)

    found.append(1)
    look = _state.look(read)
    assert look.changed() is None


def test_names_may_be_given_another_value_by_others():
    names = {"__name__": "of_its_own", "table": {"a": 1}, "limit": 3}
    fn = types.FunctionType((lambda: (table, limit)).__code__, names)  # noqa: F821
    look = _state.look(fn)
    names["limit"] = 3
    assert look.changed() is None
    names["limit"] = 4
    assert look.changed() == "it assigns the global `limit`"
    look = _state.look(fn)
    names["table"] = {"a": 1}
    assert look.changed() == "it assigns the global `table`"
    look = _state.look(fn)
    del names["table"]
    assert look.changed() == "it assigns the global `table`"


def test_faults_of_looking_are_no_affair_of_the_users(monkeypatch):
    def fail(*_):
        raise RuntimeError("a fault")

    for place in ("start", "argument", "follow"):
        with monkeypatch.context() as patch:
            patch.setattr(_state.Reach, place, fail)
            with pytest.raises(RuntimeError, match="a fault"):
                _state.look(seen, [([],)])
            patch.setattr(_state, "RAISES", False)
            look = _state.look(seen, [([],)])
            assert look.changed([([],)]) is None
    with monkeypatch.context() as patch:
        found = []
        look = _state.look(found.append)
        patch.setattr(facts.Print, "change", fail)
        with pytest.raises(RuntimeError, match="a fault"):
            look.changed()
        patch.setattr(_state, "RAISES", False)
        assert look.changed() is None


def test_what_other_threads_do_meanwhile_is_no_fault():
    shared = {"list": [], "dict": {}, "set": set(), "raw": bytearray(10)}
    stop = threading.Event()

    def change():
        n = 0
        while not stop.is_set():
            n += 1
            shared["list"].append(n)
            shared["dict"][n] = [n]
            shared["set"].add(n)
            shared["raw"].extend(b"more")
            if n % 1000 == 0:
                shared["list"].clear(), shared["dict"].clear(), shared["set"].clear(), shared["raw"].clear()

    def read():
        return shared

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(100):
            _state.look(read, [(shared,)]).changed()
    finally:
        stop.set()
        thread.join()


# --- arguments


def test_arguments_are_watched_call_by_call():
    look = _state.look(list.append)
    first, second = [], {"a": [1]}
    look.watch(first)
    look.watch(second, 5)
    assert look.changed() is None
    second["a"].append(2)
    assert look.changed() == "it changed an argument: it appends to the list `items[1][0]['a']`"
    first.append(2)
    assert look.changed() == "it changed an argument: it appends to the list `items[0]`"


def test_arguments_of_later_calls_are_not_watched():
    look = _state.look(list.append)
    items = [[] for _ in range(_state.CALLS + 1)]
    for item in items:
        look.watch(item)
    items[-1].append(1)
    assert look.changed() is None
    items[-2].append(1)
    assert look.changed() is not None


def test_arguments_that_were_not_watched_still_tell_what_they_are():
    lock, item = threading.Lock(), []
    assert _state.look(print).changed([(lock,)]).startswith("it uses the lock `items[0]`")
    look = _state.look(print)
    assert look.changed([(item,)]) is None
    item.append(1)
    assert look.changed([(item,)]) is not None


# --- containers beyond the sample


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


# --- whose code


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Makes modules: `lib` is installed, `shop` and `own` are the program's."""
    library = tmp_path / "site-packages"
    library.mkdir()
    (library / "installed_lib.py").write_text(
        "import functools\n"
        "_cache = {}\n"
        "count = 0\n"
        "def cached(x):\n    global count\n    count += 1\n    return _cache.setdefault(x, x)\n"
        "def retried(fn):\n"
        "    @functools.wraps(fn)\n    def call(*args):\n        return fn(*args)\n    return call\n"
        "def plain(fn):\n    def call(*args):\n        return fn(*args)\n    return call\n"
        "class Session:\n"
        "    def __init__(self):\n        self.sent = 0\n        self._hits = 0\n        self.kept = []\n"
        "    def hit(self):\n        self._hits += 1\n"
        "    def send(self):\n        self.sent += 1\n"
        "    def keep(self):\n        self.kept.append(1)\n"
        "class Called(Session):\n    def __call__(self):\n        self.sent += 1\n"
    )
    (tmp_path / "own_shop.py").write_text(
        "import installed_lib\n"
        "orders = []\n"
        "total = 0\n"
        "session = installed_lib.Session()\n"
        "def order(x):\n    orders.append(x)\n"
        "def count(x):\n    global total\n    total += x\n"
        "def fetch(x):\n    return installed_lib.cached(x)\n"
        "retried = installed_lib.retried(count)\n"
        "plain = installed_lib.plain(count)\n"
    )
    for path in (library, tmp_path):
        monkeypatch.syspath_prepend(path)
    yield importlib.import_module("own_shop"), importlib.import_module("installed_lib")
    for name in ("own_shop", "installed_lib"):
        del sys.modules[name]


def test_modules_of_the_program_are_followed(installed):
    own_shop, _ = installed
    assert seen(lambda x: own_shop.order(x), 1) == "`order`, which it calls, appends to the list `orders`"
    assert seen(lambda x: own_shop.orders.append(x), 1) == "it appends to the list `own_shop.orders`"

    def add(x):
        own_shop.total += x

    assert seen(add, 1) == "it assigns `own_shop.total`"


def test_what_is_installed_is_not_looked_into(installed):
    own_shop, lib = installed
    assert seen(own_shop.fetch, 1) is None
    assert seen(lib.cached, 2) is None
    assert seen(lib.cached, 3, home="installed_lib") == "it assigns the global `count`"
    assert (
        seen(own_shop.fetch, 4, home="installed_lib")
        == "`cached`, which it calls, assigns the global `count`"
    )


def test_installed_decorators_hide_nothing(installed):
    own_shop, _ = installed
    assert seen(own_shop.retried, 1) == "it assigns the global `total`"
    assert seen(own_shop.plain, 1) == "it assigns the global `total`"
    assert seen(lambda x: own_shop.plain(x), 1) == "`count`, which it calls, assigns the global `total`"


def test_objects_of_installed_classes_show_what_is_public(installed):
    session = installed[0].session
    assert seen(lambda: session.hit()) is None
    assert seen(lambda: session.send()) == "it sets `session.sent` of its closure"
    assert seen(lambda: session.keep()) == "it appends to the list `session.kept` of its closure"
    assert seen(session.send) == "it sets `self.sent`"


def test_what_stands_for_a_function_is_seen_through():
    found = []
    append = plait.task(found.append, shares_state=False)
    assert seen(append, 1) == "it appends to the list `self`"


# --- code


def assigned(text, free=""):
    names = {}
    outer = f"def outer({free}):\n" + "".join(f"    {line}\n" for line in [*text.splitlines(), "return f"])
    exec(outer, names)
    return code.Code(names["outer"](*([None] * bool(free))).__code__).assigned()


@pytest.mark.parametrize(
    "text, free, expected",
    [
        ("def f():\n  global a\n  a = 1", "", ("global", "a")),
        ("def f():\n  global a\n  del a", "", ("global", "a")),
        ("def f():\n  global a\n  for a in []: pass", "", ("global", "a")),
        ("def f():\n  global a\n  def a(): pass", "", ("global", "a")),
        ("def f():\n  global a\n  import a", "", None),
        ("def f():\n  global a\n  import a.b as a", "", None),
        ("def f():\n  global a, b\n  from c import a, b", "", None),
        ("def f():\n  global a\n  import b\n  a = b", "", ("global", "a")),
        ("def f():\n  global a\n  import a\n  a = 1", "", ("global", "a")),
        ("def f():\n  def g():\n    global a\n    a = 1", "", ("global", "a")),
        ("def f():\n  class C:\n    global a\n    a = 1", "", ("global", "a")),
        ("def f():\n  return [b := 1 for _ in 'a']", "", None),
        ("def f():\n  nonlocal a\n  a += 1", "a", ("closure", "a")),
        ("def f():\n  nonlocal a\n  del a", "a", ("closure", "a")),
        ("def f():\n  nonlocal a\n  return [a := x for x in 'a']", "a", ("closure", "a")),
        ("def f():\n  def g():\n    nonlocal a\n    a = 1\n  g()", "a", ("closure", "a")),
        ("def f():\n  a = 0\n  def g():\n    nonlocal a\n    a = 1\n  return a", "a", None),
        ("def f():\n  a = 0\n  return lambda: a", "a", None),
        ("def f():\n  return a", "a", None),
        ("def f():\n  a = 1\n  a.b = 2\n  del a", "", None),
        (
            "def f():\n" + "".join(f"  x{n} = {n}.5\n" for n in range(300)) + "  global a\n  a = x0",
            "",
            ("global", "a"),
        ),
    ],
)
def test_names_that_code_assigns(text, free, expected):
    assert assigned(text, free) == expected


def test_names_that_are_loaded_as_globals():
    body = code.Code((lambda x: (found, x.jobs, x.lock())).__code__)  # noqa: F821
    assert [body.loads(name) for name in ("found", "jobs", "lock", "x")] == [True, False, False, False]
    assert [body.asks_for(name) for name in ("found", "jobs", "lock", "x")] == [False, True, True, False]
