"""`capture_output=True` while other code prints, and replaces the streams: each gets its own."""

import asyncio
import contextlib
import io
import sys
import threading

import printing as p
import pytest
from outside import run_program, until


def test_threads_that_print_at_the_same_time():
    both = threading.Barrier(2)

    def speak(name):
        for _ in range(50):
            both.wait()
            print(name, end=" ")

    with p.executor("threads") as executor:
        futures = [executor.submit(speak, name) for name in "ab"]
        assert [future.result() for future in futures] == [None, None]
        assert [future.stdout for future in futures] == ["a " * 50, "b " * 50]


def test_coroutines_that_print_in_turn():
    async def speak(name):
        for _ in range(50):
            print(name, end=" ")
            await asyncio.sleep(0)
        # What runs in its context is the call's.
        await asyncio.gather(asyncio.to_thread(print, "thread"), asyncio.create_task(asyncio.sleep(0)))

    with p.executor("asyncio") as executor:
        futures = [executor.submit(speak, name) for name in "ab"]
        assert [future.result() for future in futures] == [None, None]
        assert [future.stdout for future in futures] == ["a " * 50 + "thread\n", "b " * 50 + "thread\n"]


def test_what_others_print_goes_where_it_went(capsys):
    """Also to streams that somebody puts there meanwhile; and nothing of plait's stays."""
    before = sys.stdout, sys.stderr
    begun, go_on = threading.Event(), threading.Event()

    def call():
        print("kept")
        begun.set()
        go_on.wait(30)
        print("kept, too")

    with p.executor("threads") as executor:
        future = executor.submit(call)
        assert begun.wait(30)
        print("mine")
        with contextlib.redirect_stdout(io.StringIO()) as elsewhere:
            print("elsewhere")
            other = executor.submit(p.say, 1)
            assert other.result() == 2 and other.stdout == "out 1\n"
            print("and more")
        print("mine again")
        go_on.set()
        assert future.result() is None and future.stdout == "kept\nkept, too\n"
    assert elsewhere.getvalue() == "elsewhere\nand more\n"
    assert capsys.readouterr() == ("mine\nmine again\n", "")
    assert (sys.stdout, sys.stderr) == before


class Notebook:
    """A stream like a notebook's: no file below it, and ways of its own."""

    encoding = "utf-8"

    def __init__(self):
        self.seen = []
        self.shown = ""

    def write(self, text):
        self.seen.append(text)

    def flush(self):
        pass

    def show(self):
        self.shown = "".join(self.seen)


def test_streams_that_are_no_files(monkeypatch):
    cell, next_cell = Notebook(), Notebook()
    begun, go_on = threading.Event(), threading.Event()

    def call():
        print("kept")
        begun.set()
        go_on.wait(30)

    monkeypatch.setattr(sys, "stdout", cell)
    with p.executor("threads") as executor:
        future = executor.submit(call)
        assert begun.wait(30)
        print("shown")
        sys.stdout.show()
        # The next cell has another.
        sys.stdout = next_cell
        print("later")
        assert executor.submit(p.say, 1).result() == 2
        go_on.set()
        assert future.result() is None
    assert (future.stdout, cell.shown, next_cell.seen) == ("kept\n", "shown\n", ["later", "\n"])
    until(lambda: sys.stdout is next_cell, "the stream of the next cell")


@pytest.mark.parametrize("backend", ["serial", "threads", "asyncio"])
def test_without_streams(backend, monkeypatch):
    """As under pythonw: there is nothing to print to."""
    monkeypatch.setattr(sys, "stdout", None)
    with p.executor(backend) as executor:
        future = executor.submit(p.of(backend, p.say), 1)
        assert future.result() == 2 and future.stdout == "out 1\n"
    assert sys.stdout is None


def test_threads_that_a_call_starts(capsys):
    with p.executor("processes", 1) as executor:
        future = executor.submit(p.say_from_threads, 0)
        assert future.result() is None and future.stdout == "from a thread\nfrom the call\n"
    with p.executor("threads", 1) as executor:
        future = executor.submit(p.say_from_threads, 0)
        assert future.result() is None
    # Since Python 3.14 a thread may inherit the context of its call: without a GIL it does.
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    assert future.stdout == ("from a thread\n" if inherits else "") + "from the call\n"
    assert capsys.readouterr().out == ("" if inherits else "from a thread\n")


LEFT = """
import sys, threading, time, plait
from outside import until
import pathlib

def call(flag):
    def later():
        until(pathlib.Path(flag).exists, "the end of the call")
        print("later")
        pathlib.Path(flag + "-done").touch()
    print("kept")
    threading.Thread(target=later).start()

with plait.Executor(sys.argv[1], 1, capture_output=True) as executor:
    future = executor.submit(call, sys.argv[2])
    future.result()
    pathlib.Path(sys.argv[2]).touch()
    until(pathlib.Path(sys.argv[2] + "-done").exists, "the end of the thread")
    print(repr(future.stdout))
"""


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_what_a_call_leaves_running_prints_as_ever(backend, tmp_path):
    lines = run_program("-c", LEFT, backend, tmp_path / "flag").lines
    assert sorted(lines) == ["'kept\\n'", "later"]


@pytest.mark.parametrize("backend", p.BACKENDS)
def test_nested_calls_have_each_their_own(backend):
    with p.executor(backend, 1) as executor:
        # A coroutine would block the loop that its own calls need.
        inner = "threads" if backend == "asyncio" else backend
        future = executor.submit(p.of(backend, p.say_within), inner)
        assert future.result() == ("out 7\n", "err 7\n")
        assert (future.stdout, future.stderr) == ("before\nafter\n", "")
