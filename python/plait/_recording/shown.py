"""What a trace says, as it is shown in a terminal or printed into a file."""

import html
import os
import shutil
import sys

from plait import _core

# Without a terminal.
WIDTH = 100
# A notebook keeps what it shows; a page of more characters would make it slow to open.
_LARGEST = 8_000_000


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


def framed(page: str, verdict: str) -> str:
    """Give a page for a notebook, in a frame of its own styles; the verdict alone if it is too large."""
    if len(page) > _LARGEST:
        return f"<pre>{html.escape(verdict)}</pre><p>recording.save('page.html') shows its lanes</p>"
    source = html.escape(page, quote=True)
    return (
        f'<iframe srcdoc="{source}" style="width:100%;height:60em;border:0" sandbox="allow-scripts" '
        'title="recording"></iframe>'
    )
