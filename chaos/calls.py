"""One call of the storm, and the judgement of how it ended."""

import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from ends import Close, Dies, End, Hogs, Late, Raises, Refused, Value
from findings import Coroner, Findings
from ledger import Ledger
from plait import TaskTimeout, WorkerDied


@dataclass(eq=False)
class Call:
    """A call that was submitted, what is known of it, and what may become of it."""

    number: int
    name: str
    future: "Future[Any]"
    end: End
    timeout: float | None = None
    retries: int = 0
    # What `cancel()` returned.
    cancel: bool | None = None
    # Its pool is shut down with `cancel_futures`: it may be cancelled without being asked for itself.
    may_be_cancelled: bool = False
    # Somebody who awaited it gave up: it may be stopped.
    may_be_stopped: bool = False
    # Its pool's workers are killed: it may be lost without a death of its own.
    may_be_lost: bool = False
    # Its pool cannot start workers.
    may_be_broken: bool = False
    callbacks: int = 0
    told: int = 0
    untimely: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def listen(self) -> None:
        """Ask for one more callback."""
        self.callbacks += 1
        self.future.add_done_callback(self._tell)

    def _tell(self, future: "Future[Any]") -> None:
        with self.lock:
            self.told += 1
            self.untimely |= future is not self.future or not future.done()

    def __str__(self) -> str:
        """For complaints."""
        return f"{self.name}({self.number})"


class Judge:
    """Says of each call whether its end is one that the storm explains, and counts it."""

    def __init__(self, findings: Findings, coroner: Coroner, ledger: Ledger) -> None:
        self.findings, self.coroner, self.ledger = findings, coroner, ledger

    def judge(self, call: Call) -> None:
        """Complains unless the call has ended as it may, having begun as often as it may."""
        future = call.future
        if not future.done() or future.running():
            self.findings.complain(f"{call} was waited for, and is not done: {future!r}")
            return
        begins = self.ledger.begins(call.number)
        wrong = self._ending(call, begins)
        if wrong is None and begins > 1 + call.retries:
            wrong = "began too often"
        if wrong is not None:
            self.findings.complain(
                f"{call} {wrong}; began {begins} times, last in process {self.ledger.pid(call.number)}"
            )
        self.findings.count("verified")
        if begins > 1:
            self.findings.count("tries beyond the first", begins - 1)

    def _ending(self, call: Call, begins: int) -> str | None:
        """What is wrong with the end of the call; counts it."""
        future = call.future
        if future.cancelled():
            return self._cancelled(call, begins)
        if call.cancel:
            return f"has ended as {future!r} after cancel() said True"
        error = future.exception(0)
        if error is None:
            self.findings.count("ok")
            return self._value(call, begins)
        if isinstance(error, WorkerDied):
            self.findings.count("died")
            return self._death(call, error, begins)
        if isinstance(error, BrokenProcessPool):
            self.findings.count("broken")
            return None if call.may_be_broken else f"has a broken pool: {error}"
        if isinstance(error, TaskTimeout):
            self.findings.count("timed out")
            return self._timeout(call, error, begins)
        self.findings.count("raised")
        return self._error(call, error, begins)

    def _cancelled(self, call: Call, begins: int) -> str | None:
        if begins > call.retries and not call.cancel and not call.may_be_stopped:
            return "was cancelled, and ran all the same"
        if begins:
            self.findings.count("cancelled while running")
        else:
            self.findings.count("cancelled")
        if call.cancel or call.may_be_cancelled or call.may_be_stopped:
            return None
        return "was cancelled, and nobody asked for it"

    def _value(self, call: Call, begins: int) -> str | None:
        value, end = call.future.result(0), call.end
        if not begins:
            return "has a result, and never began"
        if isinstance(end, (Value, Close)) and type(value) is type(end.value) and value == end.value:
            return None
        return f"gave {value!r:.100}, should {end!r:.100}"

    def _error(self, call: Call, error: BaseException, begins: int) -> str | None:
        end = call.end
        if isinstance(end, Raises) and type(error) is end.error and end.text in str(error):
            return None if begins else f"raised {error!r:.100}, and never began"
        if isinstance(end, Refused) and type(error) is end.error:
            return "was refused, and began" if begins else None
        return f"raised {type(error).__name__}: {error!s:.200}; should {end!r:.100}"

    def _timeout(self, call: Call, error: TaskTimeout, begins: int) -> str | None:
        if not isinstance(call.end, (Late, Close)):
            return f"was stopped after {error.timeout} s, should {call.end!r:.100}"
        if error.timeout != call.timeout or error.tries != 1 + call.retries:
            return (
                f"says timeout {error.timeout}, {error.tries} tries; had {call.timeout}, {1 + call.retries}"
            )
        # Held up by the storm between its claim and its beginning, it may not have begun.
        # On a thread there is no process.
        if begins and not call.retries and error.pid not in (None, self.ledger.pid(call.number)):
            return f"was stopped in process {error.pid}, which did not run it"
        return None

    def _death(self, call: Call, error: Any, begins: int) -> str | None:
        end, ran_in = call.end, self.ledger.pid(call.number)
        # Who gives up a pool lets nothing be tried again.
        if error.tries > 1 + call.retries or (error.tries <= call.retries and not call.may_be_lost):
            return f"says {error.tries} tries, may have {1 + call.retries}"
        if begins and error.pid == ran_in:
            if isinstance(end, Hogs) and error.out_of_memory and error.memory_limit:
                return None
            # The storm may have been quicker; without the nursery nobody can tell how a worker ended.
            untold = error.exitcode is None and self.coroner.nursery_died
            if isinstance(end, Dies) and (error.exitcode == end.exitcode or untold):
                return None
        if call.may_be_lost or self.coroner.explains(error.pid):
            if begins and not call.retries and error.pid != ran_in:
                return f"blames process {error.pid}, which did not run it"
            return None
        return f"is said to have died with process {error.pid} ({error}), which nobody killed"

    def judge_callbacks(self, call: Call) -> None:
        """Complains unless each callback was called once, after the end."""
        with call.lock:
            told, untimely = call.told, call.untimely
        if told != call.callbacks:
            self.findings.complain(f"{call} has {call.callbacks} callbacks, which were called {told} times")
        elif untimely:
            self.findings.complain(f"a callback of {call} was called before its end, or with another future")
        self.findings.count("callbacks", told)


class Afterlife:
    """What a call ended with, looked at again later: it must not change."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self._seen = self._look()

    def _look(self) -> tuple[Any, ...]:
        future = self.call.future
        if future.cancelled():
            return ("cancelled", future.cancel(), future.done(), future.running())
        error = future.exception(0)
        value = future.result(0) if error is None else None
        # `cancel` says False of what has ended; identity, since both may be large.
        return (future.cancel(), future.done(), future.running(), id(error), id(value), self.call.told)

    def check(self, findings: Findings) -> None:
        """Complains if it has changed."""
        now = self._look()
        if now != self._seen:
            findings.complain(f"{self.call} has changed after its end: {self._seen}, then {now}")
