"""The pool of sub-interpreters."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from plait._asyncio.kind import is_coroutine_function, name_of, refuse_coroutines
from plait._errors import PlaitError, remote_traceback
from plait._interpreters import check_version, inside
from plait._interpreters.byvalue import dumped
from plait._mapping import check_chunksize
from plait._thread import ThreadPoolExecutor

if TYPE_CHECKING:
    from plait._stats import Stats

P = ParamSpec("P")
T = TypeVar("T")

# The interpreter of a thread of a pool.
_here = threading.local()

# What an interpreter begins with: where to look for modules, and `inside` alone, without the package.
_BEGIN = """
import sys
sys.path[:] = {path!r}
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import spec_from_file_location
spec = spec_from_file_location({name!r}, {file!r})
sys.modules[{name!r}] = inside = module_from_spec(spec)
spec.loader.exec_module(inside)
"""


class InterpreterExecutor(ThreadPoolExecutor):
    """Run calls in sub-interpreters, one for each thread of the pool, each with a GIL of its own.

    Functions, arguments and results are pickled, as for processes. Nothing else is shared: a function that
    needs a module which cannot be loaded there fails with an ImportError that names it. A call cannot be
    stopped: one that outlives its timeout is abandoned, as on threads.

    Takes what `plait.ThreadPoolExecutor` does.

    Raises:
        ValueError: Python is older than 3.14, or what `plait.ThreadPoolExecutor` raises.

    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "plait-interpreter",
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        *,
        timeout: float | None = None,
        retries: int = 0,
        max_pending: int | None = None,
    ) -> None:
        """See the class."""
        check_version()
        if max_workers is None:
            from plait._process import all_workers

            max_workers = all_workers()
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        start = None
        if initializer is not None:
            start = dumped(initializer), inside.dumps((tuple(initargs), {}))
        super().__init__(
            max_workers,
            thread_name_prefix,
            _open,
            (list(sys.path), start),
            timeout=timeout,
            retries=retries,
            max_pending=max_pending,
        )
        self._crew.at_end = _close
        self._plain_submit: Callable[..., Any] = super().submit
        self._plain_submit_with: Callable[..., Any] = super()._submit_with
        if "submit" in vars(self):
            # The one that waits for room.
            self._plain_submit = vars(self).pop("submit")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Schedule `fn(*args, **kwargs)` and return its future."""
        return self._plain_submit(*_packed(fn, args, kwargs))

    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        carry, *sent = _packed(fn, args, kwargs or {})
        return self._plain_submit_with(timeout, retries, carry, tuple(sent), {})

    def _start_map(
        self,
        fn: Callable[..., T],
        iterables: tuple[Iterable[Any], ...],
        timeout: float | None,
        chunksize: int,
        buffersize: int | None,
    ) -> Iterator[T]:
        check_chunksize(chunksize)
        return submit_chunks(self.submit, fn, zip(*iterables), chunksize, buffersize, timeout)

    def _tell_stats(self) -> "Stats":
        return replace(super()._tell_stats(), backend="interpreters")


def submit_chunks(
    submit: Callable[..., Any],
    fn: Callable[..., T],
    calls: Iterator[tuple[Any, ...]],
    chunksize: int,
    ahead: int | None,
    timeout: float | None,
) -> Iterator[T]:
    """As `plait._ahead.submit_chunks`, whose chunks need plait's core."""
    from itertools import chain, islice

    from plait._ahead import submit_ahead

    if chunksize == 1:
        return submit_ahead(submit, fn, calls, ahead, timeout)
    chunks = iter(lambda: tuple(islice(calls, chunksize)), ())
    sent = ((fn, chunk) for chunk in chunks)
    return chain.from_iterable(submit_ahead(submit, inside.call_chunk, sent, ahead, timeout))


def _packed(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], *tuple[Any, ...]]:
    """What a thread of the pool calls, and its arguments."""
    if is_coroutine_function(fn):
        refuse_coroutines(fn, "interpreters")
    try:
        return _carry, name_of(fn), dumped(fn), inside.dumps((args, kwargs))
    except Exception as error:
        return _fail, _told(error, fn, args, kwargs)


def _told(error: Exception, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
    """What names the path to what cannot be pickled; else the error itself."""
    from plait import _core
    from plait._errors import NotPicklable

    try:
        _core.codec.encode_direct(fn, args, kwargs or None, [])
    except NotPicklable as told:
        return told
    except Exception:
        pass
    return error


def _fail(error: Exception) -> NoReturn:
    raise error


def _carry(name: str, function: bytes, arguments: bytes) -> Any:
    return opened(_here.interpreter.call(inside.call, function, arguments), name)


def opened(answer: bytes, name: str) -> Any:
    """Give the result that an answer holds, or raise what it tells of."""
    import pickle

    kind, data = answer[:1], pickle.loads(memoryview(answer)[1:])
    if kind == b"r":
        return data
    if kind == b"m":
        module, text = data
        error = ImportError(
            f"{name} cannot run in a sub-interpreter: {module}, which it needs, refuses to be loaded there. "
            "Use backend 'processes', or 'threads'",
            name=module,
        )
    else:
        error, text = data
    error.__cause__ = remote_traceback(text)
    raise error


def here() -> tuple[Any, set[bytes]]:
    """The interpreter of this thread of a pool, and the functions that were loaded there."""
    return _here.interpreter, _here.loaded


def _open(path: list[str], start: tuple[bytes, bytes] | None) -> None:
    """Give the thread its interpreter."""
    _here.interpreter, _here.loaded = made(path), set()
    if start is not None:
        try:
            _carry("the initializer", *start)
        except BaseException:
            _close()
            raise


def made(path: list[str]) -> Any:
    """Make an interpreter that looks for modules in `path`."""
    from concurrent import interpreters  # type: ignore[attr-defined]

    interpreter = interpreters.create()
    try:
        interpreter.exec(_BEGIN.format(path=path, name=inside.__name__, file=inside.__file__))
    except BaseException as error:
        interpreter.close()
        raise PlaitError(f"a sub-interpreter could not be made ready: {error}") from error
    return interpreter


def _close() -> None:
    """End the thread's interpreter."""
    interpreter = _here.__dict__.pop("interpreter", None)
    _here.__dict__.clear()
    if interpreter is not None:
        interpreter.close()
