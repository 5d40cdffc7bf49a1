"""Values, calls,
chunks and exceptions to bytes and back; the by-value rules against a real second process."""

import array
import collections
import datetime
import enum
import fractions
import gc
import io
import logging
import math
import multiprocessing
import pickle
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import traceback
import types
from pathlib import Path

import plait
import pytest
from codec_peer import Peer
from plait import _core
from plait._errors import RemoteError, RemoteTraceback

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
    assert kind(value) == NATIVE
    assert same(there_and_back(value), value)


@pytest.mark.parametrize("edge", [2**7, 2**15, 2**31, 2**63])
@pytest.mark.parametrize("offset", [-2, -1, 0, 1])
@pytest.mark.parametrize("sign", [-1, 1])
def test_lists_of_ints_take_the_width_they_need(edge, offset, sign):
    value = [0, sign * edge + offset, 1]
    assert same(there_and_back(value), value)


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
    with pytest.raises(EOFError):
        codec.decode(PICKLE, b"\x80\x05" + b"N" * 10_000)


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


class Handler:
    def __init__(self, stream):
        self.stream = stream


class Outer:
    __slots__ = ("handler",)

    def __init__(self, handler):
        self.handler = handler


class Refuses:
    def __reduce__(self):
        raise ValueError("no thanks")


def path_of(encode, *args):
    with pytest.raises(plait.NotPicklable) as caught:
        encode(*args)
    error = caught.value
    assert isinstance(error, (plait.PlaitError, pickle.PicklingError))
    assert str(error).startswith(error.path + ": ")
    assert pickle.loads(pickle.dumps(error)).path == error.path
    return error.path, str(error)


def test_the_error_names_the_path_to_the_culprit(tmp_path, monkeypatch):
    with open(tmp_path / "file", "w+") as file:
        path, message = path_of(codec.encode_call, (Outer(Handler(file)),))
        assert path == "args[0].handler.stream"
        assert "cannot pickle '_io.TextIOWrapper' object" in message
        assert "open the file inside the function" in message
        lock = threading.Lock()
        many = [*range(1000)]
        many[777] = {"key": lock}
        assert (
            path_of(codec.encode_call, (1,), {"a": 1, "conf": {"x": [0, lock]}})[0]
            == "kwargs['conf']['x'][1]"
        )
        assert path_of(codec.encode_call, (many,))[0] == "args[0][777]['key']"
        assert path_of(codec.encode, [1, (2, lock)])[0] == "result[1][1]"
        assert path_of(codec.encode_chunk, [1, lock])[0] == "items[1]"
        assert path_of(codec.encode, (n for n in "abc"))[0] == "result"
        assert "no thanks" in path_of(codec.encode, {"a": Refuses()})[1]
        assert path_of(codec.encode_direct, types.MethodType(print, lock), ())[0] == "fn.__self__"

        def closure(default=1, *, option=lock):
            return file

        path = path_of(codec.encode_call, (closure,))[0]
        assert path == "args[0].<closure>.file"

        def defaults(first, default=lock):
            return first

        assert path_of(codec.encode_call, (defaults,))[0] == "args[0].<default>.default"
        assert path_of(_core.function.FunctionTable().prepare, lambda: lock)[0] == "fn.<closure>.lock"
    assert there_and_back(logging.getLogger("a.b")) is logging.getLogger("a.b")
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    assert there_and_back([sys.stderr])[0] is sys.stderr


def test_too_deep_is_said_so():
    value = []
    for _ in range(100_000):
        value = [value]
    path, message = path_of(codec.encode_call, (1, value))
    assert path.startswith("args[1]")
    assert "nested too deeply" in message
    # Taking it apart by recursion would be too deep too.
    while value:
        value = value.pop()


