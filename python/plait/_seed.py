"""Random numbers that are the same in each run: a stream for each task, made of a seed and the task's number.

The number goes along as the last argument (`bind`), so neither the worker nor the chunk that a task comes to
changes what it draws, and a try that follows another draws the same. Seeded is what all code of a process
shares: the functions of `random` and of `numpy.random`. So calls must not share a process at the same time,
which those on threads and event loops do.

A task that submits to its own pool, or maps, is numbered too: its own numbers stand before those of its
tasks. In a worker the states stay as a task has left them, and the next one is seeded anew. Where a call runs
within another, or in the caller's own process, the states are put back after it.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

# Bytes of a key, which is what the generators of a task are seeded with.
_SIZE = 32

# As many numbers as any map has items; a range, since its length is known.
_NUMBERS = range(sys.maxsize)

# Functions whose numbered form an executor keeps.
_MOST_BOUND = 64

_WHY = (
    "seed= seeds the functions of random and of numpy.random, which all {} of a process share; "
    'use backend="processes" or "serial", or give each call a generator of its own'
)


def check(seed: object, backend: str, is_coroutine: bool = False) -> str:
    """Give the backend for seeded tasks: worker processes where plait was to choose one.

    Raises:
        ValueError: tasks share a process there, or the seed is below 0.
        TypeError: it is no integer.

    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an integer or None, not {seed!r}")
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, not {seed!r}")
    if is_coroutine or backend == "asyncio":
        raise ValueError(_WHY.format("coroutines"))
    if backend == "threads":
        raise ValueError(_WHY.format("threads"))
    if backend == "interpreters":
        raise ValueError("seed= is not there on backend 'interpreters': use 'processes'")
    return "processes" if backend == "auto" else backend


class Stream:
    """What the call that runs draws from: the seed, and the numbers that lead to it."""

    def __init__(self, seed: int, numbers: tuple[int, ...]) -> None:
        """`numbers`: its own, after those of the tasks that it is a task of."""
        self._seed = seed
        self._numbers = numbers
        self._count = count()

    def key(self) -> bytes:
        """Give the bytes that its generators are seeded with."""
        from hashlib import blake2b

        text = "/".join(map(str, (self._seed, *self._numbers)))
        return blake2b(text.encode(), digest_size=_SIZE, person=b"plait seed").digest()

    def below(self, fn: Callable[..., T]) -> Callable[..., T]:
        """Give `fn` as its tasks, or the items of the next map of its, are to be called."""
        return bind(fn, self._seed, self._numbers)

    def map(
        self, fn: Callable[..., T], iterables: tuple[Any, ...]
    ) -> tuple[Callable[..., T], tuple[Any, ...]]:
        """Give function and inputs of a map that the call begins."""
        return bind(fn, self._seed, (*self._numbers, next(self._count))), (*iterables, _NUMBERS)

    def task(self, fn: Callable[..., T], args: tuple[Any, ...]) -> tuple[Callable[..., T], tuple[Any, ...]]:
        """Give function and arguments of a task that the call submits; those of a map have their numbers."""
        if getattr(fn, "plait_numbered", False):
            return fn, args
        return self.below(fn), (*args, next(self._count))

    def __reduce__(self) -> NoReturn:
        """Stay with the call: two that had it would draw the same."""
        raise TypeError("the stream of a call belongs to it alone")


#: The stream of the call that runs here.
running: ContextVar[Stream | None] = ContextVar("running", default=None)


def numbered(fn: Callable[..., T]) -> Callable[..., T]:
    """Mark a function as one that needs no number: what it calls has them."""
    vars(fn)["plait_numbered"] = True
    return fn


def bind(fn: Callable[..., T], seed: int, above: tuple[int, ...] = ()) -> Callable[..., T]:
    """Give a function that takes a task's number behind its arguments, and calls `fn` with its stream."""

    def seeded(*args: Any, **kwargs: Any) -> T:
        from plait._seed import call

        return call(seed, (*above, args[-1]), fn, args[:-1], kwargs)

    # Errors speak of the function itself.
    for name in ("__module__", "__qualname__", "__name__"):
        value = getattr(fn, name, None)
        if isinstance(value, str):
            setattr(seeded, name, value)
    return numbered(seeded)


