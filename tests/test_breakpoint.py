"""`breakpoint()` in workers without a terminal: what the standard input brings, or a clear error."""

import os
import re
import subprocess
import sys

import pytest
from debugged import program
from outside import TESTS, finish, run_program, start_program


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


STEPPED = """
import plait

def stop(n):
    breakpoint()
    return n + 1

with plait.ProcessPoolExecutor(1) as pool:
    print("results", *(future.result() for future in [pool.submit(stop, 1), pool.submit(abs, -3)]))
"""


def test_steps_end_with_the_call():
    ended = run_program("-c", STEPPED, stdin="n\nn\nn\nn\nn\n")
    assert ended.code == 0, ended
    assert ended.out.endswith("results 2 3\n"), ended
    assert "--Call--" not in ended.out, ended


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


def test_the_session_in_the_docs(tmp_path):
    page = (TESTS.parent / "docs" / "debugging.md").read_text()
    text, session = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[:2]
    (tmp_path / "double.py").write_text(text)
    commands = re.findall(r"^\(Pdb\) (.*)$", session, re.MULTILINE)
    ended = run_program("double.py", stdin="\n".join([*commands, ""]), cwd=tmp_path)
    assert ended.code == 0, ended
    # Of a pipe nothing is echoed.
    expected = re.sub(r"^\(Pdb\) .*\n", "(Pdb) ", session, flags=re.MULTILINE)
    if sys.version_info >= (3, 13):
        # There it stops at the line with the breakpoint itself.
        expected = re.sub(r"(?<=double\.py.)6", "5", expected).replace("return result + 1", "breakpoint()")
    printed = re.sub(r"process \d+", "process 4711", ended.out).replace(f"{tmp_path}/", "")
    assert printed == expected
