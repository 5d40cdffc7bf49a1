"""Exceptions of every build, made and raised in workers: see `test_hostile_exceptions`."""

import dataclasses
import json
import subprocess
import sys
import threading

from hostile_values import Bad, Conn, Mute, nested_list

# --- exceptions whose constructor takes something else than `args`


class Coded(Exception):
    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class KeywordOnly(Exception):
    def __init__(self, *, hint):
        super().__init__(hint)
        self.hint = hint


class Defaulting(Exception):
    """Takes what it said for its first argument without complaint, and says something else then."""

    def __init__(self, code, reason="unknown", *rest):
        super().__init__(f"{code}: {reason}")
        self.code = code


class Silent(Exception):
    """Never calls the base's constructor."""

    def __init__(self, code):
        self.code = code

    def __str__(self):
        return f"code {self.code}"


class NewAsWell(Exception):
    def __new__(cls, left, right):
        return super().__new__(cls, left + right)

    def __init__(self, left, right):
        super().__init__(left * right)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    parts: tuple = ()


@dataclasses.dataclass
class Unhashable(Exception):
    code: int


class Slotted(Exception):
    __slots__ = ("code", "unset")

    def __init__(self, code):
        super().__init__("slotted")
        self.code = code


class Mixed(KeyError, OSError):
    def __init__(self, path, reason):
        super().__init__(reason)
        self.path = path


class OwnOSError(OSError):
    def __init__(self, path):
        super().__init__(2, "no such thing", path)


class OwnImportError(ImportError):
    def __init__(self, module):
        super().__init__(f"no {module}", name=module, path="/nowhere")


class OwnUnicodeError(UnicodeDecodeError):
    def __init__(self, text):
        super().__init__("utf-8", text, 0, 1, "odd")


class OwnSyntaxError(SyntaxError):
    def __init__(self, line):
        super().__init__("odd", ("file", line, 1, "text", line, 2))


class OwnJSONError(json.JSONDecodeError):
    """Inherits a way to pickle that does not fit it."""

    def __init__(self, text):
        super().__init__("bad", text, 0)


class Quit(SystemExit):
    def __init__(self, code, why):
        super().__init__(code)
        self.why = why


class Response:
    def __init__(self, status):
        self.status = status

    def __eq__(self, other):
        return self.status == other.status


class HTTPError(OSError):
    """As that of requests."""

    def __init__(self, *args, **kwargs):
        self.response = kwargs.pop("response", None)
        super().__init__(*args, **kwargs)


class ClientError(Exception):
    """As that of botocore."""

    def __init__(self, error_response, operation_name):
        super().__init__(f"An error occurred ({error_response['Code']}) when calling {operation_name}")
        self.response = error_response
        self.operation_name = operation_name

    def __reduce__(self):
        return _unpacked, (self.__class__, None, vars(self).copy())


def _unpacked(cls, args=None, kwargs=None):
    return cls(kwargs["response"], kwargs["operation_name"])


class Errors(ExceptionGroup):
    """As in Python's documentation."""

    def __new__(cls, errors, exit_code):
        self = super().__new__(Errors, f"exit code: {exit_code}", errors)
        self.exit_code = exit_code
        return self

    def __init__(self, errors, exit_code):
        pass

    def derive(self, excs):
        return Errors(excs, self.exit_code)


class Inner(Exception):
    class Nested(Exception):
        def __init__(self, *, key):
            super().__init__()
            self.key = key


def noted(error, *notes):
    for note in notes:
        error.add_note(note)
    return error


def code_set():
    error = SystemExit(1)
    error.code = [2]
    return error


def filename_changed():
    error = OSError(5, "text")
    error.filename = "later"
    return error


def arguments_changed():
    error = UnicodeDecodeError("utf-8", b"x", 0, 1, "bad")
    error.args = ("something", "else")
    return error


def caused():
    error = Coded(1, "after")
    error.__cause__ = Coded(2, "before")
    return error


