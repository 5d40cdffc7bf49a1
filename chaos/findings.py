"""What the storm counts, and what it has found to be wrong."""

import math
import threading
import time
from collections import Counter

# Of one sort so many are told in full.
SHOWN = 20


class Findings:
    """Counts by kind, from any thread; and complaints, each of which makes the storm fail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.complaints: list[str] = []

    def count(self, kind: str, more: int = 1) -> None:
        """`more` of this kind."""
        with self._lock:
            self._counts[kind] += more

    def counts(self) -> Counter[str]:
        """All counts so far."""
        with self._lock:
            return self._counts.copy()

    def complain(self, what: str) -> None:
        """Something is lost or wrong. Said at once, since what comes after may be a hang."""
        with self._lock:
            self.complaints.append(what)
            if len(self.complaints) <= SHOWN:
                print(f"WRONG: {what}", flush=True)


class Coroner:
    """Which deaths the storm has caused: a `WorkerDied` of any other is a finding.

    One death explains one lost call: two calls that name the same one mean that a worker held two.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Process ids come round: each death explains for a while only.
        self._deaths: dict[int, list[float]] = {}
        self.nursery_died = False

    def note(self, pid: int) -> None:
        """The storm is about to kill this process."""
        now = time.monotonic()
        with self._lock:
            while self._deaths and now - self._latest() > LONGEST_SECONDS:
                del self._deaths[next(iter(self._deaths))]
            self._deaths.setdefault(pid, []).append(now)

    def _latest(self) -> float:
        """When the one died that was noted first, or minus infinity where that is explained."""
        return max(next(iter(self._deaths.values())), default=-math.inf)

    def forget(self, pid: int) -> None:
        """It was gone already."""
        with self._lock:
            self._deaths[pid].pop()

    def explains(self, pid: int) -> bool:
        """Whether a death that has explained nothing yet explains one lost call of this worker."""
        with self._lock:
            known = [when for when in self._deaths.get(pid, ()) if time.monotonic() - when < LONGEST_SECONDS]
            if not known:
                return False
            self._deaths[pid] = known[1:]
            return True


# So long after a death its call may be looked at.
LONGEST_SECONDS = 90.0
