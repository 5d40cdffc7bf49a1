"""What cannot be sent is named, by the path to it and what to do."""

import logging
import pickle
import sys
import threading
import types

import plait
import pytest
from plait import _core

codec = _core.codec


def there_and_back(value):
    return codec.decode(*codec.encode(value))


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

        def closure(default=1, *, option=2):
            return file

        path = path_of(codec.encode_call, (closure,))[0]
        assert path == "args[0].<closure>.file"

        def defaults(first, default=lock):
            return first

        assert path_of(codec.encode_call, (defaults,))[0] == "args[0].<default>.default"

        def options(*, option=lock):
            return option

        assert path_of(codec.encode_call, (options,))[0] == "args[0].<default>.option"
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


class Raises:
    def __init__(self, error):
        self.error = error

    def __reduce__(self):
        raise self.error


def test_memory_errors_pass_through():
    with pytest.raises(MemoryError):
        codec.encode(Raises(MemoryError()))


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, RuntimeError])
def test_whatever_pickling_raises_is_the_reason(kind):
    path, message = path_of(codec.encode, [Raises(kind("no"))])
    assert path == "result[0]"
    assert message.startswith(f"result[0]: {kind.__name__}: no; ")


def test_what_is_shared_leads_to_no_wrong_path():
    lock = threading.Lock()
    shared = Handler([[1]])
    first = Handler(shared)
    first.lock = lock
    assert path_of(codec.encode, [shared, first, shared])[0] == "result[1].lock"
    assert path_of(codec.encode, [first, shared])[0] == "result[0].lock"
    # A loop, by way of which the culprit could be reached too.
    first.me = first
    first.children = [Handler(first), Handler(lock)]
    del first.lock
    assert path_of(codec.encode, {"root": first})[0] == "result['root'].children[1].stream"


class MakesParts:
    """Is made of parts that nobody else can see, the last of which does not pickle."""

    def __init__(self):
        self.seen = [[1]]

    def __reduce__(self):
        return print, (self.seen, [2], threading.Lock())


class FailsMidway:
    def __reduce__(self):
        def items():
            yield [1]
            raise LookupError("midway")

        return list, (), None, items()


def test_the_path_ends_at_what_fails_where_its_parts_are_unseen():
    assert path_of(codec.encode, [[1], Handler(MakesParts())])[0] == "result[1].stream"
    path, message = path_of(codec.encode, (Handler([FailsMidway()]),))
    assert path == "result[0].stream[0]"
    assert "LookupError: midway" in message


def test_paths_into_sets_and_keys():
    lock = threading.Lock()
    assert path_of(codec.encode, {(1, lock)})[0].endswith(">[1]")
    assert path_of(codec.encode, {(1, lock): 2})[0].startswith("result.<key (1, <")


def test_long_reasons_and_names_are_cut():
    path, message = path_of(codec.encode, {"k" * 1_000_000: Raises(ValueError("x" * 1_000_000))})
    assert len(path) < 100
    assert len(message) < 2000


def test_a_culprit_that_answers_nothing_is_named():
    class Odd(type):
        def __getattribute__(cls, name):
            raise SystemExit(name)

    class Culprit(metaclass=Odd):
        @property
        def __class__(self):
            raise SystemExit("no class")

        def __reduce_ex__(self, protocol):
            raise ValueError("odd")

    path, message = path_of(codec.encode, [Culprit()])
    assert path == "result[0]"
    assert "SystemExit: no class" in message
