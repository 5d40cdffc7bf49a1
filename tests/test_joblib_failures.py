"""joblib's backend "plait": what happens when its calls fail, die, take too long or are interrupted."""

import multiprocessing
import os
import signal
import threading
import time

import plait
import pytest
import workloads as w
from outside import finish, is_alive, start_program, until

joblib = pytest.importorskip("joblib")
from joblib import Parallel, delayed  # noqa: E402
from plait._joblib import pools  # noqa: E402


@pytest.fixture(autouse=True)
def no_pools_kept():
    pools.clear(kept=True)
    yield
    pools.clear(kept=True)


def test_exceptions_come_with_the_workers_traceback():
    def divide(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError) as raised:
        Parallel(n_jobs=2, backend="plait")(delayed(divide)(x) for x in (1, 0, 1))
    assert "return 1 / x" in str(raised.value.__cause__)


@pytest.mark.parametrize("at", [0, 5, 60])
def test_what_cannot_be_sent(at):
    items = [threading.Lock() if i == at else i for i in range(100)]
    with pytest.raises(plait.NotPicklable, match="the task to send") as raised:
        Parallel(n_jobs=2, backend="plait")(delayed(w.count)([item]) for item in items)
    assert raised.value.path == "args[0][0]"


@pytest.mark.parametrize("define", ["def", "name"])
def test_a_worker_that_dies_names_the_call(define):
    def die(signum):
        os.kill(os.getpid(), signum)

    call = delayed(die)(signal.SIGKILL) if define == "def" else delayed(os._exit)(3)
    with pytest.raises(plait.WorkerDied) as raised:
        Parallel(n_jobs=2, backend="plait")([call, delayed(abs)(1)])
    name = die.__qualname__ if define == "def" else "_exit"
    assert raised.value.task.endswith(name)
    assert f"while it ran {raised.value.task}" in str(raised.value)
    assert "plait._joblib" not in str(raised.value)
    assert Parallel(n_jobs=2, backend="plait")(delayed(abs)(i) for i in (-1, 1)) == [1, 1]


def test_a_failure_stops_what_runs(gate):
    def fail():
        gate.wait_for("slow")
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        Parallel(n_jobs=2, backend="plait")([delayed(w.pass_gate)(gate.folder, "slow"), delayed(fail)()])
    # The gate was never opened: the call that waited at it has been stopped.
    [pid] = gate.wait_for("slow")
    until(lambda: not is_alive(pid), "the end of the worker that was stopped")


def test_a_timeout_stops_what_runs(gate):
    results = Parallel(n_jobs=2, backend="plait", timeout=0.05, return_as="generator")(
        delayed(w.pass_gate)(gate.folder, name) for name in ("a", "b")
    )
    pids = gate.wait_for("a", "b")
    # The time counts from when a result is asked for.
    with pytest.raises(multiprocessing.TimeoutError):
        next(results)
    until(lambda: not any(map(is_alive, pids)), "the end of the workers that were stopped")


@pytest.mark.filterwarnings("ignore:.*tasks which were still being processed:UserWarning")
def test_a_call_that_is_given_up_leaves_others_alone(gate):
    with gate:
        mine = Parallel(n_jobs=2, backend="plait", return_as="generator")(
            delayed(w.pass_gate)(gate.folder, name) for name in ("mine",)
        )
        gate.wait_for("mine")
        others = Parallel(n_jobs=2, backend="plait", return_as="generator")(
            delayed(time.sleep)(1000) for _ in range(4)
        )
        assert len(pools._pools) == 1
        del others
    assert list(mine) == [None]


def test_ctrl_c():
    script = """
import sys, time, plait
from joblib import Parallel, delayed
def wait(i):
    print("begun", flush=True)
    time.sleep(1000)
try:
    Parallel(n_jobs=2, backend="plait")(delayed(wait)(i) for i in range(8))
except KeyboardInterrupt:
    print("interrupted")
print(Parallel(n_jobs=2, backend="plait")(delayed(abs)(i) for i in range(3)))
"""
    program = start_program("-c", script)
    assert program.stdout.readline() == "begun\n"
    os.killpg(program.pid, signal.SIGINT)
    lines = finish(program).lines
    # The other worker may be about to begin its call when the order to stop it comes.
    assert lines.count("begun") <= 1
    assert [line for line in lines if line != "begun"] == ["interrupted", "[0, 1, 2]"]
