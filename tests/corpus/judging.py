"""Recording a program of the corpus, and holding what is said of it against the answer."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from corpus import Program, load

TESTS = Path(__file__).resolve().parent.parent
#: True of the machine at times, whatever the program does.
OF_THE_MACHINE = frozenset({"oversubscribed", "busy-machine", "throttled", "saturated", "not-enough-data"})


@dataclasses.dataclass(frozen=True)
class Said:
    """What was said of a program."""

    program: Program
    #: Each verdict's word, and how sure it is.
    verdicts: tuple[tuple[str, str], ...]
    #: C functions that are named as keeping the GIL.
    natives: tuple[str, ...]
    text: str
    #: Processors that were used by anybody else meanwhile.
    others: float = 0.0

    @property
    def is_crowded_out(self) -> bool:
        """Whether others had the processors that it would use, and that is what was said."""
        wants_all = self.program.answer & {"saturated", "oversubscribed"}
        said = any(word == "busy-machine" for word, _ in self.verdicts)
        return bool(wants_all) and said and self.others > 0.25

    @property
    def is_right(self) -> bool:
        """Whether the answer is among the verdicts."""
        return any(word in self.program.answer for word, _ in self.verdicts)

    @property
    def sure_and_wrong(self) -> list[str]:
        """What was said without a doubt, and is not so."""
        true = self.program.answer | self.program.also | OF_THE_MACHINE
        return [word for word, trust in self.verdicts if trust == "sure" and word not in true]

    @property
    def is_named(self) -> bool:
        """Whether the C function is told where there is one to tell."""
        wanted = self.program.native
        return wanted is None or any(word in name for word in wanted.split("|") for name in self.natives)

    def __str__(self) -> str:
        said = ", ".join(f"{word} ({trust})" for word, trust in self.verdicts)
        return f"{said}; wanted {' or '.join(sorted(self.program.answer))}"


def programs() -> dict[str, Program]:
    """Return the programs that can run here."""
    return {
        name: program
        for name, program in load().items()
        if all(importlib.util.find_spec(module) for module in program.needs)
    }


def used_by_others() -> float:
    """Return the processor time that was used since the machine started, but for ended children of ours."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, *interrupts = map(int, stat.readline().split()[1:9])
    own = os.times()
    used = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return used - own.children_user - own.children_system


def judge(program: Program, before: Sequence[str] = (), python: str = sys.executable) -> Said:
    """Run and record it; `before` is put in front of its command, as `taskset -c 0`."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "t.plait"
        path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
        command = [*before, python, "-m", "corpus", program.name, str(program.seconds)]
        record = [sys.executable, "-m", "plait", "record", "--quiet", "-o", str(trace), "--", *command]
        report = [sys.executable, "-m", "plait", "report", str(trace)]
        begun, others = time.monotonic(), used_by_others()
        subprocess.run(record, check=True, env={**os.environ, "PYTHONPATH": path}, timeout=60)
        others = (used_by_others() - others) / (time.monotonic() - begun)
        found = subprocess.run([*report, "--json"], check=True, capture_output=True, text=True, timeout=60)
    findings = json.loads(found.stdout)
    verdicts = tuple((verdict["word"], verdict["confidence"]["word"]) for verdict in findings["verdicts"])
    natives = tuple(hog["function"] or "" for hog in findings["hogs"])
    return Said(program, verdicts, natives, found.stdout, others)
