"""`plait.explain`: the decision of a map, without the map."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from plait._asyncio.kind import is_coroutine_function, name_of
from plait._auto import deciding, run

if TYPE_CHECKING:
    from plait._choice import Choice


def explain(
    fn: Callable[..., Any],
    *iterables: Iterable[Any],
    workers: int | None = None,
    chunksize: int | None = None,
) -> "Choice":
    """Make the first calls of `plait.map(fn, *iterables)`, and say what it would choose, and why.

    Some calls are really made, in this process, for about 10 ms, and their results dropped; a first call that
    takes longer goes on to its end on a thread of its own. An iterable without a length is asked for a few.

        print(plait.explain(work, items))

    Args:
        fn: The function.
        iterables: Its arguments, as for `plait.map`.
        workers: How many, if that is not to be chosen.
        chunksize: Items sent together, if that is not to be chosen.

    Returns:
        The choice: a text when printed, a table in a notebook, `to_json()` for programs.

    Raises:
        TypeError: no iterable, or a coroutine function, for which there is nothing to choose.
        ValueError: a number below 1, or no items.
        Exception: what the first calls or the inputs raised.

    """
    from plait._kept import is_warm, process_pool
    from plait._map import check_counts

    check_counts(workers=workers, chunksize=chunksize)
    if not iterables:
        raise TypeError("explain needs at least one iterable")
    if is_coroutine_function(fn):
        raise TypeError(f"{name_of(fn)} is a coroutine function, which runs on backend 'asyncio' unmeasured")
    bounds = deciding.Bounds(workers, chunksize, deciding.ANYWHERE)
    return run.Run(fn, iterables, bounds, None, (None, 0), process_pool, is_warm).explain()
