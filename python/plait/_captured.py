"""`capture_output`: calls whose output is kept with their futures, and does not appear.

In this process each call gets an object that holds its streams, and its future has the same. From a worker
process the texts come with the result, as a `Kept`, which the future opens, or on the exception.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

from plait import _core
from plait._asyncio.kind import is_coroutine_function
from plait._lineage import PRINTED
from plait._printed import Apart, Printed

# Of what an exception's note shows: the last lines, and the last characters of them.
_LINES = 20
_CHARACTERS = 2000

# Where a future has what its call printed in this process.
_SLOT = "_plait_output"


class Kept:
    """A result from a worker, and what its call printed."""

    __slots__ = ("stderr", "stdout", "value")

    def __init__(self, value: Any, stdout: str, stderr: str) -> None:
        """Takes the three."""
        self.value, self.stdout, self.stderr = value, stdout, stderr

    def __reduce__(self) -> Any:
        """As its three parts."""
        return Kept, (self.value, self.stdout, self.stderr)


_core.set_kept_class(Kept)


class _Held:
    """What a call in this process has printed in its last try."""

    def __init__(self) -> None:
        self.printed = Printed()


def check(capture_output: object, backend: object) -> bool:
    """Give whether output is to be kept.

    Raises:
        TypeError: `capture_output` is neither True nor False.
        ValueError: the backend cannot do it.

    """
    if type(capture_output) is not bool:
        raise TypeError(f"capture_output must be True or False, not {capture_output!r}")
    if capture_output and backend not in ("serial", "threads", "processes", "asyncio", "auto"):
        raise ValueError(f"capture_output=True is not there on backend {str(backend)!r}")
    if capture_output and backend == "auto":
        raise ValueError(
            "capture_output=True needs a backend by name ('serial', 'threads', 'processes' or 'asyncio'): "
            "with 'auto' the first calls are measured, and keeping their output would be measured, too"
        )
    return capture_output


def check_map(
    capture_output: object, is_coroutine: bool, backend: object, checkpoint: object = None, **_: object
) -> None:
    """Raise what is wrong with keeping the output of a map that has these options.

    Raises:
        TypeError: `capture_output` is neither True nor False.
        ValueError: the backend cannot do it, or there is a checkpoint.

    """
    check(capture_output, "asyncio" if is_coroutine else backend)
    if checkpoint is not None:
        raise ValueError(
            "capture_output=True and checkpoint= exclude each other: its file keeps results alone"
        )


def output_of(future: Any) -> tuple[str, str] | None:
    """Give what the call of a future printed; None before its end, and where it was not kept."""
    if not future.done():
        return None
    held = vars(future).get(_SLOT)
    if held is not None:
        return held.printed.texts if not future.cancelled() else None
    kept = future._kept()
    if type(kept) is Kept:
        return kept.stdout, kept.stderr
    return None if kept is None else noted(kept)


def noted(error: BaseException) -> tuple[str, str] | None:
    """Give what a call printed, of the exception that it raised."""
    found: tuple[str, str] | None = BaseException.__dict__["__dict__"].__get__(error).get(PRINTED)
    return found


# --- executors


class Capture:
    """Stands before an executor's `submit` and `map`, as `capture_output` asks for."""

    def __init__(self, executor: Any, backend: str) -> None:
        """Of an executor that is ready but for this."""
        self._submit = executor.submit
        self._submit_with = executor._submit_with
        self._limits = executor._limits
        self._numbering = getattr(executor, "_numbering", None)
        self._is_remote = backend == "processes"
        executor.submit, executor._submit_with, executor.map = self.submit, self.submit_with, self.map

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Schedule `fn(*args, **kwargs)` and return its future, which will have what it printed."""
        timeout, retries = self._limits
        return self.submit_with(timeout, retries, fn, args, kwargs)

    def submit_with(
        self, timeout: float | None, retries: int, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The same for a call with limits of its own."""
        if self._is_remote:
            return self._submit_with(timeout, retries, wrapped(fn, Kept), args, kwargs)
        held = _Held()
        future = self._submit_with(timeout, retries, _local(fn, held), args, kwargs)
        vars(future)[_SLOT] = held
        return future

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> "Results":
        """As the executor's, with an iterator that tells what was printed."""
        from plait._ahead import submit_chunks
        from plait._mapping import check_buffersize, check_chunksize

        check_chunksize(chunksize)
        check_buffersize(buffersize)
        # Only worker processes are sent several items together.
        size = chunksize if self._is_remote else 1
        call = wrapped(fn)
        if self._numbering is not None:
            call, iterables = self._numbering.map(call, iterables)
        return Results(submit_chunks(self._submit, call, zip(*iterables), size, buffersize, timeout))


