"""One backend in a comparison: its rounds, each with its meters; in one of them its lanes are drawn, too.

A round is: pool made, every worker has answered (start-up), all items called (the time), pool closed. The
meters run during the calls alone.
"""

import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from plait import _core
from plait._compare.backends import Lane
from plait._timed import Timed, described

# So many calls of a round are kept for the plots; of more, every n-th and the longest.
_MOST_CALLS = 5_000
# Columns of the small lanes.
_COLUMNS = 480
# Results are counted for the progress bar about so often.
_TELL_SECONDS = 0.1


class Entry:
    """A lane in the running: its rounds so far, and what ended it."""

    def __init__(self, lane: Lane, fn: Callable[[Any], Any], items: Sequence[Any]) -> None:
        """Prepare the function for this backend; one that cannot be sent ends it here."""
        self.lane = lane
        self.items = items
        self.rounds: list[dict[str, Any]] = []
        self.error: str | None = None
        self.watched: _core.WatchReport | None = None
        self.sketch: dict[str, Any] | None = None
        self.scaling: list[dict[str, Any]] = []
        self._open: list[Any] = []
        try:
            self.timed = lane.prepare(fn)
        except Exception as error:
            self.error = f"the function cannot be sent: {error}"

    def run_round(self, on_results: Callable[[int], None]) -> None:
        """Run one round and keep it. `on_results` is told how many more calls have ended."""
        gc.collect()
        try:
            pool, startup = self.lane.start(self.timed)
        except Exception as error:
            self.error = f"it could not start: {described(error)}"
            return
        self._open.append(pool)
        try:
            figures, outcomes, watched = self._measured(pool, on_results)
            self.lane.close(pool)
            self._open.clear()
        finally:
            self.kill()
        self.watched = watched if self.watched is None else self.watched.joined(watched)
        failures = [_failure(outcome) for outcome in outcomes]
        self.error = _error_line([failure for failure in failures if failure], len(self.items))
        done = [(item, timed) for item, timed in enumerate(outcomes) if not isinstance(timed, str)]
        figures["startup_seconds"] = startup
        figures["calls"] = _calls(done)
        figures["failed_calls"] = sum(failure is not None for failure in failures)
        self.rounds.append(figures)

    def _measured(
        self, pool: Any, on_results: Callable[[int], None]
    ) -> tuple[dict[str, Any], list[Timed | str], _core.WatchReport]:
        meter, watch = _core.Meter(os.getpid()), _core.Watch(os.getpid())
        # In the first round, and in the next if a machine that had no time for the observer showed nothing.
        seen = self.sketch is not None and self.sketch["lanes"]
        lanes = None if seen or self.lane.peer else _recorder()
        starved_before = _starved_seconds()
        begin = time.perf_counter()
        try:
            outcomes: list[Timed | str] = self._collect(self.lane.map, pool, on_results)
        except Exception:
            # An item or a result that cannot travel ends a map: call by call, the others still run.
            begin = time.perf_counter()
            outcomes = self._collect(self.lane.each, pool, on_results)
        end = time.perf_counter()
        seconds = end - begin
        starved = _starved_seconds()
        watched = watch.stop()
        cpu_seconds, pss_bytes = meter.stop()
        if lanes is not None:
            lanes.stop()
            # Both clocks are CLOCK_MONOTONIC.
            self.sketch = json.loads(lanes.trace().sketch(int(begin * 1e9), int(end * 1e9), _COLUMNS))
        figures = {
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "pss_bytes": pss_bytes,
            "gil_wait": watched.gil_wait,
        }
        # In serial the calls ran in this thread; of others it would say nothing.
        alone = self.lane.workers == 1 and pool is None
        if alone and starved is not None and starved_before is not None:
            figures["starved_seconds"] = starved - starved_before
        return figures, outcomes, watched

    def _collect(self, call: Callable[..., Any], pool: Any, on_results: Callable[[int], None]) -> list[Any]:
        outcomes: list[Any] = []
        told, tell_at = 0, time.perf_counter() + _TELL_SECONDS
        # Kept until the round has ended, as `list(plait.map(…))` would keep them.
        for outcome in call(pool, self.timed, self.items):
            outcomes.append(outcome)
            now = time.perf_counter()
            if now >= tell_at:
                on_results(len(outcomes) - told)
                told, tell_at = len(outcomes), now + _TELL_SECONDS
        on_results(len(outcomes) - told)
        return outcomes

    def scale(self, entry: "Entry") -> None:
        """Take the time of another number of workers from the one round of an entry that had them."""
        if entry.error is None and entry.rounds:
            self.scaling.append({"workers": entry.lane.workers, "seconds": entry.seconds()})

    def kill(self) -> None:
        """End its pool at once, if it has one."""
        while self._open:
            self.lane.kill(self._open.pop())

    def seconds(self) -> float:
        """Time of its last round; 0 if there is none."""
        return self.rounds[-1]["seconds"] if self.rounds else 0.0

    def forget(self) -> None:
        """Begin anew: what was measured was a warm-up."""
        self.rounds.clear()
        self.watched = self.sketch = None

    def measurements(self) -> dict[str, Any]:
        """The row as `plait-report` reads it."""
        # Rounds too short to see the GIL in are seen as one.
        joined = self.watched.gil_wait if self.watched is not None else None
        rounds = [
            {**figures, "gil_wait": joined if figures["gil_wait"] is None else figures["gil_wait"]}
            for figures in self.rounds
        ]
        return {
            "backend": self.lane.name,
            "peer": self.lane.peer,
            "workers": self.lane.workers,
            "rounds": rounds,
            "error": self.error,
            "sketch": self.sketch,
            "scaling": self.scaling,
        }


def _recorder() -> _core.Recorder | None:
    """Start to record this program; None where that cannot be."""
    recorder = _core.Recorder(None)
    try:
        recorder.start(os.getpid(), "compare", period=0.001, pause=False, children=True)
    except OSError:
        return None
    return recorder


def _starved_seconds() -> float | None:
    """How long this thread has been ready to run while others had the cores; None if nothing tells."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as fields:
            return int(fields.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _failure(outcome: Timed | str) -> str | None:
    """What went wrong with a call: raised by the function, or (told by a plain text) on its way."""
    if isinstance(outcome, str):
        return f"failed: {outcome}"
    return None if outcome[4] is None else f"raised {outcome[4]}"


def _error_line(failures: list[str], items: int) -> str | None:
    """Return `2 of 8 calls raised ValueError: …`, or None when none failed."""
    if not failures:
        return None
    count = f"{len(failures)} of {items} call{'s' * (items != 1)}"
    if len(set(failures)) == 1:
        return f"{count} {failures[0]}"
    verb = "raised" if all(failure.startswith("raised ") for failure in failures) else "failed"
    return f"{count} {verb}; the first {failures[0]}"


def _calls(done: list[tuple[int, Timed]]) -> list[dict[str, Any]]:
    """Return the calls with times counted from the first, and their workers numbered as they came."""
    first = min((timed[1] for _, timed in done), default=0.0)
    workers: dict[tuple[int, int], int] = {}
    for _, timed in done:
        workers.setdefault(timed[3], len(workers))
    step = -(-len(done) // _MOST_CALLS) or 1
    kept = done[::step]
    if step > 1:
        kept.append(max(done, key=lambda call: call[1][2]))
    return [
        {"item": item, "start": start - first, "seconds": seconds, "worker": workers[worker]}
        for item, (_, start, seconds, worker, _) in kept
    ]
