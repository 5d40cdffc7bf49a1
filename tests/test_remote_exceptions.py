"""Exceptions to bytes and back: as themselves where that works, with the remote traceback in any case."""

import pickle
import subprocess
import sys
import textwrap
import threading
import traceback

import plait
import pytest
from plait import _core
from plait._errors import RemoteError, is_remote_traceback

codec = _core.codec


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
        subprocess.CalledProcessError(1, "cmd"), plait.NotPicklable("x: y"),
    ],
    ids=repr,
)  # fmt: skip
def test_exceptions_travel_as_themselves(error):
    back = raised(error)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.args == error.args or isinstance(error, ExceptionGroup)
    assert is_remote_traceback(back.__cause__)
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
        # The frames are more than the stdlib has.
        assert traceback.format_tb(ours.__traceback__) == traceback.format_tb(caught.__traceback__)
        function, args = _ExceptionWithTraceback(caught, caught.__traceback__).__reduce__()
        assert 'raise ValueError("text")' in shown(ours)
        ours.__traceback__ = None
        assert shown(ours) == shown(function(*args))


def test_exceptions_made_without_their_constructor():
    for error in (TwoArguments(1, "boom"), type("Local", (TwoArguments,), {})(1, "boom")):
        back = raised(error)
        assert type(back) is type(error)
        assert (str(back), back.args, back.code) == ("1: boom", ("1: boom",), 1)
        assert "raising_function" in str(back.__cause__)


def test_what_cannot_travel_is_left_out_and_noted():
    back = raised(HoldsLock("boom"))
    assert type(back) is HoldsLock
    assert vars(back) == {
        "__notes__": [
            "left out on the way from the worker: exception.lock: cannot pickle '_thread.lock' object"
        ]
    }


def test_exceptions_that_cannot_travel_leave_a_stand_in():
    # Its class goes by value, and cannot.
    error = type("Local", (Exception,), {"lock": threading.Lock()})("boom")
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
    for _ in range(4):
        texts += 4 + int.from_bytes(data[texts : texts + 4], "little")
    for end in range(texts + 20):
        assert isinstance(codec.decode_exception(data[:end]), (RemoteError, ValueError))
    unknown = data[:texts] + b"\x80\x05cno_such_module\nClass\n."
    back = codec.decode_exception(unknown)
    assert type(back) is RemoteError
    assert "could not be unpickled here" in str(back)


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
