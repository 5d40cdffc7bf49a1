"""What workers of joblib's backend run. It imports no library that reads how many threads it may have."""

import os
from collections.abc import Callable
from typing import Any

from plait import _core, _native_threads


def begin(environ: dict[str, str], initializer: bytes | None) -> None:
    """Take the environment, then run the initializer that the user gave.

    Args:
        environ: Variables to set, such as the number of threads of BLAS libraries.
        initializer: The user's, with its arguments, pickled apart: loading it may import such a library.

    """
    os.environ.update(environ)
    _native_threads.follow()
    if initializer is not None:
        from plait import _initialized

        _initialized.call(lambda: _core.codec.decode_direct(initializer))


def call(batch: Callable[[], list[Any]]) -> list[Any]:
    """Make the calls of one of joblib's batches, and give their results."""
    return _core.call_as(_first(batch), _apart(batch), ())


def _apart(batch: Any) -> Any:
    """Have no call of a batch see what another has set of context variables."""
    items = getattr(batch, "items", None)
    if isinstance(items, list) and len(items) > 1:
        batch.items = [(_core.Apart(function), args, kwargs) for function, args, kwargs in items]
    return batch


def _first(batch: Any) -> Any:
    """What the first call of a batch calls; it gives the task its name."""
    items = getattr(batch, "items", None)
    return items[0][0] if isinstance(items, list) and items else batch


def caller(function: Callable[..., Any]) -> Callable[[list[tuple[Any, ...]], Any], list[Any]]:
    """Give what makes the calls of a batch, all of `function`; workers keep it from batch to batch."""

    def call_each(calls: list[tuple[Any, ...]], backend_and_jobs: Any) -> list[Any]:
        from joblib.parallel import BatchedCalls

        batch: Callable[[], list[Any]]
        batch = BatchedCalls([(function, args, kwargs) for args, kwargs in calls], backend_and_jobs)
        return _core.call_as(function, _apart(batch), ())

    return call_each
