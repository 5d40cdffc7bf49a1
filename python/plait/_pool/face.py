"""The methods of `plait.Pool` and `plait.ThreadPool`."""

import itertools
import multiprocessing
import multiprocessing.pool
import operator
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from plait._attributes import Backlog
from plait._future import Future
from plait._pool import calls
from plait._pool.engines import Engine, forget
from plait._pool.failures import as_caught, failed
from plait._pool.feeds import IN_FLIGHT, Feed
from plait._pool.iterators import OrderedResults, UnorderedResults
from plait._pool.results import AnnouncedMapResult, AnnouncedResult, AsyncResult, Callback, MapResult

if TYPE_CHECKING:
    from multiprocessing.pool import ApplyResult

    from plait._stats import Stats

S = TypeVar("S")
T = TypeVar("T")

RUN, CLOSE, TERMINATE = "RUN", "CLOSE", "TERMINATE"

# Calls that a map sends before it takes the results of as many.
BATCH = IN_FLIGHT // 2

# Inputs that can be read without waiting for anything, as long as they are short.
_AT_HAND = (list, tuple, range, str, bytes, bytearray, dict, set, frozenset, deque)


class BasePool(multiprocessing.pool.Pool):
    """The methods of a pool, over an engine."""

    _engine: Engine

    def _open(self, processes: int | None, default: int) -> int:
        """Check how many workers there are to be."""
        # So that `__del__` finds it whatever happens here.
        self._state = "INIT"
        count = default if processes is None else operator.index(processes)
        if count < 1:
            raise ValueError("Number of processes must be at least 1")
        self._processes = count
        return count

    def apply(self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] = {}) -> T:
        """Return `func(*args, **kwds)`, called by a worker."""
        self._check_running()
        try:
            return self._engine.submit(func, *args, **kwds).result()
        except BaseException as error:
            failure = as_caught(error, self._engine.terminated)
        raise failure

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] = {},
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> "ApplyResult[T]":
        """Have a worker call `func(*args, **kwds)`.

        Args:
            func: The function.
            args: Its positional arguments.
            kwds: Its keyword arguments.
            callback: Called with what it returned, on the pool's one thread for callbacks.
            error_callback: Called there with what it raised.

        """
        if self._state != RUN:
            self._check_running()
        engine = self._engine
        try:
            future = engine.submit(func, *args, **kwds)
        except Exception as error:
            future = failed(error)
        if callback is None and error_callback is None:
            return AsyncResult(engine, future)
        return AnnouncedResult(engine, future, callback, error_callback)

    def map(self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int | None = None) -> list[T]:
        """Return the list of `func(item)` for all items, in order.

        Args:
            func: The function.
            iterable: The items; read to the end before anything else happens.
            chunksize: Items that one worker gets together; by default such that each gets four times.

        Raises:
            Exception: what a call raised, once all have ended; of several the first in the items' order.

        """
        return self._map(func, iterable, chunksize, False)

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """Return the list of `func(*item)` for all items, as `map`."""
        return self._map(func, iterable, chunksize, True)

    def map_async(  # type: ignore[override]  # of another class
        self,
        func: Callable[[S], T],
        iterable: Iterable[S],
        chunksize: int | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> "ApplyResult[list[T]]":
        """Have workers do what `map` does; the callbacks get its list, or what it raises."""
        return self._map_async(func, iterable, chunksize, False, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callback = None,
        error_callback: Callback = None,
    ) -> "ApplyResult[list[T]]":
        """Have workers do what `starmap` does; the callbacks get its list, or what it raises."""
        return self._map_async(func, iterable, chunksize, True, callback, error_callback)

    def imap(  # type: ignore[override]  # an iterator is all that is promised
        self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int = 1
    ) -> Iterator[T]:
        """Return an iterator over `func(item)` for all items, in order.

        Args:
            func: The function.
            iterable: The items. One that has a length is read at once, in the background; any other at most
                about a thousand calls ahead of the results that were taken, so that it may be endless.
            chunksize: Items that one worker gets together. Unless it is 1, an exception ends the iterator.

        """
        return self._imap(OrderedResults, func, iterable, chunksize)

    def imap_unordered(  # type: ignore[override]  # an iterator is all that is promised
        self, func: Callable[[S], T], iterable: Iterable[S], chunksize: int = 1
    ) -> Iterator[T]:
        """Return an iterator over `func(item)` for all items, as the calls end; else as `imap`."""
        return self._imap(UnorderedResults, func, iterable, chunksize)

    def stats(self) -> "Stats":
        """Tell what the pool has done and what its workers do, as `stats` of executors does.

        A chunk of a map is one task.
        """
        return self._engine.stats()

    def close(self) -> None:
        """Take no more calls; workers end when all are done."""
        if self._state == RUN:
            self._state = CLOSE
            self._engine.close()

    def terminate(self) -> None:
        """Drop the calls that have not begun, and end those that run in processes."""
        if self._state != TERMINATE:
            self._state = TERMINATE
            self._engine.terminate()

    def join(self) -> None:
        """Wait until all calls have ended, and all workers.

        Raises:
            ValueError: neither `close` nor `terminate` was called.

        """
        if self._state == RUN:
            raise ValueError("Pool is still running")
        if self._state not in (CLOSE, TERMINATE):
            raise ValueError("In unknown state")
        self._engine.join()

    def __enter__(self) -> Self:
        """Give itself; the pool is terminated at the end of the block."""
        self._check_running()
        return self

    def __exit__(self, *_: object) -> None:
        """Terminate."""
        self.terminate()

    def __del__(self, _warn: Any = warnings.warn, _run: str = RUN, _forget: Any = forget) -> None:
        """Warn of a pool that nobody closed; what was submitted is done all the same."""
        if self._state == _run:
            _warn(f"unclosed running multiprocessing pool {self!r}", ResourceWarning, source=self)
        engine = getattr(self, "_engine", None)
        if engine is not None and not engine.terminated:
            _forget(engine)

    def __repr__(self) -> str:
        """State and size."""
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} state={self._state} pool_size={self._processes}>"

    def __reduce__(self) -> NoReturn:
        """Refuse: workers belong to the process that made the pool."""
        raise NotImplementedError("pool objects cannot be passed between processes or pickled")

    def _check_running(self) -> None:
        if self._state != RUN:
            raise ValueError("Pool not running")

    @property
    def _cache(self) -> Backlog:
        return Backlog(self._engine.pending)

    @property
    def _taskqueue(self) -> Backlog:
        return Backlog(self._engine.pending)

    def _repopulate_pool(self) -> None:
        self._engine.started()  # type: ignore[attr-defined]

    def _submitting(
        self, func: Callable[..., Any], iterable: Iterable[Any], chunksize: int, star: bool
    ) -> Generator[Future[Any], None, None]:
        """Submit the calls one after the other; what the input raises is the last of them."""
        submit = self._engine.submit
        if chunksize > 1:
            func, star = (calls.star_each if star else calls.each)(func), False
            iterable = calls.chunks(iterable, chunksize)
        if type(iterable) in (list, tuple, range) and not star:
            return _submitting_at_hand(submit, func, iterable)
        return _submitting(submit, func, iter(iterable), star)

    def _chunks_of(self, iterable: Iterable[Any], chunksize: int | None) -> tuple[Any, int]:
        """Items that have a length, and how many of them go together."""
        self._check_running()
        if not hasattr(iterable, "__len__"):
            iterable = list(iterable)
        if chunksize is None:
            return iterable, max(1, -(-len(iterable) // (self._processes * 4)))
        _check_chunksize(chunksize)
        return iterable, chunksize

    def _map(self, func: Any, iterable: Iterable[Any], chunksize: int | None, star: bool) -> list[Any]:
        items, size = self._chunks_of(iterable, chunksize)
        values: list[Any] = []
        failure: BaseException | None = None
        with self._engine.feeds.open():
            sent = self._submitting(func, items, size, star)
            batch = list(itertools.islice(sent, BATCH))
            while batch:
                # Workers have something to do while results are taken.
                following = list(itertools.islice(sent, BATCH))
                results = map(Future.result, batch)
                taken = itertools.chain.from_iterable(results) if size > 1 else results
                while True:
                    try:
                        if failure is None:
                            values.extend(taken)
                        else:
                            deque(results, maxlen=0)
                        break
                    except BaseException as error:
                        if not isinstance(error, Exception) and not all(future.done() for future in batch):
                            # Ctrl-C while this waits.
                            raise
                        # The calls behind it are made all the same, and waited for.
                        if failure is None:
                            failure = as_caught(error, self._engine.terminated)
                batch = following
        if failure is not None:
            raise failure
        return values

    def _map_async(
        self,
        func: Any,
        iterable: Iterable[Any],
        chunksize: int | None,
        star: bool,
        callback: Callback,
        error_callback: Callback,
    ) -> MapResult:
        items, size = self._chunks_of(iterable, chunksize)
        with self._engine.feeds.open():
            futures = list(self._submitting(func, items, size, star))
        if callback is None and error_callback is None:
            return MapResult(self._engine, futures, size > 1)
        return AnnouncedMapResult(self._engine, futures, size > 1, callback, error_callback)

    def _imap(self, kind: Any, func: Any, iterable: Iterable[Any], chunksize: int) -> Iterator[Any]:
        self._check_running()
        _check_chunksize(chunksize)
        length = len(iterable) if hasattr(iterable, "__len__") else None
        feed = Feed(length is None)
        at_hand = type(iterable) in _AT_HAND
        items = iterable if at_hand else feed.guarded(iterable)
        sent = self._submitting(func, items, chunksize, False)
        if at_hand and length is not None and length <= IN_FLIGHT * chunksize:
            with self._engine.feeds.open():
                feed.read_all(sent)
        else:
            self._engine.feed(feed, sent)
        results = kind(self, self._engine, feed)
        return results if chunksize == 1 else (item for chunk in results for item in chunk)


def _check_chunksize(chunksize: int) -> None:
    if chunksize < 1:
        raise ValueError(f"Chunksize must be 1+, not {chunksize!r}")


def _submitting(
    submit: Callable[..., Future[Any]], func: Any, items: Iterator[Any], star: bool
) -> Generator[Future[Any], None, None]:
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except Exception as error:
            yield failed(error)
            return
        try:
            future = submit(func, *item) if star else submit(func, item)
        except Exception as error:
            future = failed(error)
        del item
        yield future
        del future


def _submitting_at_hand(
    submit: Callable[..., Future[Any]], func: Any, items: Iterable[Any]
) -> Generator[Future[Any], None, None]:
    """The same for what raises nothing itself."""
    sent = map(submit, itertools.repeat(func), items)
    while True:
        try:
            yield from sent
            return
        except Exception as error:
            yield failed(error)
