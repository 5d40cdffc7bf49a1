"""Iterators over the results of calls that are submitted a little ahead of the consumer."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from plait import _core, _seed

T = TypeVar("T")


def held(submit: Callable[..., T]) -> Callable[..., T]:
    """Give `submit` with the context variables of now, for calls of it that come later; one at a time."""
    return partial(copy_context().run, submit)


def submit_ahead(
    submit: Callable[..., Any],
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    ahead: int | None,
    timeout: float | None,
) -> Iterator[T]:
    """Submit `calls` at once, or at most `ahead` of them before the consumer; iterate over their results."""
    deadline = None if timeout is None else time.monotonic() + timeout
    futures: deque[Any] = deque()
    failure: list[BaseException] = []
    if ahead is None:
        # The iterator does not keep the executor: with nothing more to submit it needs it no more.
        for args in calls:
            futures.append(submit(fn, *args))
        return _results(futures, lambda: None, failure, deadline)
    # Most of them are submitted when a result is asked for, who knows where.
    submit = held(submit)

    def fill() -> None:
        while len(futures) < ahead:
            try:
                args = next(calls)
            except StopIteration:
                return
            except Exception as error:
                # What was submitted before is handed out first.
                failure.append(error)
                return
            futures.append(submit(fn, *args))

    fill()
    return _results(futures, fill, failure, deadline)


def submit_chunks(
    submit: Callable[..., Any],
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    chunksize: int,
    ahead: int | None,
    timeout: float | None,
) -> Iterator[T]:
    """The same with so many calls in each that is submitted."""
    if chunksize == 1:
        return submit_ahead(submit, fn, calls, ahead, timeout)
    chunks = iter(lambda: tuple(itertools.islice(calls, chunksize)), ())
    results = submit_ahead(submit, _call_chunk, ((fn, chunk) for chunk in chunks), ahead, timeout)
    return itertools.chain.from_iterable(results)


@_seed.numbered
def _call_chunk(fn: Callable[..., T], chunk: tuple[tuple[Any, ...], ...]) -> list[T]:
    return list(itertools.starmap(_core.Apart(fn), chunk))


def _results(
    futures: deque[Any], fill: Callable[[], None], failure: list[BaseException], deadline: float | None
) -> Iterator[Any]:
    """Hand out what the futures hold, submitting more before each; then raise what is in `failure`."""
    value = []
    try:
        while futures:
            future = futures.popleft()
            try:
                # Kept where pop() takes it out, so that nothing here knows it while the consumer has it.
                value.append(future.result(None if deadline is None else deadline - time.monotonic()))
            except BaseException:
                future.cancel()
                raise
            del future
            if not failure:
                try:
                    fill()
                except BaseException as error:
                    # The result in hand comes first.
                    failure.append(error)
            yield value.pop()
        if failure:
            raise failure.pop()
    finally:
        for future in futures:
            future.cancel()
