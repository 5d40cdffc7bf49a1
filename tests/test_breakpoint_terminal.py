"""`breakpoint()` in workers: one debugger at a time on the program's terminal, with Ctrl-C its own."""

import os
import re
import signal
import sys

import pytest
from debugged import Session, program
from outside import until
from terminal import INTERRUPT

pytestmark = pytest.mark.once


@pytest.mark.parametrize("stop", ["breakpoint()", "import pdb; pdb.set_trace()"])
def test_two_workers_have_the_terminal_one_after_the_other(stop, tmp_path):
    with Session(program(stop), tmp_path) as shell:
        first, pid = shell.debugger()
        until(lambda: b"waits for the terminal" in shell.written or shell.read(), "the one that waits")
        waits = re.search(rb"plait: ([\w-]+) \(process \d+\), in double, at \S+ waits for the", shell.written)
        assert waits[1].decode() != first
        n = int(shell.does("p doubled", r"(200|400)\r\n")[1]) // 2
        assert int(shell.does("p __import__('os').getpid()", r"(\d+)\r\n")[1]) == pid
        # It has the terminal for as long as it goes on by steps.
        shell.does("n", r"> <string>\(\d+\)double\(\)")
        shell.sees(r"\(Pdb\) ")
        shell.does("p n", rf"{n}\r\n")
        shell.press("c\n")
        second, _ = shell.debugger()
        assert second == waits[1].decode()
        assert int(shell.does("p n", r"([12]00)\r\n")[1]) == 300 - n
        shell.press("q\n")
        results = [str(2 * m + 1) if m == n else "BdbQuit" for m in (100, 200)]
        shell.sees("results " + " ".join(results))
        shell.sees("then 3")
        assert shell.ends() == 0
        assert shell.is_as_before()


def test_ctrl_c_at_the_prompt_is_the_debuggers_alone(tmp_path):
    with Session(program(), tmp_path) as shell:
        shell.debugger()
        for _ in range(2):
            shell.press("nonsense" + INTERRUPT)
            shell.sees(r"--KeyboardInterrupt--\r\n")
            shell.sees(r"\(Pdb\) ")
        shell.does("p doubled", "[24]00\r\n")
        shell.press("c\n")
        shell.debugger()
        shell.press("c\n")
        shell.sees("results 201 401\r\nthen 3")
        assert shell.ends() == 0


WAITING = """
import time, plait

def wait(n):
    breakpoint()
    print("goes on")
    time.sleep(600)

try:
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(wait, 1).result()
except KeyboardInterrupt:
    print("heard")
"""


def test_ctrl_c_after_the_prompt_is_the_programs(tmp_path):
    with Session(WAITING, tmp_path) as shell:
        shell.sees(r"\(Pdb\) ")
        shell.press("c\n")
        shell.sees("goes on")
        shell.press(INTERRUPT)
        shell.sees("heard")
        assert shell.ends() == 0


def test_a_worker_killed_at_its_prompt_leaves_the_terminal_to_the_next_one(tmp_path):
    with Session(program(), tmp_path) as shell:
        _, pid = shell.debugger()
        os.kill(pid, signal.SIGKILL)
        shell.debugger()
        shell.press("c\n")
        shell.sees("results (WorkerDied 401|201 WorkerDied)")
        assert shell.ends() == 0
        assert shell.is_as_before()


def test_the_terminal_is_found_by_a_program_whose_streams_lead_elsewhere(tmp_path):
    # As under a test runner, which takes them all.
    shell_line = f"exec {sys.executable} {tmp_path}/program.py < /dev/null > out.txt 2> err.txt"
    (tmp_path / "program.py").write_text(program().replace("(100, 200)", "(100,)"))

    class Shell(Session):
        program = ("-c", "import os, sys; os.execv('/bin/sh', ['sh', '-c', sys.argv[1]])")

    with Shell(shell_line, tmp_path) as shell:
        shell.sees(r"debugger in plait-worker-0 ")
        shell.sees(r"\(Pdb\) ")
        shell.does("p doubled", "200\r\n")
        shell.press("c\n")
        assert shell.ends() == 0
    assert (tmp_path / "out.txt").read_text() == "results 201\nthen 3\n"
    assert (tmp_path / "err.txt").read_text() == ""


