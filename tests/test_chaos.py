"""A few seconds of `make chaos`."""

import os
import re
import subprocess
import sys
from pathlib import Path

CHAOS = Path(__file__).parent.parent / "chaos"


def storm(*arguments, environ=None):
    """Runs a storm; its exit code and what it printed."""
    ran = subprocess.run(
        [sys.executable, CHAOS / "run.py", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_a_short_storm_loses_nothing():
    code, printed = storm("--seconds", 4, "--seed", 20_000, "--submitters", 1)
    assert code == 0, printed
    assert "nothing lost, nothing wrong, nothing left" in printed
    (verified,) = re.findall(r"([\d,]+) calls verified in", printed)
    assert int(verified.replace(",", "")) > 0
