"""What is told of a loop that is blocked."""

from dataclasses import dataclass, field
from traceback import StackSummary


@dataclass(frozen=True)
class LoopBlocked:
    """One callback, or one step of a coroutine, kept its event loop from anything else.

    Attributes:
        thread: The name of the thread that the loop runs in.
        thread_id: Its number in the system, as `threading.get_native_id()` gives it.
        seconds: For how long so far, or in all once it is over. A quarter of the limit may be missing.
        over: Whether it is over. Each that is told before is told once more then.
        task: The name of the task that ran; None where it was none.
        callback: The coroutine or function that the loop called; None where that is not known.
        file: Where it blocks: the innermost line that is in no library. After the end, where it was seen
            most often. None where that is not known.
        line: The number of that line.
        function: The function that the line is in.
        call: What is called there, as it is written; None where it is no single call that takes long, or the
            source cannot be read.
        stack: The Python calls of the thread, the innermost first, each as `file:line function`.
        trace: The same as the module `traceback` has it, the innermost last.
        computes: Whether it used a processor, for a quarter of the time or more, instead of waiting; None
            where that is not known.
        gil: Whether the GIL was kept meanwhile, so that it could be told only afterwards.
        times: How often this line has blocked until now, those included that were not told.
        remedy: What to do about it, in one line.

    """

    __module__ = "plait"

    thread: str
    thread_id: int
    seconds: float
    over: bool
    task: str | None
    callback: str | None
    file: str | None
    line: int | None
    function: str | None
    call: str | None
    stack: tuple[str, ...]
    trace: StackSummary = field(repr=False, compare=False)
    computes: bool | None
    gil: bool
    times: int
    remedy: str

    def __str__(self) -> str:
        """Say it in one line."""
        span = _span(self.seconds)
        if self.file is None:
            return f"the event loop of {self.thread} was held up for {span}: {self.remedy}"
        inside = f" in {self.call}" if self.call else ""
        at = f" at {self.file}:{self.line} {self.function}"
        if self.task is not None:
            at += f" (task {self.task}, {self.callback})"
        if self.times > 1:
            at += f", {self.times} times so far"
        if self.over:
            return f"{self.thread} blocked its event loop for {span}{inside}{at}"
        return f"{self.thread} has blocked its event loop for {span}{inside}{at}: {self.remedy}"


def _span(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
