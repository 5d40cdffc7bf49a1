"""`plait.compare`: one function on each backend, in turns, and what the figures say.

The rounds are in `contest`, one round of one backend in `measure`, the backends in `backends` and `peers`,
what runs in workers in `plait._timed`; `program` loads the file of `plait compare`. Figures become a verdict
in plait-report.
"""

import dataclasses
import html
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from plait import _core
from plait._compare.backends import USUAL, check_names
from plait._compare.contest import Contest, listed
from plait._compare.progress import Progress


@dataclasses.dataclass(frozen=True)
class Row:
    """One backend's figures, medians over its rounds: seconds, bytes, shares of 1; None: not measured."""

    backend: str
    peer: bool
    workers: int
    rounds: int
    seconds: float | None
    seconds_min: float | None
    seconds_max: float | None
    speedup: float | None
    startup_seconds: float | None
    cpu_seconds: float | None
    gil_wait: float | None
    pss_bytes: int | None
    call_seconds: float | None
    failed_calls: int
    error: str | None


class Comparison:
    """What the backends made of one function. `str()` is table and verdict; a notebook shows the page.

    Attributes:
        rows: The figures, a `Row` for each backend.
        best: The backend to use; None when none of plait's did all calls.
        verdict: What to do and why, as text.
        code: The line of Python to paste, or None.
        interrupted: Whether Ctrl-C ended it early.
        notes: What else has to be known about how it was measured, a line each.

    """

    __module__ = "plait"

    def __init__(self, measurements: dict[str, Any], notes: Sequence[str] = ()) -> None:
        """Work out what was measured; `plait.compare` does this."""
        self._figures = _core.Figures(json.dumps(measurements))
        document = json.loads(self._figures.to_json())
        names = [field.name for field in dataclasses.fields(Row)]
        self.rows = tuple(Row(**{name: row[name] for name in names}) for row in document["rows"])
        self.best: str | None = document["best"]
        self.verdict: str = document["verdict"]
        self.code: str | None = document["code"]
        self.interrupted: bool = document["interrupted"]
        self.notes = tuple(notes)

    def table(self, width: int | None = None, color: bool = False) -> str:
        """Return the rows as text, no wider than `width` columns."""
        return self._figures.table(width, color)

    def to_json(self) -> str:
        """Return the figures, the verdict and the reasons for it."""
        return self._figures.to_json()

    def to_html(self) -> str:
        """Return one self-contained page with the table, and plots of it."""
        return self._figures.to_html()

    def to_svg(self) -> str:
        """Return one picture, for papers and slides: bars of time, and what each backend's threads did."""
        return self._figures.to_svg()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page, the picture or the figures to `path`, which ends in `.html`, `.svg` or `.json`.

        Raises:
            ValueError: it ends otherwise.
            OSError: it cannot be written.

        """
        path = Path(path)
        forms = {".html": self.to_html, ".svg": self.to_svg, ".json": self.to_json}
        if path.suffix not in forms:
            raise ValueError(f"{str(path)!r} must end in .html, .svg or .json")
        path.write_text(forms[path.suffix]().rstrip("\n") + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """Return the table, the verdict and the code."""
        parts = [self.table(), self.verdict, *([self.code] if self.code else [])]
        return "\n\n".join(part.rstrip("\n") for part in parts)

    def __repr__(self) -> str:
        """Return the best backend and the rows' names."""
        return f"<plait.Comparison of {', '.join(row.backend for row in self.rows)}; best: {self.best}>"

    def _repr_html_(self) -> str:
        """Return the page in a frame, so that its styles stay its own."""
        page = html.escape(self.to_html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:60em;border:0" title="comparison"></iframe>'


def compare(
    fn: Callable[[Any], Any],
    items: Iterable[Any],
    workers: int | None = None,
    *,
    rounds: int | None = None,
    backends: Sequence[str] | None = None,
    peers: bool = False,
    scaling: bool = False,
    progress: bool | Callable[[int, int | None], object] | None = None,
) -> Comparison:
    """Call `fn(item)` for each item serially, on threads and on processes, in turns, and compare.

    Args:
        fn: A function of one argument.
        items: What it is called with.
        workers: Threads and processes; by default `plait.cpu_count()`.
        rounds: How often each backend calls it with all items; by default 5, more where that takes no
            time and fewer where it takes long.
        backends: Which of "serial", "threads", "processes", "interpreters", "dask" and "ray"; by default
            the first three. Serial is always there. Sub-interpreters need Python 3.14. The clusters are
            started on this machine for each round.
        peers: Also run the standard library's executors and, where installed, loky's and joblib's.
        scaling: Also run a round each with fewer workers (1, 2, 4, …), for the page's speed-up by workers.
        progress: True for a bar; or a callable that is told how many calls have ended, and of how many
            (None: not known yet).

    Raises:
        TypeError: `fn` cannot be called, or `items` cannot be iterated over.
        ValueError: there are no items, a number below 1, or a backend that cannot be compared.
        ImportError: the package of a backend is missing.
        KeyboardInterrupt: after Ctrl-C, when the workers have gone.

    """
    if not callable(fn):
        raise TypeError(f"compare needs a function, not {type(fn).__name__}")
    for name, number in (("workers", workers), ("rounds", rounds)):
        if number is not None and (not isinstance(number, int) or number < 1):
            raise ValueError(f"{name} must be an integer of at least 1, not {number!r}")
    name = getattr(fn, "__qualname__", type(fn).__qualname__).rpartition(".<locals>.")[2]
    names = USUAL if backends is None else check_names(backends)
    contest = Contest(
        fn,
        listed(items),
        workers,
        rounds,
        peers,
        Progress(progress),
        name,
        scaling=scaling,
        backends=names,
    )
    contest.run()
    return Comparison(contest.measurements(), contest.notes())
