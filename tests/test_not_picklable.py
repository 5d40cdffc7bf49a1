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
