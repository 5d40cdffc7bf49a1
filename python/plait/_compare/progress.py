"""How far a comparison has come: a bar, a callable of the user's, or nothing."""

from collections.abc import Callable
from typing import Any


class Progress:
    """Counts calls; the number to come is known after the first round."""

    def __init__(self, wish: bool | Callable[[int, int | None], object] | None) -> None:
        """Take True for a bar, a callable for its counts, None or False for neither."""
        self._tell = wish if callable(wish) else None
        self._wants_bar = wish is True
        self._bar: Any = None
        self._done = 0
        self._total: int | None = None

    def __enter__(self) -> "Progress":
        """Show the bar."""
        if self._wants_bar:
            from tqdm.auto import tqdm

            # Its monitor is a thread, and would be one in the measured program.
            tqdm.monitor_interval = 0
            self._bar = tqdm(desc="comparing", unit="call", leave=False, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def name(self, backend: str) -> None:
        """Say who runs."""
        if self._bar is not None:
            self._bar.set_description(backend)

    def add(self, calls: int) -> None:
        """So many more have ended."""
        self._done += calls
        if self._bar is not None:
            self._bar.update(calls)
        if self._tell is not None and calls:
            self._tell(self._done, self._total)

    def expect(self, calls: int) -> None:
        """So many are to come."""
        self._total = self._done + calls
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()