class _Printing:
    """An iterator over results of calls of what `wrapped` gave, which tells what they printed.

    `stdout` and `stderr` are what the call printed whose result came last, or whose exception was raised.
    """

    stdout: str | None = None
    stderr: str | None = None

    def __init__(self, results: Any) -> None:
        """Take the map's own iterator."""
        self._results = results

    def _heard(self, answer: Any) -> Any:
        """Give the result; with errors="return" it may be an exception."""
        if isinstance(answer, BaseException):
            self._failed(answer)
            return answer
        value, self.stdout, self.stderr = answer
        return value

    def _failed(self, error: BaseException) -> None:
        self.stdout, self.stderr = noted(error) or (None, None)

    def __getattr__(self, name: str) -> Any:
        """What else the iterator has, such as `close`."""
        return getattr(self._results, name)


class Results(_Printing, Iterator[Any]):
    """The results of a map that keeps what its calls print."""

    def __next__(self) -> Any:
        """The next result."""
        self.stdout = self.stderr = None
        try:
            answer = next(self._results)
        except BaseException as error:
            self._failed(error)
            raise
        return self._heard(answer)


class AsyncResults(_Printing, AsyncIterator[Any]):
    """The same for `plait.amap`."""

    async def __anext__(self) -> Any:
        """The next result."""
        self.stdout = self.stderr = None
        try:
            answer = await anext(self._results)
        except BaseException as error:
            self._failed(error)
            raise
        return self._heard(answer)


# --- calls


def wrapped(fn: Callable[..., Any], answer: type | None = None) -> Callable[..., Any]:
    """Give a function that answers what `fn` returns with what it printed: as a `Kept`, or a tuple.

    It can be sent wherever `fn` can, and has its name.
    """
    # These import what they use: so no module of plait's goes along with them.
    if is_coroutine_function(fn):

        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            from plait import _captured

            try:
                return await _captured.awaited(fn, args, kwargs, answer)
            except BaseException as error:
                _captured.shorten(error)
                raise

        return _named(awaiting, fn)

    def calling(*args: Any, **kwargs: Any) -> Any:
        from plait import _captured

        try:
            return _captured.called(fn, args, kwargs, answer)
        except BaseException as error:
            _captured.shorten(error)
            raise

    return _named(calling, fn)


def _local(fn: Callable[..., Any], held: _Held) -> Callable[..., Any]:
    """Give a function that does what `fn` does, and leaves what it prints in `held`."""
    if is_coroutine_function(fn):

        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            held.printed = printed = Printed()
            try:
                with Apart(printed):
                    return await fn(*args, **kwargs)
            except BaseException as error:
                _note(error, printed.texts)
                shorten(error)
                raise

        return _named(awaiting, fn)

    def calling(*args: Any, **kwargs: Any) -> Any:
        held.printed = printed = Printed()
        try:
            with Apart(printed):
                return fn(*args, **kwargs)
        except BaseException as error:
            _note(error, printed.texts)
            shorten(error)
            raise

    return _named(calling, fn)


def called(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> Any:
    """Call `fn`; see `wrapped`."""
    printed = Printed()
    try:
        with Apart(printed, everywhere=_core.is_worker()):
            value = fn(*args, **kwargs)
    except BaseException as error:
        _attach(error, printed)
        raise
    return (value, *printed.texts) if answer is None else answer(value, *printed.texts)


async def awaited(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], answer: Any) -> Any:
    """Await what `fn` gives; see `wrapped`."""
    printed = Printed()
    try:
        with Apart(printed):
            value = await fn(*args, **kwargs)
    except BaseException as error:
        _attach(error, printed)
        raise
    return (value, *printed.texts) if answer is None else answer(value, *printed.texts)


def shorten(error: BaseException) -> None:
    """Take the frames of this module off the beginning of a traceback; `raise` alone adds none again."""
    own = BaseException.__dict__["__traceback__"]
    frames = own.__get__(error)
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    own.__set__(error, frames)


def _named(call: Callable[..., Any], fn: Callable[..., Any]) -> Callable[..., Any]:
    # Not all that `fn` has: what it carries along is sent with it already.
    for name in ("__module__", "__name__", "__qualname__"):
        try:
            setattr(call, name, getattr(fn, name))
        except (AttributeError, TypeError):
            # An object that can be called.
            if name != "__module__":
                setattr(call, name, type(fn).__name__)
    return call


def _attach(error: BaseException, printed: Printed) -> None:
    texts = printed.texts
    BaseException.__dict__["__dict__"].__get__(error)[PRINTED] = texts
    _note(error, texts)


def _note(error: BaseException, texts: tuple[str, str]) -> None:
    """Say in the exception's traceback what was printed: it would be seen nowhere."""
    if not isinstance(error, Exception):
        return
    for name, text in zip(("stdout", "stderr"), texts):
        if text:
            last = "\n".join(text.splitlines()[-_LINES:])[-_CHARACTERS:]
            more = "" if len(last) >= len(text.rstrip("\n")) else " last"
            shown = last.replace("\n", "\n  ")
            BaseException.add_note(error, f"plait: the call printed{more} on {name}:\n  {shown}")
