"""`breakpoint()` in workers: one debugger at a time on the program's terminal, or fed by its input."""

import os
import re
import signal
import subprocess
import sys

import pytest
from outside import TESTS, finish, run_program, start_program, until
from terminal import INTERRUPT, Terminal

# Two calls, in two workers, each with a breakpoint. What comes of them is printed in the order of the calls.
PROGRAM = """
import sys, time, plait

def double(n):
    doubled = 2 * n
    {stop}
    return doubled + 1

def told(future):
    try:
        return future.result()
    except BaseException as error:
        return type(error).__name__

with plait.{pool} as pool:
    futures = [pool.submit(double, n) for n in (100, 200)]
    print("results", *map(told, futures))
    print("then", pool.submit(abs, -3).result())
"""


def program(stop="breakpoint()", pool="ProcessPoolExecutor(2)"):
    return PROGRAM.format(stop=stop, pool=pool)


class Session(Terminal):
    """A program in a terminal, whose debuggers are talked to."""

    program = ("-u", "-c")

    def __init__(self, text, folder, **env):
        super().__init__([text], folder, columns=200, **env)
        self.taken = 0

    def sees(self, pattern):
        """Waits until this is written, after what was seen before; gives the match."""

        def found():
            self.read()
            text = re.sub(rb"\x1b\[\?2004[hl]\r?", b"", self.written).decode(errors="replace")
            return re.compile(pattern).search(text, self.taken)

        match = until(found, lambda: f"{pattern} at the end of {self.written!r}")
        self.taken = match.end()
        return match

    def does(self, command, pattern):
        """Types a command at a prompt, and waits for what it brings."""
        self.press(f"{command}\n")
        return self.sees(pattern)

    def debugger(self):
        """Waits for a debugger to open: the worker and its process."""
        match = self.sees(r"plait: debugger in ([\w-]+) \(process (\d+)\), in double, at <string>:\d+\r\n")
        self.sees(r"\(Pdb\) ")
        return match[1], int(match[2])


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
        shell.press("n\n")
        shell.sees(r"in second, at \S+ waits for the terminal")
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


def test_commands_from_a_pipe_go_to_one_debugger_after_the_other():
    ended = run_program("-c", program(), stdin="p doubled\nc\np doubled\nq\n")
    assert ended.code == 0, ended
    values = re.findall(r"^\(Pdb\) ([24]00)$", ended.out, re.MULTILINE)
    assert sorted(values) == ["200", "400"]
    results = "201 BdbQuit" if values[0] == "200" else "BdbQuit 401"
    assert f"results {results}\nthen 3\n" in ended.out


def test_commands_from_a_file(tmp_path):
    (tmp_path / "commands").write_text("p doubled\nc\np doubled\nc\n")
    with open(tmp_path / "commands") as commands:
        ended = finish(start_program("-c", program(), stdin=commands))
    assert ended.code == 0, ended
    assert sorted(re.findall(r"^\(Pdb\) ([24]00)$", ended.out, re.MULTILINE)) == ["200", "400"]
    assert "results 201 401\nthen 3\n" in ended.out


@pytest.mark.parametrize("stdin", ["null", "closed", "ended"])
def test_without_anything_to_read_from_the_call_fails_with_what_to_do(stdin):
    if stdin == "closed":
        started = start_program("-c", program(), preexec_fn=lambda: os.close(0))
    else:
        started = start_program(
            "-c", program(), stdin=subprocess.DEVNULL if stdin == "null" else subprocess.PIPE
        )
    ended = finish(started)
    assert ended.code == 0, ended
    assert ended.out.splitlines() == ["results RuntimeError RuntimeError", "then 3"]


POST_MORTEM = """
import pdb, plait

def invert(n):
    try:
        return 1 / n
    except ZeroDivisionError:
        pdb.post_mortem()
        raise

with plait.ProcessPoolExecutor(1) as pool:
    print(type(pool.submit(invert, 0).exception()).__name__, pool.submit(invert, 1).result())
"""


def test_a_post_mortem_in_a_worker():
    ended = run_program("-c", POST_MORTEM, stdin="p 'n is', n\nq\n")
    assert ended.code == 0, ended
    assert re.match(
        r"plait: debugger in plait-worker-0 \(process \d+\), in invert, at <string>:\d\n", ended.out
    )
    assert "('n is', 0)" in ended.out and ended.out.endswith("ZeroDivisionError 1.0\n")


IN_THREADS = """
import threading, plait

def work():
    def part(n):
        breakpoint()
        parts.append(n)

    parts = []
    threads = [threading.Thread(target=part, args=(n,)) for n in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(parts)

with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(work).result())
"""


def test_two_threads_of_a_worker():
    ended = run_program("-c", IN_THREADS, stdin="p 'n is', n\nc\np 'n is', n\nc\n")
    assert ended.code == 0, ended
    assert sorted(re.findall(r"^\(Pdb\) \('n is', (\d)\)$", ended.out, re.MULTILINE)) == ["1", "2"]
    assert ended.out.endswith("[1, 2]\n")


OTHER = """
import sys, plait

def ask(*args):
    # What some debuggers do.
    print(sys._getframe(1).f_code.co_name, args, sys.stdin.readline().strip(), input("more? "))

def work(n):
    breakpoint(n)
    return n

def own(n):
    sys.breakpointhook = lambda *args: print("own", args)
    breakpoint(n)
    return n

if __name__ == "__main__":
    with plait.ProcessPoolExecutor(1) as pool:
        print(pool.submit(globals()[sys.argv[1]], 5).result())
"""


@pytest.mark.parametrize(
    "named, function, printed",
    [
        ("other.ask", "work", "more? work (5,) one two\n5\n"),
        ("0", "work", "5\n"),
        ("other.ask", "own", "own (5,)\n5\n"),
    ],
)
def test_another_debugger(named, function, printed, tmp_path):
    (tmp_path / "other.py").write_text(OTHER)
    env = {"PYTHONBREAKPOINT": named, "PYTHONPATH": str(tmp_path)}
    ended = run_program(tmp_path / "other.py", function, stdin="one\ntwo\n", env=env)
    assert ended.code == 0 and re.sub(r"^plait: .*\n", "", ended.out) == printed, ended


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


def test_the_session_in_the_docs(tmp_path):
    page = (TESTS.parent / "docs" / "debugging.md").read_text()
    text, session = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[:2]
    (tmp_path / "double.py").write_text(text)
    commands = re.findall(r"^\(Pdb\) (.*)$", session, re.MULTILINE)
    ended = run_program("double.py", stdin="\n".join([*commands, ""]), cwd=tmp_path)
    assert ended.code == 0, ended
    # Of a pipe nothing is echoed.
    expected = re.sub(r"^\(Pdb\) .*\n", "(Pdb) ", session, flags=re.MULTILINE)
    printed = re.sub(r"process \d+", "process 4711", ended.out).replace(f"{tmp_path}/", "")
    assert printed == expected
