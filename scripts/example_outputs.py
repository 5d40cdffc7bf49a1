"""Runs the commands of docs/examples.md, and notes what each prints, for the build of the site.

    python scripts/example_outputs.py OUT [PAGE]    # OUT: JSON; PAGE: a page to put the outputs into, too

A command whose program is not installed is left out: what stands on the page stays. So it is with one that
fails, which is told.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import site_pages

ROOT = site_pages.ROOT
SECONDS = 600
# Examples that end at Ctrl-C, after so many seconds.
CTRL_C = {"stop_threads.py": 1.0}


def printed(command: str) -> str | None:
    """Return what a command prints, as in a terminal of 100 columns; None if it fails, which is told."""
    words = shlex.split(command)
    run = {"python": [sys.executable], "plait": [sys.executable, "-m", "plait"]}[words[0]]
    with subprocess.Popen(
        [*run, *words[1:]],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            wait = CTRL_C.get(Path(words[1]).name)
            if wait is not None:
                try:
                    program.wait(wait)
                except subprocess.TimeoutExpired:
                    program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=SECONDS)
        finally:
            program.kill()
    if program.returncode:
        print(f"not noted: {command}: {err.strip()}", file=sys.stderr)
        return None
    return out.rstrip().replace(f"{ROOT}/", "")


def machine() -> str:
    """Return on what it was run."""
    sys.path.insert(0, str(ROOT / "bench"))
    import machine

    facts = machine.describe()
    return (
        f"The outputs below are those of a machine\nwith {facts['cores']} processors ({facts['cpu']}) and "
        f"{facts['python']}."
    )


def main() -> None:
    """Run all, or where a page is given, put them in."""
    page = ROOT / "docs" / "examples.md"
    found = {"machine": machine()}
    for command in site_pages.RUN.findall(page.read_text()):
        if (out := printed(command[0])) is not None:
            found[command[0]] = out
    Path(sys.argv[1]).write_text(json.dumps(found, indent=1))
    for name in sys.argv[2:]:
        Path(name).write_text(site_pages.with_outputs(Path(name).read_text(), found))


if __name__ == "__main__":
    main()
