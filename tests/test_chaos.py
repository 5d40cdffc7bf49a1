"""A few seconds of `make chaos`, and what its judge says of ends that are wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from outside import run_program

CHAOS = Path(__file__).parent.parent / "chaos"


@pytest.mark.once
def test_a_short_storm_loses_nothing():
    # Short of hands, so that it is gentle to a machine that tests other things meanwhile.
    settings = ["--seconds", "4", "--seed", "20000", "--pools", "2", "--submitters", "1"]
    ran = subprocess.run([sys.executable, CHAOS / "run.py", *settings], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "nothing lost, nothing wrong, nothing left" in ran.stdout
    (verified,) = re.findall(r"([\d,]+) calls verified in", ran.stdout)
    assert int(verified.replace(",", "")) > 0


JUDGE = """
import sys, tempfile
from concurrent.futures import CancelledError, Future

sys.path.insert(0, sys.argv[1])
from ledger import Ledger

with tempfile.TemporaryDirectory() as folder:
    ledger = Ledger(folder)
    import plait, tasks
    from calls import Call, Judge
    from ends import Dies, Late, Raises, Value
    from findings import Coroner, Findings

    findings, coroner = Findings(), Coroner()
    judge = Judge(findings, coroner, ledger)

    def died(pid, tries=1):
        error = plait.WorkerDied("it died")
        error.pid, error.exitcode, error.tries = pid, -9, tries
        return error

    def ended(end, begins=1, value=None, error=None, cancelled=False, **known):
        future = Future()
        for _ in range(begins):
            tasks.note(number)
        if cancelled:
            future.cancel()
            future.set_running_or_notify_cancel()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)
        return Call(number, "call", future, end, **known)

    coroner.note(4711)
    with ledger.numbers(1) as number:
        judge.judge({call})
    print(findings.complaints[0] if findings.complaints else "fine")
"""

FINE = [
    "ended(Value(3), value=3)",
    "ended(Raises(ValueError, 'x'), error=ValueError('x'))",
    "ended(Value(3), error=died(4711), begins=0)",
    "ended(Dies(-9), error=died(tasks._me))",
    "ended(Value(3), begins=0, cancelled=True, cancel=True)",
    "ended(Value(3), begins=3, value=3, retries=2)",
]

WRONG = {
    "ended(Value(3), value=4)": "gave 4",
    "ended(Value(3), value=3, begins=0)": "never began",
    "ended(Value(3), value=3, begins=2)": "began too often",
    "ended(Value(3), error=ValueError('x'))": "raised ValueError",
    "ended(Raises(ValueError, 'x'), error=ValueError('y'))": "raised ValueError",
    "ended(Value(3), error=died(4712))": "nobody killed",
    "ended(Value(3), error=died(4711))": "which did not run it",
    "ended(Value(3), error=died(4711, tries=2), begins=0)": "says 2 tries",
    "ended(Value(3), error=plait.TaskTimeout('late'))": "was stopped",
    "ended(Late(), value=3)": "gave 3",
    "ended(Value(3), begins=0, cancelled=True)": "nobody asked",
    "ended(Value(3), begins=1, cancelled=True, may_be_cancelled=True)": "ran all the same",
    "ended(Value(3), value=3, cancel=True)": "after cancel() said True",
    "Call(number, 'call', Future(), Value(3))": "is not done",
}


@pytest.mark.once
@pytest.mark.parametrize("call", FINE)
def test_the_judge_accepts(call):
    assert run_program("-c", JUDGE.replace("{call}", call), CHAOS).lines == ["fine"]


@pytest.mark.once
@pytest.mark.parametrize("call", WRONG)
def test_the_judge_complains(call):
    ended = run_program("-c", JUDGE.replace("{call}", call), CHAOS)
    assert WRONG[call] in ended.lines[-1]
