"""Whose code is looked into for shared state, and what is read in it."""

import importlib
import sys

import plait
import pytest
from looking import seen, strict  # noqa: F401
from plait._state import code


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
        "class Called(Session):\n"
        "    def __init__(self, fn):\n        self.fn = fn\n        self.sent = 0\n"
        "    def __call__(self, x):\n        self.sent += 1\n        return self.fn(x)\n"
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


def test_installed_callables_are_seen_through(installed):
    own_shop, lib = installed
    assert seen(lib.Called(abs), 1) is None
    assert seen(lib.Called(own_shop.count), 1) == "it assigns the global `total`"
    called = lib.Called(own_shop.order)
    assert seen(lambda x: called(x), 1) == "`order`, which it calls, appends to the list `orders`"


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
