"""`multiprocessing.pool.Pool` and `ThreadPool`, in place: the very classes, whose instances plait serves.

Only `__init__` is replaced. A pool that is served becomes an instance of a class derived from its own, with
`plait.Pool` between that and multiprocessing's: `isinstance` holds, and a class of the program's that derives
from `Pool` keeps its own methods, whose `super()` leads to plait's.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from plait._patch import _choice
from plait._patch._executors import how
from plait._patch._ledger import Entry, caller


def init(cls: type, is_on: Callable[[], bool]) -> Callable:
    """Make the `__init__` of `Pool` or `ThreadPool`."""
    original = cls.__init__
    threads = cls.__name__ == "ThreadPool"

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if is_on() and not _is_own(self, threads):
            entry = Entry(cls.__name__, caller())
            reason = _choice.why_left(cls.__name__, self, cls, entry.origin)
            if reason is None:
                serve = _serve_threads if threads else _serve_processes
                reason = serve(self, cls, entry, *args, **kwargs)
                if reason is None:
                    return
            entry.left(reason)
        original(self, *args, **kwargs)

    return __init__


def _is_own(pool: object, threads: bool) -> bool:
    """Whether it is plait's own, or a pool of threads on its way through the `__init__` of its base."""
    from multiprocessing.pool import ThreadPool

    from plait._pool.face import BasePool

    return isinstance(pool, BasePool) or (not threads and isinstance(pool, ThreadPool))


def _serve_processes(
    pool: Any,
    cls: type,
    entry: Entry,
    processes: int | None = None,
    initializer: Callable[..., object] | None = None,
    initargs: Iterable[Any] = (),
    maxtasksperchild: int | None = None,
    context: Any = None,
) -> str | None:
    """Make it a served pool; why not, if that cannot be."""
    import multiprocessing

    from plait._patch._faithful import Unsuitable
    from plait._patch._served import ServedPool

    context = (context or multiprocessing).get_context()
    workers = processes if isinstance(processes, int) else 1
    reason = _choice.why_processes_left(context, workers)
    if reason is not None:
        return reason
    own = type(pool)
    pool.__class__ = _derived(own, cls, ServedPool)
    try:
        ServedPool.__init__(pool, entry, processes, initializer, initargs, maxtasksperchild, context)
    except Unsuitable as error:
        pool.__class__ = own
        pool.__dict__.clear()
        return str(error)
    entry.served(how(context, pool._processes))
    return None


def _serve_threads(pool: Any, cls: type, entry: Entry, *args: Any, **kwargs: Any) -> str | None:
    from plait._patch._served import ServedThreadPool

    pool.__class__ = _derived(type(pool), cls, ServedThreadPool)
    ServedThreadPool.__init__(pool, entry, *args, **kwargs)
    entry.served(f"{pool._processes} threads at most")
    return None


@functools.cache
def _derived(own: type, base: type, served: type) -> type:
    """The class of a served pool which the program made of its class `own`."""
    if own is base:
        return served
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__, "__doc__": own.__doc__}
    return type(own.__name__, (own, served), names)