def test_memory_errors_and_interrupts_pass_through():
    class Raises:
        def __init__(self, error):
            self.error = error

        def __reduce__(self):
            raise self.error

    for error in (MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            codec.encode(Raises(error))


# Exceptions


class TwoArguments(Exception):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Rich(Exception):
    def __init__(self, text, *, extra=None):
        super().__init__(text)
        self.extra = extra


class HoldsLock(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def raised(error):
    """The exception after a journey, raised in between by a function of that name."""

    def raising_function():
        raise error

    try:
        raising_function()
    except BaseException as caught:
        return codec.decode_exception(codec.encode_exception(caught))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("text"), KeyError("k"), OSError(2, "No such file", "name"), SystemExit(3),
        KeyboardInterrupt(), Rich("x"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ExceptionGroup("g", [ValueError(1),
        KeyError(2)]), StopIteration(5),
        subprocess.CalledProcessError(1, "cmd"), plait.TaskTimeout("late"), plait.NotPicklable("x: y"),
    ],
    ids=repr,
)  # fmt: skip
def test_exceptions_travel_as_themselves(error):
    back = raised(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args or isinstance(error, ExceptionGroup)
    assert isinstance(back.__cause__, RemoteTraceback)
    assert "raising_function" in str(back.__cause__)


def test_notes_and_attributes_travel():
    error = Rich("text", extra=[1, 2])
    error.add_note("seen on a Tuesday")
    back = raised(error)
    assert back.extra == [1, 2]
    assert back.__notes__ == ["seen on a Tuesday"]


def test_the_remote_traceback_looks_as_in_the_stdlib():
    from concurrent.futures.process import _ExceptionWithTraceback

    def raising_function():
        raise ValueError("text")

    def shown(error):
        return "".join(traceback.format_exception(error)).replace(
            "concurrent.futures.process._", "plait._errors."
        )

    try:
        raising_function()
    except ValueError as caught:
        ours = codec.decode_exception(codec.encode_exception(caught))
        function, args = _ExceptionWithTraceback(caught, caught.__traceback__).__reduce__()
        assert shown(ours) == shown(function(*args))
        assert 'raise ValueError("text")' in shown(ours)


@pytest.mark.parametrize(
    "error",
    [TwoArguments(1, "boom"), HoldsLock("boom"), type("Local", (TwoArguments,), {})(1, "boom")],
    ids=repr,
)
def test_exceptions_that_cannot_travel_leave_a_stand_in(error):
    back = raised(error)
    assert type(back) is RemoteError
    assert isinstance(back, plait.PlaitError)
    assert back.type_name.endswith(type(error).__qualname__)
    assert "boom" in back.message
    assert "could not be sent as itself" in str(back)
    assert "raising_function" in back.traceback
    assert "raising_function" in str(back.__cause__)
    again = pickle.loads(pickle.dumps(back))
    assert (again.type_name, again.message, again.traceback) == (back.type_name, back.message, back.traceback)
    assert type(raised(back)) is RemoteError


def test_an_exception_without_text_travels():
    back = raised(BadText("a"))
    assert type(back) is BadText
    assert "raising_function" in str(back.__cause__)


def test_broken_exception_bytes_give_a_stand_in():
    data = codec.encode_exception(ValueError("text"))
    texts = 0
    for _ in range(3):
        texts += 4 + int.from_bytes(data[texts : texts + 4], "little")
    for end in range(texts + 20):
        assert isinstance(codec.decode_exception(data[:end]), (RemoteError, ValueError))
    unknown = data[:texts] + b"\x80\x05cno_such_module\nClass\n."
    back = codec.decode_exception(unknown)
    assert type(back) is RemoteError
    assert "could not be unpickled here" in str(back)


# What a worker cannot import goes by value


def run_script(tmp_path, text, *arguments):
    """Runs a main script that has `peer`; its output is what it printed."""
    script = tmp_path / "script.py"
    head = "from codec_peer import Peer\nfrom plait import _core\npeer = Peer().__enter__()\n"
    script.write_text(head + textwrap.dedent(text) + "\npeer.__exit__()\n")
    path = [str(Path(__file__).parent), *(entry for entry in sys.path if entry)]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), *arguments],
        env={"PYTHONPATH": ":".join(path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


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


def test_worker_died_is_made_when_asked_for():
    code = """
        import sys, plait._errors as errors
        assert "multiprocessing" not in sys.modules and "cloudpickle" not in sys.modules
        from concurrent.futures.process import BrokenProcessPool
        assert issubclass(errors.WorkerDied, BrokenProcessPool)
        assert issubclass(errors.WorkerDied, errors.PlaitError)
        assert errors.WorkerDied is errors.WorkerDied
    """
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, env=environment)
    assert pickle.loads(pickle.dumps(plait.WorkerDied("x"))).args == ("x",)
