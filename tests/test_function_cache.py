"""Functions go once, keep their id while they stay the same,
and are sent again as soon as anything they depend on changes.

Most tests make functions by value in a namespace of its own, as a main script or a notebook does, and ask two
things: is the id the same, and what does a function loaded from the bytes return.
"""

import sys
import textwrap
import types

import plait
import pytest
from plait import _core
from platforms import in_place

FunctionTable, decode_function = _core.function.FunctionTable, _core.function.decode_function


class Script:
    """A namespace as a main script's: what it defines goes by value. Cells are run in it in turn."""

    def __init__(self, text=""):
        self.names = {"__name__": "__main__", "__builtins__": __builtins__}
        self.table = FunctionTable()
        self.run(text)

    def run(self, text):
        exec(textwrap.dedent(text), self.names)
        return self

    def id(self, name="f"):
        return self.table.prepare(self.names[name])[0]

    def result(self, *args, name="f"):
        """What the worker's copy returns: the copy made from the bytes that count now."""
        return decode_function(self.table.prepare(self.names[name])[1])(*args)


def changes(script, change, *args, before, after):
    """The function says `before`, keeps its id when nothing happens,
    and says `after` under a new id when `change` ran."""
    settled(script)
    assert script.result(*args) == before
    first = settled(script)
    script.run(change) if isinstance(change, str) else change(script.names)
    assert script.result(*args) == after
    assert settled(script) != first


def settled(script):
    """The id that stays. Pickles of classes differ once more after the first one,
    and after one was loaded in this process."""
    script.id()
    identity = script.id()
    assert script.id() == identity
    return identity


def test_redefinition():
    changes(Script("def f(x): return x + 1"), "def f(x): return x + 2", 1, before=2, after=3)


def test_the_same_cell_run_again_changes_nothing():
    script = Script("def f(x): return x + 1")
    first = script.id()
    assert script.run("def f(x): return x + 1").id() == first


def test_code_replaced_in_place():
    changes(
        Script("def f(x): return x + 1\ndef g(x): return x * 10"),
        "f.__code__ = g.__code__",
        4,
        before=5,
        after=40,
    )


@pytest.mark.parametrize(
    "define, change, before, after",
    [
        ("def f(x=1): return x", "f.__defaults__ = (2,)", 1, 2),
        ("def f(*, x=1): return x", "f.__kwdefaults__['x'] = 2", 1, 2),
        ("def f(*, x=1): return x", "f.__kwdefaults__ = {'x': 2}", 1, 2),
        ("def f(x=[]): return list(x)", "f.__defaults__[0].append(1)", [], [1]),
        ("def f(x={}): return dict(x)", "f.__defaults__[0]['k'] = 1", {}, {"k": 1}),
        ("def f(): return f.tag\nf.tag = 'a'", "f.tag = 'b'", "a", "b"),
        ("def f(): return f.tags\nf.tags = ['a']", "f.tags.append('b')", ["a"], ["a", "b"]),
        ("def f(x: int = 0): return f.__annotations__['x']", "f.__annotations__['x'] = str", int, str),
    ],
)
def test_defaults_and_attributes(define, change, before, after):
    changes(Script(define), change, before=before, after=after)


@pytest.mark.parametrize(
    "value, other",
    [
        ("1", "2"), ("1.5", "2.5"), ("None", "0"), ("True", "1"), ("'a'", "'b'"), ("b'a'", "b'b'"),
        ("(1, (2, 'x'))", "(1, (2, 'y'))"), ("frozenset({1})", "frozenset({2})"), ("10**30", "10**31"),
        ("range(3)", "range(4)"), ("1j", "2j"), ("...", "None"),
        ("__import__('re').compile('a')", "__import__('re').compile('b')"), ("[1]", "[2]"),
        ("{1: 2}", "{1: 3}"), ("{1}", "{2}"), ("bytearray(b'a')", "bytearray(b'b')"),
        ("__import__('json').dumps", "__import__('json').loads"),
        ("__import__('math')", "__import__('json')"),
        ("__import__('decimal').Decimal(1)", "__import__('decimal').Decimal(2)"),
        ("'x' * 100_000", "'y' * 100_000"), ("len", "abs"), ("(1, [2])", "(1, [3])"),
        ("tuple(range(1000))", "tuple(range(1001))"),
    ],
)  # fmt: skip
def test_globals_rebound(value, other):
    script = Script(f"def f(): return VALUE\nVALUE = {value}")
    changes(script, f"VALUE = {other}", before=eval(value), after=eval(other))


