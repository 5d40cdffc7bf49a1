"""What the Rust extension gives to Python. `tests/test_typing.py` holds it against the extension itself."""

import threading
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, Final, Literal, ParamSpec, Self, SupportsIndex, TypedDict, TypeVar, final

from typing_extensions import Buffer as AnyBuffer
from typing_extensions import disjoint_base

from plait._future import Future

__all__ = [
    "DUMP_SIGNAL",
    "STOP_SIGNAL",
    "Buffer",
    "Climber",
    "Figures",
    "FutureBase",
    "Gauge",
    "GilHolds",
    "Meter",
    "NurseryServer",
    "OwnEngine",
    "ProcessEngine",
    "ProcessMap",
    "RecordWriter",
    "Recorder",
    "ThreadEngine",
    "ThreadQueue",
    "Trace",
    "Watch",
    "WatchReport",
    "Watcher",
    "WorkerLoop",
    "__version__",
    "address_of",
    "after_fork",
    "before_fork",
    "buffer_span",
    "bytes_copied",
    "call_as",
    "call_batch",
    "choose",
    "codec",
    "control_groups",
    "cpu_count",
    "default_workers",
    "form_of",
    "forms",
    "function",
    "gil_refusal",
    "is_shared",
    "is_worker",
    "join_orphans",
    "leave_callbacks",
    "machine",
    "memory_available",
    "memory_budget",
    "memory_view",
    "name_functions",
    "physical_cores",
    "process_map",
    "process_tree",
    "revise",
    "set_future_class",
    "shared_buffer",
    "start_native",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_Sent = tuple[int, bytes]
_Program = tuple[str, list[str], list[tuple[str, str]]]

__version__: Final[str]
STOP_SIGNAL: Final[int]
DUMP_SIGNAL: Final[int]

def cpu_count() -> int: ...
def default_workers() -> int: ...
def control_groups(controller: str) -> list[str]: ...
def machine() -> dict[str, Any]: ...
def memory_available() -> int | None: ...
def memory_budget() -> tuple[int, bool]: ...
def physical_cores() -> int: ...
def is_worker() -> bool: ...
def start_native(work: Callable[[], object]) -> bool: ...

# --- futures

@disjoint_base
class FutureBase:
    _condition: threading.Condition
    _done_callbacks: list[Callable[[Any], object]]
    _exception: BaseException | None
    _result: Any
    _state: str
    _waiters: list[Any]
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def add_done_callback(self, fn: Callable[[Any], object]) -> None: ...
    def cancel(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def done(self) -> bool: ...
    def exception(self, timeout: float | None = None) -> BaseException | None: ...
    def result(self, timeout: float | None = None) -> Any: ...
    def running(self) -> bool: ...
    def set_exception(self, exception: BaseException | None) -> None: ...
    def set_result(self, result: Any) -> None: ...
    def set_running_or_notify_cancel(self) -> bool: ...

def set_future_class(class_: type[FutureBase], /) -> None: ...

# --- engines

@disjoint_base
class ProcessEngine:
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def _open(
        self,
        max_workers: int,
        max_tasks_per_child: int | None,
        setup: bytes,
        origin: _Program | int,
        timeout: float | None,
        retries: int,
        memory: int | None,
        growth: int | None,
        grace: float,
    ) -> None: ...
    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]: ...
    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Future[_T]: ...
    def _shutdown(self, cancel_pending: bool) -> None: ...
    def _join(self, timeout: float | None = None) -> bool: ...
    def _give_up(self, politely: bool = False) -> None: ...
    def _stats(self) -> dict[str, Any]: ...

@disjoint_base
class ThreadEngine:
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def _open(
        self, queue: ThreadQueue, start: Callable[[], object], timeout: float | None, retries: int
    ) -> None: ...
    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]: ...
    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Future[_T]: ...