def mapped(
    fn: Callable[..., T], iterables: tuple[Any, ...], seed: int | None, backend: str, is_coroutine: bool
) -> tuple[Callable[..., T], tuple[Any, ...], str]:
    """Give function, inputs and backend of a map: with numbers if it is seeded, or part of a task that is.

    Raises what `check` does.
    """
    if seed is not None:
        backend = check(seed, backend, is_coroutine)
        return bind(fn, seed), (*iterables, _NUMBERS), backend
    stream = running.get()
    if stream is None or is_coroutine or backend in ("threads", "interpreters", "asyncio"):
        return fn, iterables, backend
    return *stream.map(fn, iterables), "processes" if backend == "auto" else backend


class Numbering:
    """Stands before an executor's `submit`: each task gets the next number."""

    def __init__(self, executor: Any, seed: int) -> None:
        """Number all tasks of this executor from now on."""
        self._submit = executor.submit
        self._submit_limited = executor._submit_with
        self._seed = seed
        self._count = count()
        self._bound: OrderedDict[int, tuple[Any, Callable[..., Any]]] = OrderedDict()
        executor.submit, executor._submit_with = self.submit, self.submit_with

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Submit as the executor does."""
        fn, args = self._task(fn, args)
        return self._submit(fn, *args, **kwargs)

    def submit_with(
        self, timeout: float | None, retries: int, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same for a call with limits of its own."""
        fn, args = self._task(fn, args)
        return self._submit_limited(timeout, retries, fn, args, kwargs)

    def map(
        self, fn: Callable[..., T], iterables: tuple[Any, ...]
    ) -> tuple[Callable[..., T], tuple[Any, ...]]:
        """Give function and inputs of a map, each of whose calls is a task."""
        return self._of(fn), (*iterables, self._count)

    def _task(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        if getattr(fn, "plait_numbered", False):
            return fn, args
        return self._of(fn), (*args, next(self._count))

    def _of(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        # The same one each time, so that it is sent once.
        known = self._bound.get(id(fn))
        if known is None:
            known = self._bound[id(fn)] = (fn, bind(fn, self._seed))
            while len(self._bound) > _MOST_BOUND:
                self._bound.popitem(last=False)
        return known[1]


# --- while a call runs

# How many seeded calls this process is in.
_within = 0


def call(
    seed: int, numbers: tuple[int, ...], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> T:
    """Call `fn` with the stream of this task."""
    global _within
    from plait import _core

    stream = Stream(seed, numbers)
    before = _states() if _within or not _core.is_worker() else None
    token = running.set(stream)
    _within += 1
    try:
        _put(stream)
        return fn(*args, **kwargs)
    finally:
        _within -= 1
        running.reset(token)
        if before is not None:
            _put_back(before)


def _put(stream: Stream) -> None:
    import random

    key = stream.key()
    random.seed(key)
    numpy = _numpy()
    if numpy is not None:
        _seed_numpy(numpy, key)
    else:
        _watch_numpy()


def _seed_numpy(numpy: Any, key: bytes) -> None:
    numpy.seed([int.from_bytes(key[at : at + 4], "little") for at in range(0, _SIZE, 4)])


def _numpy() -> Any:
    """The module of NumPy's global state, once it is there."""
    numpy: Any = sys.modules.get("numpy.random.mtrand")
    return numpy if hasattr(numpy, "seed") else None


_watches = False


def _watch_numpy() -> None:
    """Have NumPy seeded if the call imports it."""
    global _watches
    if _watches:
        return
    _watches = True
    from plait._inherit import when_imported

    def come(numpy: Any) -> None:
        stream = running.get()
        if stream is not None:
            _seed_numpy(numpy, stream.key())

    when_imported("numpy.random.mtrand", come)


def _states() -> tuple[Any, Any]:
    import random

    numpy = _numpy()
    return random.getstate(), None if numpy is None else numpy.get_state(legacy=False)


def _put_back(states: tuple[Any, Any]) -> None:
    import random

    random.setstate(states[0])
    numpy = _numpy()
    if states[1] is not None:
        numpy.set_state(states[1])
    elif numpy is not None:
        # It came with the call: as if it had come without.
        numpy.seed()


def part_ways() -> None:
    """In a new worker: NumPy's state is that of the process it was forked from, and of all its other workers.

    `random` sees to itself.
    """
    numpy = _numpy()
    if numpy is not None:
        numpy.seed()