@pytest.mark.parametrize(
    "value, change",
    [
        ("[1]", "VALUE.append(2)"), ("{'a': 1}", "VALUE['a'] = 2"), ("{1}", "VALUE.add(2)"),
        ("bytearray(b'a')", "VALUE.extend(b'b')"),
        ("([1],)", "VALUE[0].append(2)"), ("{'deep': [[1]]}", "VALUE['deep'][0].append(2)"),
        ("__import__('array').array('i', [1])", "VALUE.append(2)"), ("__import__('collections').deque([1])",
        "VALUE.append(2)"),
        ("__import__('collections').Counter('a')", "VALUE.update('b')"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["global", "closure", "default", "helper", "partial"])
def test_changed_in_place(value, change, place):
    """The trap of every function cache: the object is the same, its content is not."""
    define = {
        "global": "def f(): return VALUE",
        "closure": "def make(v):\n    def f(): return v\n    return f\nf = make(VALUE)",
        "default": "def f(v=VALUE): return v",
        "helper": "def h(): return VALUE\ndef f(): return h()",
        "partial": "import functools\ng = functools.partial(list, [VALUE])\ndef f(): return g()[0]",
    }[place]
    script = Script(f"VALUE = {value}\n{define}")
    names = {}
    exec(f"VALUE = {value}", names)
    before = eval(value)
    exec(change, names)
    changes(script, change, before=before, after=names["VALUE"])


def test_instances_and_classes_of_the_script():
    script = Script(
        """
        class Config:
            factor = 2
            def __init__(self): self.offset = 1
        config = Config()
        def f(x): return x * Config.factor + config.offset
        """
    )
    changes(script, "config.offset = 5", 10, before=21, after=25)
    changes(script, "Config.factor = 3", 10, before=25, after=35)
    changes(script, "def new(self): pass\nConfig.method = new\nConfig.factor = 4", 10, before=35, after=45)


def test_classes_of_the_script_as_callables():
    script = Script("class f:\n    factor = 2\n    def __new__(cls, x): return x * cls.factor")
    changes(script, "f.factor = 3", 10, before=20, after=30)


def test_helpers():
    script = Script("K = 1\ndef h2(x): return x + K\ndef h1(x): return h2(x) * 10\ndef f(x): return h1(x)")
    changes(script, "K = 2", 1, before=20, after=30)
    changes(script, "def h2(x): return x", 1, before=30, after=10)
    changes(script, "h1.__code__ = (lambda x: -x).__code__", 1, before=10, after=-1)


def test_globals_that_come_and_go():
    script = Script("def f():\n    try: return later\n    except NameError: return 'missing'")
    changes(script, "later = 1", before="missing", after=1)
    changes(script, "del later", before=1, after="missing")
    # A built-in's name, taken over.
    script = Script("def f(x): return abs(x)")
    changes(script, "def abs(x): return 'mine'", -1, before=1, after="mine")


def test_globals_used_by_inner_functions_only():
    script = Script(
        "K = 1\ndef f():\n    def inner():\n        return [K for _ in range(1)]\n    return inner()"
    )
    changes(script, "K = 2", before=[1], after=[2])


def test_closures():
    script = Script(
        """
        def make(n):
            def f(x): return x + n
            def set(v):
                nonlocal n
                n = v
            return f, set
        f, set = make(1)
        """
    )
    changes(script, "set(2)", 10, before=11, after=12)
    changes(script, "f, _ = make(5)", 10, before=12, after=15)


@in_place
def test_functions_of_one_code_are_told_apart():
    script = Script("def make(n): return lambda x: x + n\nfs = [make(i) for i in range(100)]")
    ids = [script.table.prepare(f)[0] for f in script.names["fs"]]
    assert len(set(ids)) == 100
    for i, f in enumerate(script.names["fs"]):
        identity, data = script.table.prepare(f)
        assert identity == ids[i]
        assert decode_function(data)(1) == i + 1


def test_one_code_in_two_namespaces():
    table = FunctionTable()
    code = compile("def f(): return K", "cell", "exec")
    results = []
    for k in (1, 2, 1):
        names = {"__name__": "__main__", "K": k}
        exec(code, names)
        results.append((k, *table.prepare(names["f"])))
    assert [decode_function(data)() for _, _, data in results] == [1, 2, 1]


def test_empty_cells_and_recursion():
    script = Script(
        """
        def outer():
            def f(n): return 1 if n == 0 else n * f(n - 1)
            return f
        f = outer()
        def even(n): return True if n == 0 else odd(n - 1)
        def odd(n): return False if n == 0 else even(n - 1)
        def early():
            def use(): return late
            return use, lambda: late
            late = 1
        use, _ = early()
        """
    )
    assert script.result(5) == 120
    assert script.id() == script.id()
    assert script.result(7, name="even") is False
    assert script.id("even") == script.id("even")
    script.run("def odd(n): return 'changed'")
    assert script.result(7, name="even") == "changed"
    with pytest.raises(NameError):
        script.result(name="use")


def test_decorated_without_wraps():
    script = Script(
        """
        def decorate(function):
            def wrapper(x): return function(x) * 2
            return wrapper
        @decorate
        def f(x): return x + K
        K = 1
        """
    )
    changes(script, "K = 2", 1, before=4, after=6)
    assert decode_function(FunctionTable().prepare(decorated_here)[1])(1) == 12


def decorate(function):
    def wrapper(x):
        return function(x) * 2

    return wrapper


@decorate
def decorated_here(x):
    return x + 5


def test_decorated_with_wraps():
    script = Script(
        """
        import functools
        def decorate(function):
            @functools.wraps(function)
            def wrapper(x): return function(x) * 2
            return wrapper
        @decorate
        def f(x): return x + K
        K = 1
        """
    )
    changes(script, "K = 2", 1, before=4, after=6)


def test_submodules_loaded_later():
    # cloudpickle sends along the submodules that are loaded; one loaded afterwards has to be sent too.
    script = Script("import xml\ndef f(): return xml.sax.__name__")
    sys.modules.pop("xml.sax", None)
    first = script.id()
    script.run("import xml.sax")
    assert script.result() == "xml.sax"
    assert script.id() != first


def test_registering_a_module_by_value(tmp_path, monkeypatch):
    import cloudpickle

    (tmp_path / "mine_registered.py").write_text("K = 1\ndef helper(): return K\ndef f(): return helper()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_registered

    script = Script(
        "import mine_registered\nuse = lambda: mine_registered.f()\nfrom mine_registered import f"
    )
    table = script.table
    use = eval("lambda: mine_registered.f()", script.names)
    by_name = table.prepare(mine_registered.f)
    assert decode_function(by_name[1]) is mine_registered.f
    use_by_name = table.prepare(use)
    cloudpickle.register_pickle_by_value(mine_registered)
    try:
        by_value = table.prepare(mine_registered.f)
        assert by_value[0] != by_name[0]
        assert table.prepare(use)[0] != use_by_name[0]
        changes(script, lambda names: setattr(mine_registered, "K", 2), before=1, after=2)
    finally:
        cloudpickle.unregister_pickle_by_value(mine_registered)
        del sys.modules["mine_registered"]


def test_what_cannot_be_sent_is_named():
    script = Script(
        "import threading\nlock = threading.Lock()\ndef helper(): return lock\ndef f(): return helper()"
    )
    with pytest.raises(
        plait.NotPicklable,
        match=r"^fn\.<globals>\.helper\.<globals>\.lock: cannot pickle '_thread.lock' object",
    ):
        script.id()
    script.run("lock = None")
    assert script.result() is None


def test_unusual_globals_and_names():
    table = FunctionTable()

    class Key(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            raise RuntimeError("a key that cannot be compared")

    names = {"__name__": "__main__", Key("K"): 1}
    exec("def f(): return 3", names)
    assert decode_function(table.prepare(names["f"])[1])() == 3
    function = types.FunctionType((lambda: 4).__code__, {})
    assert decode_function(table.prepare(function)[1])() == 4
    function.__qualname__ = "dumps"
    function.__module__ = "json"
    assert decode_function(table.prepare(function)[1])() == 4
    function.__module__ = None
    assert decode_function(table.prepare(function)[1])() == 4
