"""Digests of items that are the same in the next run of a program.

A pickle alone is not: sets come in the order of their hashes, and a text that is the same object twice is
written once. Here sets are sorted, texts always written, and functions go by `identity`.
"""

import io
import pickle
import types
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from plait._errors import CheckpointError

# Bytes of a digest.
_SIZE = 16

_Write = Callable[[bytes], object]


def digest(value: Any, name: str = "a value") -> bytes:
    """Give 16 bytes that tell values apart.

    Raises:
        plait.CheckpointError: the value, which `name` names, cannot be pickled.

    """
    seen = blake2b(digest_size=_SIZE)
    try:
        _feed(seen.update, value)
    except Exception as error:
        raise CheckpointError(
            f"{name} cannot be pickled ({type(error).__name__}: {error}), so that a checkpoint could not "
            "know it again; map over what can, such as names or paths, or do without checkpoint="
        ) from error
    return seen.digest()


def _feed(write: _Write, value: Any) -> None:
    """Write a value, with its type and its length, so that no two values write the same."""
    kind = type(value)
    if kind in _TEXTS:
        data = _TEXTS[kind](value)
        write(b"%s %d " % (kind.__name__.encode(), len(data)))
        write(data)
    elif kind is tuple or kind is list:
        write(b"%s %d " % (kind.__name__.encode(), len(value)))
        for each in value:
            _feed(write, each)
    elif kind is dict:
        write(b"dict %d " % len(value))
        for key, each in value.items():
            _feed(write, key)
            _feed(write, each)
    elif kind is set or kind is frozenset:
        write(b"%s %d " % (kind.__name__.encode(), len(value)))
        write(b"".join(_of_members(value)))
    else:
        with io.BytesIO() as file:
            _Pickler(file, protocol=5).dump(value)
            data = file.getvalue()
        write(b"pickle %d " % len(data))
        write(data)


_TEXTS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda value: b"",
    bool: lambda value: b"%d" % value,
    int: lambda value: value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True),
    float: lambda value: value.hex().encode(),
    complex: lambda value: f"{value.real.hex()} {value.imag.hex()}".encode(),
    str: lambda value: value.encode("utf-8", "surrogatepass"),
    bytes: lambda value: value,
}


def _of_members(values: Any) -> list[bytes]:
    members = []
    for each in values:
        seen = blake2b(digest_size=_SIZE)
        _feed(seen.update, each)
        members.append(seen.digest())
    return sorted(members)


class _Pickler(pickle._Pickler):
    """The pickler of the standard library that can be told how sets go, which the one in C cannot."""

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if kind is set or kind is frozenset:
            return kind, (_of_members(value),)
        if kind is types.FunctionType:
            from plait._long.identity import described

            return tuple, (described(value),)
        return NotImplemented

    def memoize(self, value: Any) -> None:
        # Whether two equal texts are one object is chance.
        if type(value) not in (str, bytes):
            super().memoize(value)  # type: ignore[misc]
