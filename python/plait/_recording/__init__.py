"""`plait.record`: who holds the GIL in this program and its workers, from inside.

The commands `plait record`, `report` and `watch` are in the modules of that name; `target` is what they look
at, `formats` and `written` what they write. Looking and judging are in plait-observe and plait-report.
"""

import atexit
import os
import shutil
import threading
import warnings
from pathlib import Path

from plait import _core
from plait._errors import PlaitError
from plait._recording import shown
from plait._recording.formats import TRACE, form_of

_lock = threading.Lock()
# The recording that goes on in this process, and which process that is: a fork inherits the name alone.
_going_on: "tuple[int, Recording] | None" = None


class Recording:
    """A recording of this program and its workers: `with plait.record() as recording`, then what it says.

    A notebook shows the verdict.

    Attributes:
        path: The file it is written to, or None.
        failure: Why not all of it could be kept, or None.

    """

    __module__ = "plait"

    def __init__(self, path: Path | None, rate: int, children: bool) -> None:
        """Make one that has not begun; `plait.record` does this."""
        self.path = path
        self.failure: str | None = None
        self._form = TRACE if path is None else form_of(path)
        self._rate = rate
        self._children = children
        self._recorder: _core.Recorder | None = None
        self._trace: _core.Trace | None = None
        self._over = False

    def __enter__(self) -> "Recording":
        """Begin.

        Raises:
            PlaitError: it was begun before, or another recording of this program goes on.
            OSError: its file cannot be written.

        """
        global _going_on
        with _lock:
            if self._recorder is not None:
                raise PlaitError("this recording was begun before; make another one with plait.record()")
            if _going_on is not None and _going_on[0] == os.getpid():
                raise PlaitError(
                    f"this program is being recorded already{_going_on[1]._place()}: one at a time"
                )
            # Other forms are made of the trace at the end.
            in_file = self.path is not None and self._form == TRACE
            recorder = _core.Recorder(str(self.path) if in_file else None)
            recorder.start(
                os.getpid(), "this program", period=1 / self._rate, pause=True, children=self._children
            )
            self._recorder = recorder
            _going_on = (os.getpid(), self)
            # For a notebook's or a program's end within the block.
            atexit.register(self.__exit__)
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and have its file written. What cannot be written is a warning: the program goes on."""
        global _going_on
        with _lock:
            if self._recorder is None or self._over:
                return
            self._over = True
            mine = _going_on is not None and _going_on[0] == os.getpid()
            if not mine:
                # A fork of the program has left the block, too; the recording is its parent's.
                return
            _going_on = None
        atexit.unregister(self.__exit__)
        self.failure = self._recorder.stop()
        if self.failure is None and self.path is not None and self._form != TRACE:
            try:
                self._read().export(str(self.path), self._form)
            except OSError as error:
                self.failure = str(error.strerror or error)
        if self.failure is not None:
            place = f" to {str(self.path)!r}" if self.path is not None else ""
            warnings.warn(
                f"the recording could not be written{place}: {self.failure}; "
                "what was recorded until then is kept",
                RuntimeWarning,
                stacklevel=2,
            )

    def _place(self) -> str:
        return f" to {str(self.path)!r}" if self.path is not None else ""

    def _read(self) -> _core.Trace:
        if self._recorder is None:
            raise PlaitError("this recording has not begun: use it as `with plait.record() as recording:`")
        if not self._over:
            raise PlaitError("this recording still goes on; ask when its block has ended")
        if self._trace is None:
            if self.path is not None and self._form == TRACE:
                self._trace = _core.Trace.read(str(self.path))
            else:
                self._trace = self._recorder.trace()
        return self._trace

    @property
    def verdict(self) -> str:
        """What it says, as text."""
        return self._read().verdict(100).rstrip("\n")

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self._read().seconds

    def to_json(self) -> str:
        """Return the verdict with all its figures."""
        return self._read().to_json()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to `path`, in the form that the end of the name asks for.

        `.plait` is the trace, for `plait report`; `.html` is a page for any browser, `.svg` a picture for
        papers; `.json` opens in ui.perfetto.dev, `.firefox.json` in profiler.firefox.com,
        `.speedscope.json` in www.speedscope.app; `.plait.json` has all of it for other programs.

        Raises:
            ValueError: it ends otherwise.
            OSError: it cannot be written.

        """
        form = form_of(path)
        trace = self._read()
        if form != TRACE:
            trace.export(os.fspath(path), form)
            return
        assert self._recorder is not None
        kept = self._recorder.kept()
        if kept is not None:
            Path(path).write_bytes(kept)
        elif self.path is not None:
            shutil.copyfile(self.path, path)

    def __str__(self) -> str:
        """Return the verdict."""
        return self.verdict

    def __repr__(self) -> str:
        """Say how far it is."""
        state = (
            "not begun" if self._recorder is None else f"{self.seconds:.1f} s" if self._over else "goes on"
        )
        return f"<plait.Recording{self._place()}: {state}>"

    def to_html(self) -> str:
        """Return the page: verdict, lanes of all threads, and tables, in one file that loads nothing."""
        return self._read().to_html()

    def to_svg(self) -> str:
        """Return a picture for papers and slides: the verdict, and the lanes of the threads that did most."""
        return self._read().to_svg()

    def _repr_html_(self) -> str | None:
        """Return the page for a notebook, in a frame of its own."""
        return shown.framed(self.to_html(), self.verdict) if self._over else None


def record(
    path: str | os.PathLike[str] | None = None, *, rate: int = 1000, children: bool = True
) -> Recording:
    """Record who holds the GIL and what each thread does, in this program and in its workers.

        with plait.record("busy.plait") as recording:
            ...
        print(recording.verdict)

    The recorder is a thread that needs no GIL. One recording at a time; it ends with its block, whatever is
    raised there.

    Args:
        path: Where to; the end of the name says in which form, see `Recording.save`. A `.plait` file grows
            with the recording and outlives a program that is killed. None keeps it in memory.
        rate: Looks a second, 10 to 5000.
        children: Also record the processes that this one starts: workers, and others.

    Raises:
        ValueError: `path` or `rate` is not one of these.

    """
    if not isinstance(rate, int) or not 10 <= rate <= 5000:
        raise ValueError(f"rate must be a whole number from 10 to 5000, not {rate!r}")
    return Recording(None if path is None else Path(path), rate, children)
