"""What an object is to somebody who looks for shared state: plain, a container, a record, or handed from one
thread to another.

Told by the object's real type. Libraries' classes are known by their names, so that none is imported to be
asked.
"""

import collections
import functools
import sys
import types
from typing import Any

from plait._state.origin import Origin
from plait._state.safe import MISSING, PLAIN, in_class, module_of, mro_of, name_of, namespace_of

# What is taken apart, by the type whose methods read it.
_BASES: list[tuple[type, str]] = [
    (list, "list"),
    (dict, "dict"),
    (set, "set"),
    (collections.deque, "deque"),
    (bytearray, "bytearray"),
    (tuple, "tuple"),
    (frozenset, "tuple"),
    (types.FunctionType, "function"),
    (types.MethodType, "method"),
    (types.BuiltinFunctionType, "builtin"),
    (types.MethodWrapperType, "builtin"),
    (functools.partial, "partial"),
    (type(functools.lru_cache(print)), "wrapper"),
    (classmethod, "wrapper"),
    (staticmethod, "wrapper"),
    (property, "property"),
    (functools.cached_property, "cached"),
    (type, "class"),
    (types.ModuleType, "module"),
]

# What threads hand to each other, and what lives in one process alone: (module, class) of any base.
_HANDOVERS = {
    ("_thread", "lock"): "lock",
    ("_thread", "RLock"): "lock",
    ("threading", "_RLock"): "lock",
    ("threading", "Condition"): "condition",
    ("threading", "Event"): "event",
    ("threading", "Semaphore"): "semaphore",
    ("threading", "Barrier"): "barrier",
    ("threading", "Thread"): "thread",
    ("_thread", "_local"): "thread-local",
    ("_threading_local", "local"): "thread-local",
    ("queue", "Queue"): "queue",
    ("_queue", "SimpleQueue"): "queue",
    ("queue", "_PySimpleQueue"): "queue",
    ("asyncio.mixins", "_LoopBoundMixin"): "asyncio primitive",
    ("multiprocessing.synchronize", "SemLock"): "multiprocessing lock",
    ("multiprocessing.synchronize", "Condition"): "multiprocessing condition",
    ("multiprocessing.synchronize", "Event"): "multiprocessing event",
    ("multiprocessing.queues", "Queue"): "multiprocessing queue",
    ("multiprocessing.queues", "SimpleQueue"): "multiprocessing queue",
    ("multiprocessing.sharedctypes", "SynchronizedBase"): "multiprocessing value",
    ("multiprocessing.connection", "_ConnectionBase"): "connection",
    ("concurrent.futures._base", "Executor"): "executor",
    ("concurrent.futures._base", "Future"): "future",
    ("multiprocessing.pool", "Pool"): "pool",
    ("_io", "_IOBase"): "open file",
    ("tempfile", "_TemporaryFileWrapper"): "open file",
    ("mmap", "mmap"): "mapped file",
    ("_socket", "socket"): "socket",
    ("_csv", "reader"): "iterator",
    ("_csv", "writer"): "open file",
    ("builtins", "generator"): "generator",
    ("builtins", "async_generator"): "generator",
    ("builtins", "coroutine"): "coroutine",
}
# Drivers of databases call theirs so, each in its own module.
_CONNECTIONS = {
    "Connection": "connection",
    "connection": "connection",
    "Cursor": "cursor",
    "cursor": "cursor",
}
_ITERATED = ("builtins", "itertools", "collections")

# Their own state is nobody's business: what they draw, log or have compiled.
_LEFT_ALONE = (
    "random",
    "logging",
    "numpy",
    "re",
    "typing",
    "enum",
    "abc",
    "functools",
    "decimal",
    "unittest",
)

_WHAT_IT_MEANS = {
    "lock": "which other threads can hold",
    "condition": "which other threads can wait for",
    "event": "which other threads can wait for",
    "semaphore": "which other threads can hold",
    "barrier": "which other threads can wait for",
    "queue": "which other threads can read",
    "thread-local": "which belongs to threads of this process",
    "open file": "whose position all calls share",
    "mapped file": "which belongs to this process",
    "generator": "which all calls take from",
    "iterator": "which all calls take from",
}


def meaning(handover: str) -> str:
    """Why what is handed over so keeps a function in this process, as a relative clause."""
    if handover.startswith("multiprocessing"):
        return "which workers cannot be sent"
    return _WHAT_IT_MEANS.get(handover, "which belongs to this process")


class Kinds:
    """Tells of what kind objects are, and remembers it by type."""

    def __init__(self, origin: Origin) -> None:
        """Begin with no types known."""
        self._origin = origin
        # By address: to hash a class may call its metaclass. Each is kept, so that its address stays its own.
        self._known: dict[int, tuple[str, type]] = {}

    def of(self, obj: Any) -> str:
        """Gives one word.

        "plain"; what is in the module's list; "ndarray", "array", "memoryview", "frame", "contextvar";
        "record": an object whose attributes say what it is; "library": the same, made by somebody else's
        class; "callable": one of those that is called; "handover " with its name; "opaque": nothing is known.
        """
        cls = type(obj)
        if id(cls) in PLAIN:
            return "plain"
        known = self._known.get(id(cls))
        if known is None:
            known = self._known[id(cls)] = (self._told(cls), cls)
        kind = known[0]
        if kind == "handover open file" and _is_standard_stream(obj):
            return "opaque"
        return kind

    def _told(self, cls: type) -> str:
        mro = mro_of(cls)
        names = [(module_of(base), name_of(base)) for base in mro]
        if names[0][0].partition(".")[0] == "plait":
            return "wrapper" if names[0] == ("plait._task", "Task") else "opaque"
        for base, word in _BASES:
            if any(each is base for each in mro):
                return word
        for name in names:
            if name in _HANDOVERS:
                return "handover " + _HANDOVERS[name]
        if ("numpy", "ndarray") in names:
            return "ndarray"
        if ("array", "array") in names:
            return "array"
        if ("builtins", "memoryview") in names or ("_contextvars", "ContextVar") in names:
            return "memoryview" if cls is memoryview else "contextvar"
        if ("pandas.core.generic", "NDFrame") in names or names[0] in _FRAMES:
            return "frame"
        if names[0][0] in _ITERATED and any("__next__" in namespace_of(base) for base in mro):
            return "handover iterator"
        if self._origin.owns_class(cls) or names[0] in _RECORDS:
            return "record"
        if names[0][1] in _CONNECTIONS:
            return "handover " + _CONNECTIONS[names[0][1]]
        if in_class(cls, "__call__") is not MISSING:
            return "callable"
        if any(module.partition(".")[0] in _LEFT_ALONE for module, _ in names[:1]):
            return "opaque"
        return "library"


# pandas says of its classes that they are of `pandas`.
_FRAMES = {("pandas", "DataFrame"), ("pandas", "Series")}
# Made to be written to.
_RECORDS = {("types", "SimpleNamespace"), ("argparse", "Namespace")}


def _is_standard_stream(obj: Any) -> bool:
    names = ("stdin", "stdout", "stderr", "__stdin__", "__stdout__", "__stderr__")
    return any(obj is getattr(sys, name, None) for name in names)
