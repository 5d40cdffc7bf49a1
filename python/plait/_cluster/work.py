"""What a worker of a cluster runs: one chunk of calls, as bytes in and bytes out.

It runs in the thread that the engine has for it. A function is loaded once for each process that meets it.
"""

import contextvars
import os
import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any

from plait import _context, _core
from plait._cluster import versions
from plait._errors import NotPicklable, TaskTimeout

# Forms of calls: an item each, a tuple of arguments each, or one call with keywords.
ITEMS, CALLS, CALL = 0, 1, 2

# What an answer begins with: results together, results one by one, or why there are none.
DONE, APART, NO_FUNCTION, NO_CALLS, DIFFERENT = 0, 1, 2, 3, 4

# Functions that a process keeps loaded.
_MOST = 64

# plait's own form for plain values, which always loads.
_NATIVE = 0

_lock = threading.RLock()
_loaded: "OrderedDict[bytes, tuple[str, Callable[..., Any]]]" = OrderedDict()


Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def run(digest: bytes, function: bytes, calls: bytes, wrap: Wrap | None = None) -> bytes:
    """Make the calls of a chunk: all of them, or those up to the first that raises.

    `wrap` gives what is called in place of the function.
    """
    try:
        name, fn = _load(digest, function)
    except _Different as error:
        return _packed(DIFFERENT, error.args[0])
    except BaseException as error:
        return _packed(NO_FUNCTION, _core.codec.encode_exception(_root(error)))
    form, kind, data, goes_on, timeout, retries, sent = pickle.loads(calls)
    try:
        made = _items(form, kind, data)
    except BaseException as error:
        return _packed(NO_CALLS, _core.codec.encode_exception(_root(error)))
    call = fn = fn if wrap is None else wrap(fn)
    if timeout is not None or retries:
        call = _limited(fn, name, timeout, retries)
    context = contextvars.copy_context()
    if sent is not None:
        for variable, value in _context.unpack(sent)[0]:
            context.run(variable.set, value)
    # Each call sees what came with it, and nothing that another has set.
    return _call_all(_FORMS[form](context.run(_core.Apart, call)), made, goes_on)


@cache
def own_versions() -> dict[str, str | None]:
    """Of this process."""
    return versions.versions()


class _Different(Exception):
    """This worker's versions are not those of who sent the function; the argument says which."""


def _load(digest: bytes, function: bytes) -> tuple[str, Callable[..., Any]]:
    with _lock:
        known = _loaded.get(digest)
        if known is None:
            theirs, name, data = pickle.loads(function)
            if different := versions.differences(theirs, own_versions()):
                raise _Different(different)
            fn, _, _ = _core.codec.decode_direct(data)
            known = _loaded[digest] = (name, fn)
            while len(_loaded) > _MOST:
                _loaded.popitem(last=False)
        _loaded.move_to_end(digest)
        return known


def _root(error: BaseException) -> BaseException:
    """What loading ran into, without what the codec says of it to those who share a machine."""
    while isinstance(error, NotPicklable) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _items(form: int, kind: int, data: bytes) -> list[Any]:
    return [_core.codec.decode_call(kind, data)] if form == CALL else _core.codec.decode_chunk(kind, data)


def _with_keywords(call: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda each: call(*each[0], **(each[1] or {}))


# What makes a call of an item that came in each form; most come as the argument itself.
_FORMS: dict[int, Callable[[Callable[..., Any]], Callable[[Any], Any]]] = {
    ITEMS: lambda call: call,
    CALLS: lambda call: lambda each: call(*each),
    CALL: _with_keywords,
}


def _call_all(call: Callable[[Any], Any], items: list[Any], goes_on: bool) -> bytes:
    begun = time.perf_counter()
    values: list[Any] = []
    failures: dict[int, bytes] = {}
    for item in items:
        try:
            value = call(item)
        except BaseException as raised:
            failures[len(values)] = _core.codec.encode_exception(raised)
            values.append(None)
            if not (goes_on and isinstance(raised, Exception)):
                break
        else:
            values.append(value)
    seconds = time.perf_counter() - begun
    try:
        kind, data = _core.codec.encode(values)
        if kind == _NATIVE:
            return _packed(DONE, seconds, kind, data, failures)
    except Exception:
        # One of them cannot be sent: which, is seen below.
        pass
    # Each for itself, so that one which cannot be sent, or does not load, is its own call's failure.
    parts: list[tuple[int, bytes] | None] = []
    for place, value in enumerate(values):
        part = None
        if place not in failures:
            try:
                part = _core.codec.encode(value)
            except Exception as error:
                failures[place] = _core.codec.encode_exception(error)
                if not goes_on:
                    parts.append(None)
                    break
        parts.append(part)
    return _packed(APART, seconds, parts, failures)


def _packed(*answer: Any) -> bytes:
    return pickle.dumps(answer, protocol=5)


def _limited(fn: Callable[..., Any], name: str, timeout: float | None, retries: int) -> Callable[..., Any]:
    """Give the function with so many tries, each of which may take so long."""

    def call(*args: Any, **kwargs: Any) -> Any:
        tries = 0
        while True:
            tries += 1
            try:
                if timeout is None:
                    return fn(*args, **kwargs)
                return _in_time(fn, args, kwargs, name, timeout)
            except Exception as error:
                if tries <= retries:
                    continue
                if isinstance(error, TaskTimeout) and error.task == name:
                    error.tries = tries
                if tries > 1:
                    error.add_note(f"plait: failed in each of {tries} tries")
                raise

    return call


def _in_time(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str, timeout: float
) -> Any:
    """Call in a thread of its own, which is abandoned after `timeout` seconds."""
    ended: list[tuple[Any, BaseException | None]] = []
    over = threading.Event()

    def make() -> None:
        try:
            ended.append((fn(*args, **kwargs), None))
        except BaseException as error:
            ended.append((None, error))
        over.set()

    context = contextvars.copy_context()
    # Not to be waited for when the worker ends.
    threading.Thread(target=context.run, args=(make,), name=f"plait-{name}", daemon=True).start()
    if not over.wait(timeout):
        error = TaskTimeout(
            f"{name} took longer than its timeout of {timeout:g} s and was abandoned: a thread cannot be "
            "stopped, so the call goes on in its thread of the worker, and what comes of it is dropped"
        )
        error.timeout, error.task, error.pid = timeout, name, os.getpid()
        raise error
    value, failure = ended[0]
    if failure is not None:
        raise failure
    return value