@disjoint_base
class OwnEngine:
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def _submit_with(
        self,
        timeout: float | None,
        retries: int,
        fn: Callable[..., _T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
    ) -> Future[_T]: ...
    def _finish(self, timeout: float | None = None) -> bool: ...

@final
class ThreadQueue:
    def __new__(cls, max_workers: int) -> Self: ...
    @property
    def closed(self) -> bool: ...
    @property
    def queued(self) -> int: ...
    def work(self, start: Callable[[], object], thread: threading.Thread) -> None: ...
    def gone(self, error: BaseException) -> None: ...
    def fail(self, error: BaseException) -> None: ...
    def close(self, cancel_pending: bool) -> None: ...
    def resize(self, max_workers: int, keep: bool = False) -> int: ...
    def join(self) -> None: ...
    def abandoned(self) -> list[threading.Thread]: ...

class _GaugeFigures(TypedDict):
    """What a `Gauge` tells: seconds, and means per call, unless said otherwise; None is "not known"."""

    calls: int  # that ended
    failed: int  # of those, raised
    running: int  # in flight; a `call_all` counts as one
    unfinished: (
        bool  # a call in flight is part of the means: none has ended, or it takes longer than they did
    )
    wall: float
    longest: float  # not a mean
    cpu: float | None  # of the calling thread
    delay: float | None  # ready to run, without a processor; of `call_all` alone
    held: float | None  # the GIL
    wanted: float | None  # the GIL, which another thread had
    switches: float | None  # times the thread gave its processor away by itself, per call
    native: float | None  # processors that other threads of this process used meanwhile
    memory: int | None  # bytes by which the process grew since the first call began
    seconds: float  # since the first call began
    busy: float  # all calls added up
    gil_held_by_any: float | None  # the share of looks in which any thread held the GIL
    samples: int  # looks at the GIL while a call was in flight
    gil_reason: str | None  # why the GIL cannot be looked at

@final
class Gauge:
    """Calls `function` with the same arguments, result and exception, on any thread, and measures that.

    With `sample`, it is looked who holds the GIL for `sample_for` seconds from the first call on. Where its
    words cannot be read (`gil_reason`), and with `guess`, `held` is guessed by asking for it.
    """

    def __new__(
        cls,
        function: Callable[..., Any],
        /,
        sample: bool = False,
        sample_for: float = 0.05,
        *,
        guess: bool = False,
    ) -> Self: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def __wrapped__(self) -> Callable[..., Any]: ...
    def call_all(self, stack: list[Any], results: list[Any], limit: float, star: bool = True) -> int:
        """Calls with items from the end of `stack`, tuples of arguments with `star`, until `limit` seconds
        are over; gives how many."""
    def wait(self, timeout: float) -> bool:
        """Waits without the GIL for the end of each `call_all`, and of one at least; False: time is over."""
    def sample(self, seconds: float) -> None:
        """Looks for so long from now on who holds the GIL."""
    def figures(self) -> _GaugeFigures: ...

def call_as(
    named: Callable[..., Any],
    fn: Callable[..., _T],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None = None,
    /,
) -> _T:
    """Calls `fn(*args, **kwargs)`; observers see it as a task that is a call of `named`."""

def call_batch(
    fn: Callable[..., Any], items: Iterator[Any], star: bool, count: int, limit: float, results: list[Any]
) -> tuple[int, bool, Exception | None, bool]: ...

@final
class ProcessMap(Iterator[Any]):
    @property
    def failed(self) -> bool: ...
    @property
    def taken(self) -> int: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any: ...
    def close(self) -> None: ...

def process_map(
    engine: ProcessEngine,
    fn: Callable[..., object],
    input: Iterator[Any],
    star: bool,
    workers: int,
    left: int | None,
    chunksize: int | None,
    ahead: int | None,
    timeout: float | None,
    item_timeout: float | None = None,
    retries: int = 0,
) -> ProcessMap: ...

# --- choosing

def choose(figures: str, machine: str, bounds: str) -> str: ...
def revise(choice: str, figures: str, machine: str, bounds: str, switches: int) -> str | None: ...

@final
class Climber:
    """How many threads a run should have, found while it runs. Any thread may tell it of calls."""

    def __new__(cls, width: int, most: int, alone: float | None = None, found: bool = False) -> Self:
        """Begins with `width`, never has more than `most`; `alone`: seconds of a call that was made alone. A
        width that an earlier run `found` is measured before any other."""
    @property
    def width(self) -> int: ...
    @property
    def found(self) -> int:
        """The width that a later run of the same calls should begin with."""
    @property
    def alone(self) -> float | None:
        """Seconds of a call that queues behind no other, as far as is known."""
    @property
    def leaps(self) -> bool:
        """Whether the width still grows by leaps: what it reaches by now says little of what it will."""
    def allow(self, most: int) -> None:
        """There may be so many at most from now on."""
    def on_call(self, started: float, ended: float, is_first: bool = False) -> int:
        """Learns of a call that has ended, in seconds of one clock, and whether it was its thread's first;
        gives the width from now on."""

# --- worker processes

class _GilHold(TypedDict):
    thread_id: int
    seconds: float
    waiters: int
    # The innermost first.
    stack: list[str]
    function: str | None
    unnamed: str | None
    # Holds before it that were given up, since nobody fetched them.
    missed: int

@final
class GilHolds:
    def __new__(cls, limit: float) -> Self: ...
    def set_limit(self, limit: float) -> None: ...
    def name_by(self, pid: int, questions: int, answers: int) -> None: ...
    def leave_out_this_thread(self) -> None: ...
    def next(self) -> _GilHold | None: ...
    def stop(self) -> None: ...

def name_functions(parent: int, questions: int, answers: int) -> None: ...

@final
class NurseryServer:
    def __new__(cls, fd: int) -> Self: ...
    def next_order(self, idle: float | None = None) -> Literal["fork", "idle", "over"]: ...
    def forked(self, pid: int) -> None: ...
    def failed(self, errno: int) -> None: ...
    def become_worker(self) -> tuple[WorkerLoop, bytes]: ...

@final
class WorkerLoop:
    def refuse(self, reason: str) -> None: ...
    def on_stop(self, *_args: object) -> None: ...
    def on_unraisable(self, tell: Callable[[Any], object], error: Any) -> None: ...
    def keep(self, printed: AnyBuffer, unwritten: bool) -> None: ...
    def records(self) -> RecordWriter: ...
    def dump_file(self) -> int: ...
    def run(self, flush: Callable[[], object], watch_growth: bool = False) -> None: ...

@final
class RecordWriter:
    @property
    def worker(self) -> int: ...
    def write(self, record: bytes) -> bool: ...

# --- the program's end, and its forks

def before_fork() -> None: ...
def after_fork(in_child: bool) -> None: ...
def join_orphans(kill: bool, timeout: float | None = None) -> None: ...
def leave_callbacks(timeout: float | None = None) -> bool: ...

# --- memory

@final
class Buffer:
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...
    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]: ...

