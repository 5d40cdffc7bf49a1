"""The bar of a long map: tqdm's, in terminals and notebooks."""

import sys
import threading
from typing import Any

from tqdm.auto import tqdm

from plait._long.meter import PERIOD, Progress

# Seconds between two lines where nobody looks: in a file or a pipe each of them stays.
_PERIOD_IN_FILES = 5.0


class _Quiet(tqdm):  # type: ignore[misc]
    """tqdm without its monitor, which is a thread."""

    monitor_interval = 0


# tqdm's own lock is of multiprocessing as well, whose semaphores may take a process of their own.
if not hasattr(tqdm, "_lock"):
    _Quiet.set_lock(threading.RLock())


class Bar:
    """Shows counts; see `plait.Progress`. `period` is the seconds between two looks."""

    def __init__(self, total: int | None) -> None:
        """Begin at nothing, of `total`."""
        self._bar: Any = _Quiet(total=total, file=sys.stderr, unit="item", dynamic_ncols=True)
        # Only the notebook's has a widget.
        is_seen = hasattr(self._bar, "container") or sys.stderr.isatty()
        self.period = PERIOD if is_seen else _PERIOD_IN_FILES

    def show(self, counts: Progress) -> None:
        """Draw it anew."""
        bar = self._bar
        bar.set_postfix(failed=counts.failed, busy=counts.running, refresh=False)
        bar.update(counts.done - bar.n)
        bar.refresh()

    def close(self) -> None:
        """Leave it as it stands."""
        self._bar.close()