# Made by name in the worker.
EXCEPTIONS = {
    "other arguments": lambda: Coded(404, "not found"),
    "keywords only": lambda: KeywordOnly(hint="use force"),
    "defaults": lambda: Defaulting(7),
    "never set up": lambda: Silent(3),
    "own __new__": lambda: NewAsWell(2, 3),
    "frozen dataclass": lambda: Frozen(1, (2, 3)),
    "dataclass": lambda: Unhashable(1),
    "slots": lambda: Slotted(8),
    "two bases": lambda: Mixed("/path", "reason"),
    "OSError": lambda: OwnOSError("/a/path"),
    "ImportError": lambda: OwnImportError("module"),
    "UnicodeError": lambda: OwnUnicodeError(b"\xff"),
    "SyntaxError": lambda: OwnSyntaxError(12),
    "JSONDecodeError": lambda: json.JSONDecodeError("msg", "doc", 1),
    "noted JSONDecodeError": lambda: noted(json.JSONDecodeError("msg", "doc", 1), "line 7"),
    "heir of JSONDecodeError": lambda: OwnJSONError("doc"),
    "CalledProcessError": lambda: subprocess.CalledProcessError(3, ["cmd"], b"out", b"err"),
    "TimeoutExpired": lambda: subprocess.TimeoutExpired("cmd", 1.5, b"out"),
    "SystemExit": lambda: Quit(4, "why"),
    "as of requests": lambda: HTTPError("text", response=Response(500)),
    "as of botocore": lambda: ClientError({"Code": "x"}, "Put"),
    "nested class": lambda: Inner.Nested(key=1),
    "notes": lambda: noted(Coded(1, "x"), "one", "two"),
    "code set": code_set,
    "name that is unknown": lambda: NameError("no such name", name="x"),
    "filename changed": filename_changed,
    "arguments changed": arguments_changed,
    "with a cause": caused,
}

GROUPS = {
    "plain": lambda: ExceptionGroup("several", [ValueError(1), KeyError("k")]),
    "of odd members": lambda: noted(
        ExceptionGroup("several", [noted(Coded(1, "x"), "a note"), KeywordOnly(hint="h")]), "on the group"
    ),
    "nested": lambda: ExceptionGroup("outer", [ExceptionGroup("inner", [Coded(1, "x")]), OwnOSError("/p")]),
    "own class": lambda: Errors([Coded(1, "x")], 9),
    "of BaseExceptions": lambda: BaseExceptionGroup("several", [Quit(3, "why"), KeyboardInterrupt()]),
}


def raise_made(name):
    raise {**EXCEPTIONS, **GROUPS}[name]()


def raise_local(code):
    class Local(Coded):
        def __init__(self, code):
            super().__init__(code, "local")
            self.extra = lambda: code

    raise Local(code)


def give_local(code):
    try:
        raise_local(code)
    except Coded as error:
        return {"error": error}


# --- exceptions that hold what cannot travel


class Holding(Exception):
    def __init__(self, text, **held):
        super().__init__(text)
        vars(self).update(held)


def raise_holding_locks(*_):
    raise noted(
        Holding("text", name="x", lock=threading.Lock(), deep={"conn": [Conn(lock=threading.Lock())]}),
        "first",
    )


def raise_lock_in_args(*_):
    raise ValueError("text", threading.Lock(), 5)


def raise_deep_attribute(*_):
    raise Holding("text", deep=nested_list(100_000), code=1)


def raise_holding_itself(*_):
    error = Holding("text", lock=threading.Lock())
    error.me = error
    error.other = Holding("other", back=error, lock=threading.Lock())
    raise error


def raise_unreadable_attribute(*_):
    raise Holding("text", bad=Bad("load", SystemExit), code=1)


def raise_group_of_holders(*_):
    class Unsendable(Exception):
        def __init__(self):
            super().__init__("cannot go")

        lock = threading.Lock()

    raise ExceptionGroup("several", [Holding("one", lock=threading.Lock()), Coded(2, "fine"), Unsendable()])


def raise_class_that_cannot_travel(*_):
    class Unsendable(Exception):
        lock = threading.Lock()

    raise Unsendable("cannot go")


# --- exceptions that misbehave


class Meta(type):
    def __getattribute__(cls, name):
        raise SystemExit(f"asked for {name}")

    def __bool__(cls):
        raise SystemExit("asked whether")

    def __eq__(cls, other):
        raise SystemExit("compared")

    def __hash__(cls):
        raise SystemExit("hashed")


class Untouchable(Exception, metaclass=Meta):
    pass


class Fake(Exception):
    """Lies about what it is."""

    @property
    def __class__(self):
        raise GeneratorExit("no class")

    @property
    def __notes__(self):
        raise KeyboardInterrupt("no notes")


def raise_untouchable(*_):
    raise Untouchable("x")


def raise_mute(*_):
    raise Mute("x")


def raise_fake(*_):
    raise Fake("x")


def raise_text(text):
    raise ValueError(text)


def raise_long(count):
    raise ValueError("x" * count)


def recurse(n):
    return recurse(n + 1)


def recurse_in_turns(n):
    return _other_turn(n + 1)


def _other_turn(n):
    return recurse_in_turns(n + 1)


def recurse_far(depth):
    """Deeper than Python allows by itself, in a thread with room for it."""
    caught = []

    def run():
        try:
            _down(depth)
        except KeyError as error:
            caught.append(error)

    limit = sys.getrecursionlimit()
    threading.stack_size(256 << 20)
    sys.setrecursionlimit(depth + 1000)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
        threading.stack_size(0)
    raise caught.pop()


def _down(n):
    if n == 0:
        raise KeyError("at the bottom")
    _down(n - 1)
