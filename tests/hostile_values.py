"""Values that will not travel to another process, or not arrive there: see `test_hostile_pickles`."""

import os
import sys
import threading


class Conn:
    def __init__(self, **held):
        vars(self).update(held)

    def take(self, value):
        return value


class Mute(Exception):
    def __str__(self):
        raise SystemExit("no str")

    __repr__ = __str__

    def __eq__(self, other):
        raise KeyboardInterrupt("no comparing")

    __hash__ = None


def nested_list(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Node:
    def __init__(self, following):
        self.following = following


def linked_list(length):
    value = None
    for _ in range(length):
        value = Node(value)
    return value


def unravel(value):
    """Takes a deep value apart from outside, so that nothing recurses."""
    while isinstance(value, (Node, list)) and value:
        value = value.following if isinstance(value, Node) else value.pop()


class Bad:
    """Raises while it is pickled ("dump") or unpickled ("load" in a function, "state" in `__setstate__`)."""

    def __init__(self, when, error, *args):
        self.when, self.error, self.args = when, error, args

    def __reduce__(self):
        if self.when == "dump":
            raise self.error(*self.args)
        if self.when == "load":
            return fail, (self.error, self.args)
        return Fragile, (), (self.error, self.args)


class Fragile:
    def __setstate__(self, state):
        fail(*state)


def fail(error, args):
    raise error(*args)


class Endless:
    """Its `__reduce__` calls itself."""

    def __reduce__(self):
        return self.__reduce__()


class Growing:
    """Is made of another one of its kind, without end."""

    def __reduce__(self):
        return Growing, (Growing(),)


class Bomb:
    """Asks for more memory than there is."""

    def __reduce__(self):
        return bytearray, (10**15,)


class ExitsProcess:
    def __reduce__(self):
        return os._exit, (7,)


def give_gone(*_):
    """An instance of a class that is in this process alone."""
    module = sys.modules[__name__]
    cls = type("OnlyHere", (), {"__module__": __name__, "__qualname__": "OnlyHere"})
    module.OnlyHere = cls
    return cls()


def make(cls):
    return [cls()]


def take(value):
    return type(value).__name__


def give(kind):
    return {**UNSENDABLE, **UNREADABLE}[kind]()


LOCK = "cannot pickle '_thread.lock' object"

UNSENDABLE = {
    "lock": lambda: [0, 1, 2, Conn(conn=Conn(lock=threading.Lock()))],
    "lock in many": lambda: [*range(100_000), Conn(lock=threading.Lock())],
    "lock in many objects": lambda: [*(Conn(i=i) for i in range(5000)), Conn(lock=threading.Lock())],
    "lock in a table": lambda: {**{str(i): i for i in range(5000)}, "z": {"lock": threading.Lock()}},
    "deep list": lambda: nested_list(100_000),
    "very deep list": lambda: nested_list(1_000_000),
    "linked list": lambda: linked_list(100_000),
    "endless": lambda: {"a": [Endless()]},
    "growing": lambda: {"a": [Growing()]},
    "raises": lambda: [Conn(bad=Bad("dump", ValueError, "no thanks"))],
    "exits": lambda: [Conn(bad=Bad("dump", SystemExit, 3))],
    "interrupts": lambda: [Conn(bad=Bad("dump", KeyboardInterrupt, "mine"))],
}
# Where the culprit is.
PATHS = {
    "lock": "{}[3].conn.lock",
    "lock in many": "{}[100000].lock",
    "lock in many objects": "{}[5000].lock",
    "lock in a table": "{}['z']['lock']",
    "deep list": "{}",
    "very deep list": "{}",
    "linked list": "{}",
    "endless": "{}['a'][0]",
    "growing": "{}['a'][0]",
    "raises": "{}[0].bad",
    "exits": "{}[0].bad",
    "interrupts": "{}[0].bad",
}
# What is said of it.
WHY = {
    "lock": LOCK,
    "lock in many": LOCK,
    "lock in many objects": LOCK,
    "lock in a table": LOCK,
    "deep list": "nested too deeply to be pickled",
    "very deep list": "nested too deeply to be pickled",
    "linked list": "nested too deeply to be pickled",
    "endless": "nested too deeply to be pickled",
    "growing": "nested too deeply to be pickled",
    "raises": "ValueError: no thanks",
    "exits": "SystemExit: 3",
    "interrupts": "KeyboardInterrupt: mine",
}

UNREADABLE = {
    "a function raises": lambda: [Bad("load", LookupError, "not here")],
    "__setstate__ raises": lambda: [Bad("state", ZeroDivisionError, "not there")],
    "exits there": lambda: [Bad("state", SystemExit, 3)],
    "interrupts there": lambda: [Bad("state", KeyboardInterrupt, "mine")],
    "generator's end": lambda: Bad("load", GeneratorExit, "over"),
    "a bomb": lambda: [Bomb()],
    "recursion": lambda: [Bad("load", RecursionError, "deeper")],
    "memory": lambda: [Bad("state", MemoryError, "more")],
    "mute": lambda: [Bad("load", Mute, "?")],
}
UNREADABLE_WHY = {
    "a function raises": "LookupError: not here",
    "__setstate__ raises": "ZeroDivisionError: not there",
    "exits there": "SystemExit: 3",
    "interrupts there": "KeyboardInterrupt: mine",
    "generator's end": "GeneratorExit: over",
    "a bomb": "MemoryError",
    "recursion": "RecursionError: deeper",
    "memory": "MemoryError: more",
    "mute": "hostile_values.Mute: <its str() raised SystemExit>",
}
