"""How much memory senders may fill: a quarter of what there is, or what is set. Beyond it they wait."""

import pytest
from outside import run_program

pytestmark = pytest.mark.once

MIB = 1 << 20

# Arrays of 16 MB and a budget for four of them; calls that last until a file is there.
PROGRAM = """
import os, signal, sys, threading, time
import numpy as np
import plait

N = 16_000_000

def wait_for(path, array):
    while not os.path.exists(path):
        time.sleep(0.002)
    return int(array[-1])

def arrays(count):
    return (np.full(N, n, "u1") for n in range(count))
"""


def run(code, *args, budget=64 * MIB):
    ended = run_program("-c", PROGRAM + code, *map(str, args), env={"PLAIT_MEMORY_BUDGET": str(budget)})
    return ended.lines


@pytest.mark.parametrize("budget", ["lots", "-5", "12 parsecs", "0x10"])
@pytest.mark.parametrize("what", ["plait.zeros(3)", "plait.ProcessPoolExecutor(1).submit(abs, -1)"])
def test_what_is_no_size_is_refused(what, budget):
    code = f"""
try:
    {what}
except ValueError as error:
    print(error)
"""
    [line] = run(code, budget=budget)
    assert "PLAIT_MEMORY_BUDGET" in line and budget in line


def test_submit_waits_until_calls_have_ended(tmp_path):
    code = """
with plait.ProcessPoolExecutor(2) as pool:
    futures = []
    def open_gate():
        while len(futures) < 4:
            time.sleep(0.002)
        time.sleep(0.1)
        print(len(futures))
        open(sys.argv[1], "w").close()
    threading.Thread(target=open_gate).start()
    for array in arrays(12):
        futures.append(pool.submit(wait_for, sys.argv[1], array))
    print([future.result() for future in futures] == list(range(12)))
"""
    # While no call can end, a fifth array is not sent.
    assert run(code, tmp_path / "gate") == ["4", "True"]


def test_map_waits_too(tmp_path):
    code = """
print(sum(plait.map(lambda array: int(array[-1]), arrays(40), backend="processes", workers=2, chunksize=3)))
"""
    assert run(code) == [str(sum(range(40)))]


def test_what_is_larger_than_the_budget_goes_alone():
    code = """
with plait.ProcessPoolExecutor(2) as pool:
    futures = [pool.submit(np.sum, np.ones(N)) for _ in range(3)]
    print([future.result() for future in futures])
"""
    assert run(code, budget=MIB) == [str([16_000_000.0] * 3).replace("16000000.0", "np.float64(16000000.0)")]


def test_waiting_for_ever_is_an_error_that_names_who_keeps_the_memory():
    code = """
kept = plait.zeros(80_000_000, "u1")
with plait.ProcessPoolExecutor(1) as pool:
    try:
        pool.submit(len, next(arrays(1)))
    except MemoryError as error:
        print(error)
    kept = None
    print(pool.submit(len, next(arrays(1))).result())
"""
    error, length = run(code)
    assert "76.3 MiB in 1 object" in error and "PLAIT_MEMORY_BUDGET" in error
    assert length == "16000000"


def test_results_that_are_kept_leave_less_and_come_back_when_they_are_dropped():
    code = """
with plait.ProcessPoolExecutor(1) as pool:
    results = [pool.submit(np.full, N, n, "u1").result() for n in range(8)]
    try:
        pool.submit(len, next(arrays(1)))
    except MemoryError as error:
        print("8 objects" in str(error))
    del results
    print(pool.submit(len, next(arrays(1))).result())
"""
    assert run(code) == ["True", "16000000"]


def test_ctrl_c_ends_the_waiting(tmp_path):
    code = """
def interrupt():
    while len(futures) < 4:
        time.sleep(0.002)
    while not done:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

futures, done = [], []
pool = plait.ProcessPoolExecutor(1)
threading.Thread(target=interrupt).start()
try:
    for array in arrays(12):
        futures.append(pool.submit(wait_for, sys.argv[1], array))
    print("nobody waited")
except KeyboardInterrupt:
    done.append(True)
    print("interrupted after", len(futures))
open(sys.argv[1], "w").close()
pool.shutdown()
print([future.result() for future in futures])
"""
    assert run(code, tmp_path / "gate") == ["interrupted after 4", "[0, 1, 2, 3]"]
