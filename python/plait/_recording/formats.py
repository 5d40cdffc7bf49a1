"""The files that a recording can be written to, by the ends of their names."""

import os
from typing import Final

# The trace itself comes first; of two ends that fit, the longer one stands before the shorter.
ENDS: Final = {
    ".plait": "plait",
    ".firefox.json": "firefox",
    ".speedscope.json": "speedscope",
    ".plait.json": "json",
    ".json": "perfetto",
}

FORMS: Final = ("perfetto", "firefox", "speedscope", "json")

# What opens a file of this form.
OPENED_BY: Final = {
    "perfetto": "ui.perfetto.dev, or chrome://tracing",
    "firefox": "profiler.firefox.com",
    "speedscope": "www.speedscope.app",
    "json": "any program: the format is in the docs",
}


def form_of(path: str | os.PathLike[str]) -> str:
    """Give the form of a file by the end of its name: "plait" for the trace itself, or one of `FORMS`.

    Raises:
        ValueError: the end says nothing.

    """
    name = os.path.basename(os.fspath(path))
    for end, form in ENDS.items():
        if name.endswith(end):
            return form
    if name.endswith((".html", ".htm")):
        raise ValueError(
            f"pages come with a later version: {name!r} cannot be written yet; "
            "record to .plait, which the page will be made from"
        )
    known = ", ".join(ENDS)
    raise ValueError(f"cannot tell what {name!r} is to be: its name must end in one of {known}")
