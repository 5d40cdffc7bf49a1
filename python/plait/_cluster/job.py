"""Functions and calls as bytes for a cluster, and answers back: what the parent packs and opens.

All of it travels whole: nothing stays in shared memory, which no other machine has.
"""

import pickle
from collections.abc import Callable, Sequence
from contextvars import copy_context
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

from plait import _context, _core
from plait._cluster import work
from plait._errors import PlaitError, remote_traceback
from plait._long.stretch import Singles


class Job(NamedTuple):
    """A function on its way: by this digest each worker process knows whether it has loaded it."""

    digest: bytes
    function: bytes
    name: str


class Answer(NamedTuple):
    """What became of the calls of a chunk.

    `values` has None for each call that failed, and `failures` its exception, by its place. There are as
    many values as calls were made.
    """

    seconds: float
    values: list[Any]
    failures: dict[int, BaseException]
    weight: int


def job_of(fn: Callable[..., Any]) -> Job:
    """Pack a function.

    Raises:
        plait.NotPicklable: it cannot be sent.

    """
    name = _name_of(fn)
    _, data = _core.codec.encode_direct(fn, ())
    function = pickle.dumps((work.own_versions(), name, data), protocol=4)
    return Job(blake2b(function, digest_size=16).digest(), function, name)


def _name_of(fn: Any) -> str:
    """As in the errors of the other backends."""
    module, name = getattr(fn, "__module__", None), getattr(fn, "__qualname__", None)
    if not isinstance(name, str):
        return type(fn).__name__
    return f"{module}.{name}" if isinstance(module, str) and module not in ("__main__", "builtins") else name


def chunk_of(
    calls: Sequence[tuple[Any, ...]], first: int, goes_on: bool, limits: tuple[float | None, int]
) -> bytes:
    """Pack calls with positional arguments; they are counted from `first` in what speaks against one.

    Raises:
        plait.NotPicklable: an item cannot be sent.

    """
    form = work.ITEMS
    if isinstance(calls, Singles):
        items = calls.bare
    elif calls and len(calls[0]) == 1:
        # A map's calls all have as many.
        items = list(chain.from_iterable(calls))
    else:
        form, items = work.CALLS, list(calls)
    kind, data = _core.codec.encode_chunk(items, first)
    return pickle.dumps((form, kind, data, goes_on, *limits, _context_of_now()), protocol=5)


def call_of(args: tuple[Any, ...], kwargs: dict[str, Any], limits: tuple[float | None, int]) -> bytes:
    """Pack one call.

    Raises:
        plait.NotPicklable: an argument cannot be sent.

    """
    kind, data = _core.codec.encode_call(args, kwargs)
    return pickle.dumps((work.CALL, kind, data, False, *limits, _context_of_now()), protocol=5)


def _context_of_now() -> bytes | None:
    """Give what goes along of the context variables that are set here."""
    items = copy_context().items()
    return _context.pack(items)[0] if items else None


class Unloadable(PlaitError):
    """A worker could not load what it was sent; no call of it was made. The cause says why."""

    def __init__(self, text: str, is_function: bool) -> None:
        """`is_function`: that, and not the arguments: no other call of it would fare better."""
        super().__init__(text)
        self.is_function = is_function


class Mismatch(PlaitError):
    """The two ends of a cluster have other versions of what both must have."""


def opened(answer: bytes, name: str, where: str) -> Answer:
    """Open what a worker answered.

    Raises:
        Unloadable, Mismatch: it could not run the calls.

    """
    said = pickle.loads(answer)
    if said[0] == work.DONE:
        _, seconds, kind, data, failed = said
        values = _core.codec.decode(kind, data)
        failures = {place: _core.codec.decode_exception(error) for place, error in failed.items()}
        return Answer(seconds, values, failures, len(answer))
    if said[0] == work.APART:
        _, seconds, parts, failed = said
        failures = {place: _core.codec.decode_exception(error) for place, error in failed.items()}
        values = []
        for place, part in enumerate(parts):
            value = None
            if part is not None:
                try:
                    value = _core.codec.decode(*part)
                except Exception as error:
                    failures[place] = error
            values.append(value)
        return Answer(seconds, values, failures, len(answer))
    if said[0] == work.DIFFERENT:
        raise mismatch(where, [f"a worker has other versions: {', '.join(said[1])}"])
    cause = _core.codec.decode_exception(said[1])
    is_function = said[0] == work.NO_FUNCTION
    raise _unloadable(cause, name, where, is_function) from cause


def mismatch(where: str, lines: list[str]) -> Mismatch:
    """Give the error that names both sides, and the remedy."""
    return Mismatch(
        f"{where} and this program do not fit together: {'; '.join(lines)}; "
        "install the same versions at both ends"
    )


def _unloadable(cause: BaseException, name: str, where: str, is_function: bool) -> Unloadable:
    what = name if is_function else f"the arguments of {name}"
    text = f"a worker of {where} cannot load {what}: {type(cause).__name__}: {cause}"
    if isinstance(cause, ModuleNotFoundError) and cause.name:
        top = cause.name.partition(".")[0]
        text += (
            f"; install {top} there, or have it sent along: "
            f"import cloudpickle, {top}; cloudpickle.register_pickle_by_value({top})"
        )
    elif cause.__cause__ is None:
        cause.__cause__ = remote_traceback(text)
    return Unloadable(text, is_function)
