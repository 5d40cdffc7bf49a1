"""What the tests run on workers: functions, classes and exceptions of an importable module."""

import ctypes
import functools
import os
import signal
import sys
import threading
import time


def add_one(x):
    return x + 1


def identity(x):
    return x


def nothing():
    return None


def arguments(*args, **kwargs):
    return args, kwargs


def add(a, b):
    return a + b


def pid(*_):
    return os.getpid()


def count(value):
    return len(value)


def blob(n):
    return b"\xa5" * n


def text(n):
    return "ü" * n


# --- gates: a task that says it has begun, and ends when the test lets it


def pass_gate(folder, name, value=None):
    """Notes in `folder` that `name` has begun, waits until the test opens the gate, and gives `value`."""
    with open(os.path.join(folder, f"entered-{name}"), "w") as file:
        file.write(str(os.getpid()))
    deadline = time.monotonic() + 120
    while not os.path.exists(os.path.join(folder, "open")):
        if time.monotonic() > deadline:
            raise TimeoutError("nobody opened the gate")
        time.sleep(0.002)
    return value


def append(path, line):
    """Adds a line to a file, whole."""
    with open(path, "a") as file:
        file.write(f"{line}\n")


def sleep(seconds):
    time.sleep(seconds)
    return seconds


# --- errors


def fail(message="on purpose"):
    raise ValueError(message)


def fail_on(x, bad):
    if x == bad:
        raise ValueError(f"item {x}")
    return x


class OddError(Exception):
    """Pickles by itself into something that cannot be made again: two arguments in, one kept."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class KeywordError(Exception):
    def __init__(self, *, hint):
        super().__init__(hint)
        self.hint = hint


class LockedError(Exception):
    """Holds what cannot be sent."""

    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()


class NoTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text either")


class UnreadableError(Exception):
    """Can be pickled, and not unpickled."""

    def __reduce__(self):
        return explode, ("an exception",)


class LastWords(BaseException):
    """No `Exception`."""


def raise_odd():
    raise OddError(7, "odd")


def raise_keyword():
    raise KeywordError(hint="use force")


def raise_locked():
    raise LockedError("holds a lock")


def raise_no_text():
    raise NoTextError("unsaid")


def raise_unreadable():
    raise UnreadableError("cannot come back")


def raise_last_words():
    raise LastWords("bye")


def raise_local():
    class LocalError(ValueError):
        pass

    raise LocalError("from inside")


def raise_chained():
    try:
        raise KeyError("first")
    except KeyError as error:
        raise RuntimeError("second") from error


def raise_noted():
    error = ValueError("noted")
    error.add_note("see page 9")
    raise error


def raise_group():
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


def raise_interrupt():
    raise KeyboardInterrupt("by hand")


def raise_exit(code=3):
    sys.exit(code)


def raise_stop():
    raise StopIteration("not an end")


def raise_itself(error):
    raise error


def deep_error():
    return _deeper()


def _deeper():
    raise LookupError("at the bottom")  # this very line is looked for in the traceback


# --- values that cannot travel, or not arrive


def explode(what="a value"):
    raise RuntimeError(f"{what} that will not load")


class Exploding:
    """Pickles, and raises where it is loaded."""

    def __reduce__(self):
        return explode, ()


def give_lock():
    return threading.Lock()


def give_nested_lock():
    return {"handlers": [1, {"lock": threading.Lock()}]}


def give_generator():
    return (x for x in range(3))


def give_exploding():
    return Exploding()


def give_lambda():
    return lambda x: x * 3


class Holder:
    def __init__(self, inner):
        self.inner = inner

    def peek(self):
        return self.inner


# --- callables of all sorts


def unwrapped(function):
    """A decorator without `functools.wraps`."""

    def inner(*args):
        return function(*args) * 10

    return inner


def wrapped(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args) * 10

    return inner


@unwrapped
def tenfold(x):
    return x


@wrapped
def tenfold_wrapped(x):
    return x


class Counter:
    def __init__(self, start):
        self.start = start

    def plus(self, x):
        return self.start + x

    def __call__(self, x):
        return self.start * x

    @classmethod
    def named(cls, x):
        return f"{cls.__name__}{x}"

    @staticmethod
    def halve(x):
        return x // 2

    def __eq__(self, other):
        return type(other) is Counter and other.start == self.start

    def __hash__(self):
        return hash(self.start)


class Outer:
    class Inner:
        @staticmethod
        def seven():
            return 7


@functools.lru_cache
def cached(x):
    return x + 100


# --- dying


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def terminate_self():
    os.kill(os.getpid(), signal.SIGTERM)


def abort_self():
    os.abort()


def exit_self(code=5):
    os._exit(code)


def segfault():
    ctypes.string_at(0)


DEATHS = {
    "SIGKILL": kill_self,
    "SIGTERM": terminate_self,
    "SIGABRT": abort_self,
    "SIGSEGV": segfault,
    "code 5": exit_self,
}


# --- initializers

state = {}


def set_state(key, value):
    state[key] = value


def get_state(key):
    return state.get(key), os.getpid(), threading.get_ident()


def bad_initializer():
    raise OSError("no licence server")


# --- pools inside of tasks


def sum_in_own_pool(n):
    import plait

    with plait.ProcessPoolExecutor(2) as executor:
        return sum(executor.map(add_one, range(n)))


def sum_by_map(n, backend):
    import plait

    return sum(plait.map(add_one, range(n), backend=backend, workers=2))


def sees():
    """What a worker's surroundings look like."""
    return {"argv": sys.argv, "cwd": os.getcwd(), "path": sys.path, "ppid": os.getppid()}


def loaded(name):
    return name in sys.modules