def address_of(memory: AnyBuffer) -> int: ...
def buffer_span(address: int, nbytes: int) -> Buffer | None: ...
def bytes_copied() -> int: ...
def is_shared(address: int, nbytes: int) -> bool: ...
def memory_view(
    memory: AnyBuffer, format: str, itemsize: int, shape: tuple[int, ...] | list[int], fortran: bool
) -> memoryview: ...
def shared_buffer(nbytes: int) -> Buffer: ...

# --- comparing

@final
class Figures:
    def __new__(cls, measurements: str) -> Self: ...
    def code(self) -> str | None: ...
    def table(self, width: int | None = None, color: bool = False) -> str: ...
    def to_svg(self) -> str: ...
    def to_html(self) -> str: ...
    def to_json(self) -> str: ...
    def verdict(self) -> str: ...

@final
class Meter:
    def __new__(cls, pid: int) -> Self: ...
    def stop(self) -> tuple[float, int | None]: ...

@final
class Watch:
    def __new__(cls, pid: int) -> Self: ...
    def stop(self) -> WatchReport: ...

@final
class WatchReport:
    @property
    def gil_wait(self) -> float | None: ...
    @property
    def reason(self) -> str | None: ...
    def joined(self, later: WatchReport) -> WatchReport: ...

# --- recordings

class _Process(TypedDict):
    """A process of a recording."""

    pid: int
    command: str
    python: str | None
    sight: Literal["gil", "free-threaded", "kernel", "nothing"]
    why: str | None

