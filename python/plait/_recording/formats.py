"""The files that a recording can be written to, by the ends of their names."""

import os
from typing import Final

from plait import _core

# The trace itself, which all others are made of.
TRACE: Final = "plait"

# What opens a file of this form.
OPENED_BY: Final = {
    "html": "any browser",
    "svg": "any browser",
    "perfetto": "ui.perfetto.dev",
    "firefox": "profiler.firefox.com",
    "speedscope": "www.speedscope.app",
}


def form_of(path: str | os.PathLike[str]) -> str:
    """Give the form of a file by the end of its name: `TRACE`, or one of `_core.forms()`.

    Raises:
        ValueError: the end says nothing.

    """
    path = os.fspath(path)
    # An end of two parts comes first: `.plait.json` is no trace, and its last part alone another form.
    form = _core.form_of(path)
    if form is None and path.endswith(".plait"):
        form = TRACE
    if form is None:
        raise ValueError(
            f"cannot tell what {os.path.basename(path)!r} is to be: let its name end in .plait (the trace "
            "itself), .html (a page), .svg (a picture), .json (for Perfetto), .firefox.json, "
            ".speedscope.json or .plait.json"
        )
    return form
