"""Beginning a map in sub-interpreters: see `plait.map`."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from plait._interpreters.check import check
from plait._interpreters.executor import submit_chunks
from plait._kept import pool_of

# Calls ahead of the consumer for each interpreter, so that none waits for its turn.
_AHEAD = 8


def start(
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    workers: int | None,
    chunksize: int | None,
    buffersize: int | None,
    limits: tuple[float | None, int],
) -> Iterator[Any]:
    """Start the calls, once it is known that the function can be loaded there; see `plait._map.map`.

    Raises:
        ImportError: a module that the function names refuses sub-interpreters.
        plait.NotPicklable: the function cannot be sent.

    """
    from plait._process import all_workers

    check(fn)
    pool = pool_of("interpreters", workers or all_workers())
    submit = pool.submit
    if limits != (None, 0):
        chunksize, submit = 1, pool.options(timeout=limits[0], retries=limits[1]).submit
    return start_on(submit, pool._max_workers, fn, iterables, chunksize or 1, buffersize)


def start_on(
    submit: Callable[..., Any],
    workers: int,
    fn: Callable[..., Any],
    iterables: tuple[Iterable[Any], ...],
    chunksize: int,
    buffersize: int | None,
) -> Iterator[Any]:
    """Start the calls on a pool of so many workers."""
    ahead = _AHEAD * workers if buffersize is None else max(1, buffersize // chunksize)
    return submit_chunks(submit, fn, zip(*iterables), chunksize, ahead, None)
