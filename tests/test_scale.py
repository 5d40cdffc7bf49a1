"""The real pool of `make scale`, run small; it checks itself that nothing is lost. Rust tests the rest."""

from pathlib import Path

import pytest
from outside import run_program

SCRIPT = Path(__file__).resolve().parent.parent / "bench" / "parent.py"


@pytest.mark.once
def test_a_parents_figures_are_printed():
    machine, *lines = [line for line in run_program(SCRIPT, "--quick").lines if line]
    assert machine.startswith("machine: cpu ")
    assert [line.split("µs")[0][:22].strip() for line in lines[1:4]] == [
        "submit, then result",
        "map, each item a task",
        "map, 100 items a task",
    ]
    assert [line.split(":")[0].strip() for line in lines[5:]] == ["1 die", "1 die", "5 die"]