def form_of(path: str) -> str | None: ...
def forms() -> list[str]: ...
def gil_refusal(pid: int) -> tuple[str, str] | None: ...
def process_tree(pid: int) -> list[int]: ...

@final
class Recorder:
    def __new__(cls, path: str | None = None) -> Self: ...
    def start(self, pid: int, what: str, *, period: float, pause: bool, children: bool) -> None: ...
    @property
    def is_over(self) -> bool: ...
    def stop(self) -> str | None: ...
    def kept(self) -> bytes | None: ...
    def trace(self) -> Trace: ...

@final
class Trace:
    @staticmethod
    def read(path: str) -> Trace: ...
    def verdict(self, width: int, color: bool = False) -> str: ...
    def to_json(self) -> str: ...
    def sketch(self, begin: int, end: int, columns: int) -> str: ...
    def to_html(self) -> str: ...
    def export(self, path: str, form: str) -> None: ...
    @property
    def seconds(self) -> float: ...
    @property
    def is_whole(self) -> bool: ...
    @property
    def processes(self) -> list[_Process]: ...
    @property
    def notes(self) -> list[str]: ...

@final
class Watcher:
    def __new__(cls, pid: int, what: str, *, period: float, pause: bool, children: bool) -> Self: ...
    @property
    def is_over(self) -> bool: ...
    def show(self, go_on: Callable[[int], object], prefix: str) -> bool: ...
    def lines(self) -> list[str]: ...
    @staticmethod
    def web_page(what: str) -> str: ...
    def web_lanes(self) -> bytes: ...
    def web_verdict(self) -> str: ...
    def save(self, path: str) -> None: ...
    def stop(self) -> Trace: ...

# --- modules within

class _Codec(ModuleType):
    @staticmethod
    def encode(value: object, buffers: list[Any] | None = None) -> _Sent: ...
    @staticmethod
    def decode(kind: int, bytes: bytes, buffers: list[Any] | None = None) -> Any: ...
    @staticmethod
    def encode_call(
        args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, buffers: list[Any] | None = None
    ) -> _Sent: ...
    @staticmethod
    def decode_call(
        kind: int, bytes: bytes, buffers: list[Any] | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any] | None]: ...
    @staticmethod
    def encode_direct(
        function: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any] | None = None,
        buffers: list[Any] | None = None,
    ) -> _Sent: ...
    @staticmethod
    def decode_direct(
        bytes: bytes, buffers: list[Any] | None = None
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any] | None]: ...
    @staticmethod
    def encode_chunk(items: list[Any], first: int = 0, buffers: list[Any] | None = None) -> _Sent: ...
    @staticmethod
    def decode_chunk(kind: int, bytes: bytes, buffers: list[Any] | None = None) -> list[Any]: ...
    @staticmethod
    def encode_exception(exception: BaseException) -> bytes: ...
    @staticmethod
    def decode_exception(bytes: bytes) -> BaseException: ...
    @staticmethod
    def lengths(value: object) -> tuple[list[int], list[int]]: ...
    @staticmethod
    def mapped(data: bytes, shared: bool = False) -> Buffer: ...
    @staticmethod
    def mappings() -> int: ...
    @staticmethod
    def resolves(object: object) -> bool: ...
    @staticmethod
    def stays(buffer: AnyBuffer) -> bool: ...
    @staticmethod
    def strangers(pickle: bytes) -> list[tuple[str, str]]: ...
    @staticmethod
    def travels(module: str) -> bool: ...

class _FunctionTable:
    def __new__(cls, functions: int = 4096, bytes: int = ...) -> Self: ...
    def __len__(self) -> int: ...
    def prepare(self, function: Callable[..., object]) -> tuple[int, bytes] | None: ...
    def take_forgotten(self) -> list[int]: ...

class _Function(ModuleType):
    FunctionTable: type[_FunctionTable]
    @staticmethod
    def decode_function(bytes: bytes) -> Callable[..., Any]: ...

codec: Final[_Codec]
function: Final[_Function]