TIMED = """
import sys, time, plait
from workloads import pass_gate

def stop(seconds):
    breakpoint()
    time.sleep(seconds)
    return seconds

with plait.ProcessPoolExecutor(1, timeout=0.3) as pool:
    print("first", pool.submit(stop, 0).result())
    print("second", type(pool.submit(stop, 600).exception()).__name__)
    print("third", pool.submit(abs, -1).result())
"""


def test_the_time_of_a_call_stands_still_in_the_debugger(tmp_path):
    with Session(TIMED, tmp_path) as shell:
        shell.sees(r"\(Pdb\) ")
        # Longer than the call may take; if its time went on, the worker would be gone.
        shell.does("import time; time.sleep(1); print(10 * 'x')", "x{10}\r\n")
        shell.press("c\n")
        shell.sees("first 0")
        shell.sees(r"\(Pdb\) ")
        shell.press("c\n")
        shell.sees("second TaskTimeout\r\nthird 1")
        assert shell.ends() == 0


NESTED = """
import plait

def inner(n):
    breakpoint()
    return n + 1

def outer(n):
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(inner, n).result()

with plait.ProcessPoolExecutor(1) as pool:
    print("result", pool.submit(outer, 41).result())
"""


def test_a_worker_of_a_worker_has_the_terminal_too(tmp_path):
    with Session(NESTED, tmp_path) as shell:
        shell.sees(r"in inner, at ")
        shell.sees(r"\(Pdb\) ")
        shell.press(INTERRUPT)
        shell.sees("--KeyboardInterrupt--")
        shell.does("p n", "41\r\n")
        shell.press("c\n")
        shell.sees("result 42")
        assert shell.ends() == 0


STEPPING = """
import pathlib, sys, time, plait

def wait_for(name):
    while not pathlib.Path(name).exists():
        time.sleep(0.001)

def first():
    breakpoint()
    pathlib.Path("begun").touch()
    wait_for("ended")
    return 1

def second():
    wait_for("begun")
    breakpoint()
    pathlib.Path("ended").touch()
    return 2

with plait.ProcessPoolExecutor(2) as pool:
    futures = [pool.submit(first), pool.submit(second)]
    print("results", *[future.result() for future in futures])
"""


def test_a_step_that_waits_for_another_debugger_hangs_nothing(tmp_path):
    with Session(STEPPING, tmp_path) as shell:
        shell.sees(r"debugger in [^\n]*, in first, at ")
        shell.sees(r"\(Pdb\) ")
        # Since Python 3.13 the first stop is the line with the breakpoint itself.
        if sys.version_info >= (3, 13):
            shell.does("n", r"> <string>\(\d+\)first\(\)")
        # In any order: the step, and the other one that it lets begin.
        waits = r"(?=.*in second, at \S+ waits for the terminal)"
        shell.does("n", r"(?s)(?=.*> <string>\(\d+\)first\(\))" + waits)
        shell.press("n\n")
        shell.sees(r"debugger in [^\n]*, in second, at ")
        shell.sees(r"\(Pdb\) ")
        shell.press("c\n")
        shell.sees(r"debugger in [^\n]*, in first, at |\(Pdb\) ")
        shell.press("c\n")
        shell.sees("results 1 2")
        assert shell.ends() == 0


def test_two_threads_have_the_terminal_one_after_the_other(tmp_path):
    with Session(program(pool="ThreadPoolExecutor(2)"), tmp_path) as shell:
        shell.sees(r"\(Pdb\) ")
        first = int(shell.does("p n", "([12]00)\r\n")[1])
        shell.sees(r"\(Pdb\) ")
        shell.press("c\n")
        shell.sees(r"\(Pdb\) ")
        assert int(shell.does("p n", "([12]00)\r\n")[1]) == 300 - first
        shell.press("c\n")
        shell.sees("results 201 401\r\nthen 3")
        assert shell.ends() == 0


CANCELLED = """
import pathlib, time, plait

def stop():
    breakpoint()

with plait.ProcessPoolExecutor(1) as pool:
    future = pool.submit(stop)
    while not pathlib.Path("enough").exists():
        time.sleep(0.001)
    print("cancelled", future.cancel(), future.cancelled())
    print("then", pool.submit(abs, -3).result())
"""


def test_a_call_in_its_debugger_can_be_cancelled(tmp_path):
    with Session(CANCELLED, tmp_path) as shell:
        shell.sees(r"\(Pdb\) ")
        (tmp_path / "enough").touch()
        shell.sees("cancelled True True\r\nthen 3")
        assert shell.ends() == 0
        assert shell.is_as_before()
