"""The verdicts on the programs of `tests/corpus`, as a table."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "tests"))


def measure(
    rounds: int, note: Callable[[str], None], before: Sequence[str] = (), of_machine: bool = False
) -> dict[str, Any]:
    """Judge each program so often, with `before` in front of it; return the counts, and what was wrong.

    With `of_machine`, what is said of the machine is right, too: it is short of processors by design.
    """
    from corpus.judging import OF_THE_MACHINE, judge, programs

    found: dict[str, Any] = {"all": 0, "right": 0, "sure and wrong": 0, "named": 0, "to name": 0, "wrong": []}
    for name, program in programs().items():
        for turn in range(rounds):
            note(f"corpus, round {turn + 1} of {rounds}: {name}")
            said = judge(program, before)
            found["all"] += 1
            is_right = said.is_right or (
                of_machine and any(word in OF_THE_MACHINE for word, _ in said.verdicts)
            )
            found["right"] += is_right
            found["sure and wrong"] += bool(said.sure_and_wrong)
            if program.native is not None:
                found["to name"] += 1
                found["named"] += said.is_named
            if not is_right or said.sure_and_wrong:
                found["wrong"].append((name, str(said)))
    return found
