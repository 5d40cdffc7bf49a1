"""What a trace says, as it is shown in a terminal or printed into a file."""

import os
import shutil
import sys

from plait import _core

# Without a terminal.
WIDTH = 100


def verdict(trace: _core.Trace) -> str:
    """Give the text, for what standard output is."""
    if not sys.stdout.isatty():
        return trace.verdict(WIDTH).rstrip("\n")
    color = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return trace.verdict(shutil.get_terminal_size().columns, color).rstrip("\n")


def unseen(trace: _core.Trace, told: str) -> list[str]:
    """Give a line for each process whose GIL was not seen, but of those that were told before."""
    if not any(process["python"] for process in trace.processes):
        return ["no CPython was seen, so there is nothing to say of a GIL"]
    lines = (process["why"] for process in trace.processes if process["python"])
    return [line for line in dict.fromkeys(lines) if line is not None and line not in told]
