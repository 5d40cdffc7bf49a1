"""What it costs to send a call to another process: tried on calls that were measured, within a bound."""

import pickle
import time
from collections.abc import Callable
from typing import Any

from plait import _core
from plait._errors import NotPicklable

# Seconds and bytes after which a trial is given up: the figure so far will do.
_LONGEST = 0.01
_MOST_BYTES = 32 << 20

# The most calls that are tried together, and about as many bytes: the engine has memory that is used again
# and again, while a larger trial would be of how the system gives out new pages.
_TRIED = 32
_CHUNK_BYTES = 1 << 16

# How often they are tried, since the first time is slower, and seconds from which once will do.
_TRIALS = 3
_SURE = 0.001


class _TooMuch(Exception):
    pass


class _Scale:
    """A file that weighs what is written to it."""

    def __init__(self, until: float) -> None:
        self.bytes = 0
        self._until = until

    def write(self, data: Any) -> int:
        size = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        self.bytes += size
        if self.bytes > _MOST_BYTES or time.perf_counter() > self._until:
            raise _TooMuch
        return size


def weigh(fn: Callable[..., Any], calls: list[Any], results: list[Any]) -> dict[str, Any]:
    """Say whether `fn` and these calls can be sent, and what a call costs on the way there and back.

    Gives `sendable`, `why_not`, and for one call `sent_bytes`, `buffer_bytes` and `pickle` (seconds, one way
    each); a pickle that was given up counts as far as it came.
    """
    try:
        _core.function.FunctionTable().prepare(fn)
    except Exception as error:
        return {"sendable": False, "why_not": _why(error)}
    sent, apart, seconds = 0.0, 0.0, 0.0
    for values, whose in ((calls[:_TRIED], ""), (results[:_TRIED], "its result: ")):
        if not values:
            continue
        try:
            size, buffers, took = _weigh_one_of(values)
        except Exception as error:
            return {"sendable": False, "why_not": whose + _why(error)}
        sent += size
        apart += buffers
        seconds += took
    return {"sendable": True, "why_not": None, "sent_bytes": sent, "buffer_bytes": apart, "pickle": seconds}


def _weigh_one_of(values: list[Any]) -> tuple[float, float, float]:
    """Bytes in the pickle, bytes beside it, and seconds, of one of these values: means of a chunk of them."""
    buffers: list[Any] = []
    begun = time.perf_counter()
    scale = _Scale(begun + _LONGEST)
    try:
        pickle.Pickler(scale, 5, buffer_callback=buffers.append).dump(values[0])
    except _TooMuch:
        return scale.bytes, _size(buffers), time.perf_counter() - begun
    except Exception:
        # By value, as the engine would: functions of the script, lambdas.
        buffers.clear()
    else:
        took = time.perf_counter() - begun
        if scale.bytes + _size(buffers) > _CHUNK_BYTES:
            return scale.bytes, _size(buffers), took
    chunk = values[: max(1, _CHUNK_BYTES // max(1, scale.bytes))]
    trials = []
    for _ in range(_TRIALS):
        apart: list[Any] = []
        begun = time.perf_counter()
        _, data = _core.codec.encode_chunk(chunk, 0, apart)
        trials.append(time.perf_counter() - begun)
        if trials[0] > _SURE:
            break
    count = len(chunk)
    return len(data) / count, _size(apart) / count, min(trials) / count


def _size(buffers: list[Any]) -> int:
    return sum(memoryview(buffer).nbytes for buffer in buffers)


def _why(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if not isinstance(error, NotPicklable):
        text = f"{type(error).__name__}: {text}"
    return text.splitlines()[0]
