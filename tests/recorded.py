"""Programs to be looked at, and plait's commands that look at them."""

import contextlib
import json
import os
import sys
import textwrap
from pathlib import Path

import pytest
from outside import Ended, finish, kill_session, run_program, start_program, until

# Each says "ready" when its threads have begun, and ends when its standard input does.
HEAD = """
import os, re, sys, threading, time

def in_threads(*functions):
    for function in functions:
        threading.Thread(target=function, name=function.__name__, daemon=True).start()
    print("ready", os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)

def spin():
    number = 0
    while True:
        number += 1

def spin_too():
    spin()
"""

# A regular expression that goes back and forth for some tenths of a second, while another thread wants
# to run.
HOG = f"""{HEAD}
def burn():
    while True:
        re.match("(a+)+$", "a" * 22 + "b")

in_threads(burn, spin)
"""

CONTENTION = f"""{HEAD}
in_threads(spin, spin_too)
"""

IDLE = f"""{HEAD}
in_threads()
"""


@pytest.fixture
def program(tmp_path):
    """Starts a program in its own session, to be looked at; it has ended when the test has."""
    started = []

    def start(text, *args, name="program.py", **options):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        process = start_program(path, *args, cwd=tmp_path, **options)
        started.append(process)
        words = process.stdout.readline().split()
        assert words[:1] == ["ready"], (words, process.communicate(timeout=10))
        return process

    yield start
    for process in started:
        kill_session(process.pid)
        process.wait()
        close(process)


def close(process):
    """Closes its pipes."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


@pytest.fixture
def cli(tmp_path):
    """Runs plait's command to its end, in a folder of its own."""

    def run(*arguments, **options):
        return run_program("-m", "plait", *arguments, cwd=folder_of(tmp_path), **options)

    return run


@pytest.fixture
def cli_started(tmp_path):
    """Starts plait's command in a session of its own, in which nothing is left when the test has ended."""
    started = []

    def start(*arguments, **options):
        process = start_program("-m", "plait", *arguments, cwd=folder_of(tmp_path), **options)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            kill_session(process.pid)
            finish(process)
        close(process)


def folder_of(tmp_path):
    """Where the commands of a test run and write."""
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def out(tmp_path):
    """The folder that the commands run in, empty at first."""
    return folder_of(tmp_path)


def refusal(ended, code=2):
    """What a refused command said: one line, on standard error alone."""
    assert isinstance(ended, Ended) and (ended.code, ended.out) == (code, ""), ended
    lines = ended.err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("plait: "), ended
    return lines[0]


def findings(path):
    """The verdict on a trace, as `plait report --json` has it."""
    told = run_program("-m", "plait", "report", path, "--json")
    assert told.code == 0, told
    return json.loads(told.out)


def words_of(path):
    """The words of its verdicts."""
    return [verdict["word"] for verdict in findings(path)["verdicts"]]


def grows(path, past=0):
    """Waits until a file is longer than that, as a recording's is once it goes on."""
    path = Path(path)
    until(lambda: path.exists() and path.stat().st_size > past, f"{path} to grow past {past} bytes")


def only_file(folder, pattern="*"):
    """The one file of a folder."""
    [path] = Path(folder).glob(pattern)
    return path


PYTHON = sys.executable
IS_ROOT = os.geteuid() == 0
