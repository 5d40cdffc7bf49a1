"""What a worker cannot import goes by value, what has reducers of its own by those."""

import multiprocessing
import socket
import sys
import threading
import types

import pytest
from codec_peer import Peer, run_script
from plait import _core

codec = _core.codec


def there_and_back(value):
    return codec.decode(*codec.encode(value))


class Registered:
    def __init__(self, value):
        self.value = value


def test_copyreg_is_honoured(monkeypatch):
    import copyreg

    monkeypatch.setitem(copyreg.dispatch_table, Registered, lambda obj: (Registered, (obj.value + 1,)))
    assert there_and_back(Registered(1)).value == 2


class OnlyForking:
    def __init__(self, value):
        self.value = value


def test_forking_pickler_reducers_are_honoured():
    from multiprocessing.reduction import ForkingPickler

    ForkingPickler.register(OnlyForking, lambda obj: (OnlyForking, (obj.value + 1,)))
    try:
        assert there_and_back(OnlyForking(1)).value == 2
        assert there_and_back([OnlyForking(1), threading.Thread]).pop(0).value == 2
    finally:
        del ForkingPickler._extra_reducers[OnlyForking]
    assert there_and_back(OnlyForking(1)).value == 1


def test_connections_are_duplicated():
    here, there = multiprocessing.Pipe()
    with here, there, there_and_back(there) as copy:
        assert copy.fileno() != there.fileno()
        copy.send("through the copy")
        assert here.recv() == "through the copy"
    left, right = socket.socketpair()
    with left, right, there_and_back(right) as copy:
        copy.sendall(b"x")
        assert left.recv(1) == b"x"


def test_classes_of_the_main_script_keep_their_identity(tmp_path):
    out = run_script(
        tmp_path,
        """
        import dataclasses, enum, typing

        @dataclasses.dataclass
        class Point:
            x: int
            def double(self): return Point(self.x * 2)

        class Colour(enum.Enum):
            RED = 1

        class Failure(Exception):
            pass

        UserId = typing.NewType("UserId", int)

        def double(point: Point, name: UserId = 0) -> Point:
            return point.double()

        def fail(point):
            raise Failure(point, Colour.RED)

        back = peer.call(double, Point(4))
        print(type(back) is Point, back == Point(8))
        print(peer.call(lambda c: (c, c is Colour.RED), Colour.RED) == (Colour.RED, True))
        print(peer.call(lambda: Point) is Point)
        try:
            peer.call(fail, Point(1))
        except Failure as failure:
            print(failure.args == (Point(1), Colour.RED), "fail" in str(failure.__cause__))
        print(type(peer.call(Point, 3)) is Point)
        print(type(peer.call(Point(5).double)) is Point)
        """,
    )
    assert out == ["True"] * 8


def test_results_do_not_change_the_classes_of_the_main_script(tmp_path):
    out = run_script(
        tmp_path,
        """
        import enum
        FACTOR = 2

        class Account:
            rate = 2
            def times(self): return FACTOR

        class Colour(enum.Enum):
            RED = 1
            def shown(self): return FACTOR

        class Failure(Exception):
            kind = "old"

        def make(): return Account()
        def fail(): raise Failure

        times = Account.times
        account = peer.call(make)
        Account.rate = 5
        Account.added = 1
        again = peer.call(lambda account, colour: (account, colour), account, Colour.RED)
        print(type(account) is type(again[0]) is Account, Account.times is times, Account.rate, Account.added)
        # The other way the change arrives, and the methods go on using the script's globals.
        print(peer.call(lambda account: account.rate, account))
        FACTOR = 3
        print(account.times(), Colour.RED.shown(), peer.call(Account.times, account))
        for kind in ("old", "new"):
            Failure.kind = kind
            try:
                peer.call(fail)
            except Failure as failure:
                print(failure.kind)
                Failure.kind = "changed"
                print(peer.call(lambda failure: failure.kind, failure))
        """,
    )
    assert " ".join(out) == "True True 5 1 5 3 3 3 old changed new changed"


def test_names_of_the_main_script_are_refused_in_time(tmp_path):
    out = run_script(
        tmp_path,
        """
        import plait

        class Sentinel:
            def __reduce__(self): return "SENTINEL"

        SENTINEL = Sentinel()
        try:
            peer.call(print, [SENTINEL])
        except plait.NotPicklable as error:
            print(error.path, "__main__.SENTINEL" in str(error))
        """,
    )
    assert out == ["args[0][0]", "True"]


def test_modules_without_a_file_go_by_value():
    module = types.ModuleType("made_by_hand")
    exec(
        "class Point:\n    def __init__(self, x): self.x = x\ndef double(p): return Point(p.x * 2)",
        module.__dict__,
    )
    sys.modules["made_by_hand"] = module
    try:
        with Peer() as peer:
            back = peer.call(module.double, module.Point(4))
            assert type(back) is module.Point
            assert back.x == 8
            assert peer.call(lambda: module.double(module.Point(1)).x) == 2
    finally:
        del sys.modules["made_by_hand"]


def load_by_path(name, path):
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_modules_loaded_from_a_path_go_by_value(tmp_path):
    (tmp_path / "inner.py").write_text("class Inner:\n    value = 7\n")
    (tmp_path / "outer.py").write_text(
        "import inner\nclass Outer(inner.Inner):\n    pass\ndef value(o): return o.value\n"
    )
    import cloudpickle.cloudpickle

    load_by_path("inner", tmp_path / "inner.py")
    outer = load_by_path("outer", tmp_path / "outer.py")
    try:
        with Peer() as peer:
            assert peer.call(outer.value, outer.Outer()) == 7
            assert type(peer.call(lambda: outer.Outer())) is outer.Outer
        # The user's own register was left alone.
        assert not cloudpickle.cloudpickle._PICKLE_BY_VALUE_MODULES
    finally:
        del sys.modules["inner"], sys.modules["outer"]


def test_modules_registered_by_value(tmp_path, monkeypatch):
    import cloudpickle

    (tmp_path / "mine_by_value.py").write_text("class Point:\n    x = 1\ndef make(): return Point()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import mine_by_value

    point = mine_by_value.Point()
    assert b"cloudpickle" not in codec.encode(point)[1]
    cloudpickle.register_pickle_by_value(mine_by_value)
    try:
        assert b"cloudpickle" in codec.encode(point)[1]
        assert not codec.travels("mine_by_value")
    finally:
        cloudpickle.unregister_pickle_by_value(mine_by_value)
    assert b"cloudpickle" not in codec.encode(point)[1]
    del sys.modules["mine_by_value"]


@pytest.mark.parametrize(
    "name",
    [
        "math",
        "json.decoder",
        "os.path",
        "collections.abc",
        "pyexpat.errors",
        "builtins",
        "posixpath",
        "encodings.utf_8",
        "test_codec",
    ],
)
def test_importable_modules_go_by_name(name):
    __import__(name)
    assert codec.travels(name)
