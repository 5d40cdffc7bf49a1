"""What workers print: whole lines, wherever it goes; none of it is lost, and nothing hangs or dies of it."""

import os
import pty
import threading
from pathlib import Path

import pytest
from outside import finish, run_program, start_program

PRINTING = """
import sys, plait

def line(who, at, length):
    return f"{who}:{at}:" + "x" * length

def call(who):
    for at in range(60):
        # A line of many pieces, two at once, one that is longer than what a pipe takes whole.
        print(who, at, "", sep=":", end="")
        sys.stdout.write("x" * 10)
        print("x" * 20)
        print(line(who, at, 5) + chr(10) + line(who, at, 7))
        print(line(who, at, %d))
    return who

with plait.ProcessPoolExecutor(4) as pool:
    calls = range(8)
    if sys.argv[1] == "submit":
        calls = [pool.submit(call, who) for who in calls]
        assert [call.result() for call in calls] == list(range(8))
    else:
        assert list(pool.map(call, calls)) == list(range(8))
"""


def check_lines(text, longest):
    lines = text.replace("\r\n", "\n").split("\n")
    assert lines.pop() == ""
    expected = {(who, at, length) for who in range(8) for at in range(60) for length in (30, 5, 7, longest)}
    for line in lines:
        who, at, rest = line.split(":")
        assert rest == "x" * len(rest), f"a broken line: {line[:100]}"
        expected.remove((int(who), int(at), len(rest)))
    assert not expected


@pytest.mark.parametrize("how", ["submit", "map"])
def test_whole_lines_in_a_file(how, tmp_path):
    with open(tmp_path / "out", "w") as out:
        ended = run_program("-c", PRINTING % 20_000, how, stdout=out)
    assert (ended.code, ended.err) == (0, ""), ended
    check_lines((tmp_path / "out").read_text(), 20_000)


@pytest.mark.parametrize("how", ["submit", "map"])
def test_whole_lines_in_a_pipe(how):
    # Longer than the pipe: a writer has to wait in the middle of a line.
    ended = run_program("-c", PRINTING % 100_000, how)
    assert (ended.code, ended.err) == (0, ""), ended
    check_lines(ended.out, 100_000)


@pytest.mark.parametrize("how", ["submit", "map"])
def test_whole_lines_on_a_terminal(how):
    ours, theirs = pty.openpty()
    seen = []

    def read():
        try:
            while data := os.read(ours, 1 << 16):
                seen.append(data)
        except OSError:
            pass  # the last writer has gone

    program = start_program("-c", PRINTING % 3000, how, stdout=theirs)
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    ended = finish(program)
    reader.join()
    os.close(ours)
    assert (ended.code, ended.err) == (0, ""), ended
    check_lines(b"".join(seen).decode(), 3000)


THREADS = """
import sys, threading, plait

def call(n):
    def run(who):
        for at in range(100):
            print(who, at, sep=":", flush=at % 3 == 0)
            print("flushed", who, end="", file=sys.stderr)
            print("", at, sep=":", file=sys.stderr)
    threads = [threading.Thread(target=run, args=(who,)) for who in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

with plait.ProcessPoolExecutor(1) as pool:
    pool.submit(call, 1).result()
"""


def test_threads_of_one_worker_print_whole_lines():
    ended = run_program("-c", THREADS)
    assert ended.code == 0
    expected = sorted(f"{who}:{at}" for who in range(4) for at in range(100))
    assert sorted(ended.out.splitlines()) == expected
    assert sorted(ended.err.splitlines()) == [f"flushed {line}" for line in expected]


UNENDED = """
import os, signal, sys, plait

def call(n):
    print("out", n, end="")
    print("err", n, end="", file=sys.stderr)
    return os.getpid()

def die(n):
    print("last", n, end="")
    os.kill(os.getpid(), signal.SIGKILL)

with plait.ProcessPoolExecutor(1) as pool:
    if sys.argv[1] == "submit":
        pid = pool.submit(call, 1).result()
    else:
        [pid] = pool.map(call, [1])
    print("|")
    os.kill(pid, signal.SIGKILL)
    error = pool.submit(die, 2).exception()
    while error.pid == pid:
        error = pool.submit(die, 2).exception()
    print(error.output)
"""


@pytest.mark.parametrize("how", ["submit", "map"])
def test_the_beginning_of_a_line_is_not_lost(how):
    ended = run_program("-c", UNENDED, how)
    assert (ended.code, ended.out, ended.err) == (0, "out 1|\nlast 2\n", "err 1"), ended


STREAMS = r"""
import io, sys, plait

def call(n):
    sys.stdout.buffer.write(b"bytes\n")
    sys.stdout.buffer.write(memoryview(b"of a view\n"))
    sys.stdout.buffer.raw.write(b"raw\n")
    sys.stdout.writelines(["lines\n", "of a list\n"])
    sys.stdout.write("50%\r")
    print("\r60%", end="")
    print("caf\u00e9", flush=True)
    sys.stdout.reconfigure(line_buffering=True)
    print("reconfigured")
    print(sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.isatty(), sys.stdout.name, sys.stdout.mode)
    other = io.TextIOWrapper(sys.stdout.buffer)
    print("wrapped", file=other)
    other.detach()
    with io.StringIO() as caught:
        sys.stdout = caught
        print("not shown")
        sys.stdout = sys.__stdout__
    return n

with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(call, 1).result())
"""


def test_the_streams_are_what_python_has():
    ended = run_program("-c", STREAMS, text=False, env={"PYTHONIOENCODING": "utf-8"})
    assert ended.code == 0 and not ended.err, ended
    assert ended.out.decode() == (
        "bytes\nof a view\nraw\nlines\nof a list\n50%\r\r60%café\nreconfigured\n"
        "1 2 False <stdout> w\nwrapped\n1\n"
    )


FOR_A_SHELL = """
import sys, plait

def call(n):
    try:
        for at in range(2000):
            print("line", n, at)
    except BrokenPipeError:
        return "broken"
    return "printed" if sys.stdout else "none"

with plait.ProcessPoolExecutor(2) as pool:
    told = set(pool.map(call, range(20))) | {pool.submit(call, 1).result()}
print(*sorted(told), file=sys.stderr)
"""


@pytest.mark.parametrize("close", [">&-", "| head -n 1", "| true"])
def test_a_stream_that_nobody_reads_harms_nobody(tmp_path, close):
    import subprocess
    import sys

    path = tmp_path / "prints.py"
    path.write_text(FOR_A_SHELL)
    script = f'"$0" "$1" {close}'
    program = subprocess.Popen(
        ["bash", "-c", script, sys.executable, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ended = finish(program)
    assert ended.code == 0, ended
    told = ended.err.split("\n")[0].split()
    assert told == ["none"] if close == ">&-" else "broken" in told, ended
    assert "Traceback" not in ended.err, ended


FULL = """
import plait

def call(n):
    print("x" * 10)
    return n

with plait.ProcessPoolExecutor(1) as pool:
    error = pool.submit(call, 1).exception()
    assert isinstance(error, OSError), error
    print(error.strerror, file=__import__("sys").stderr)
    pool.submit(print, "begun", end="").result()
    assert pool.submit(abs, -2).result() == 2
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_is_an_error_of_the_call_that_prints():
    with open("/dev/full", "w") as full:
        ended = run_program("-c", FULL, stdout=full)
    assert (ended.code, ended.err) == (0, "No space left on device\n"), ended


PIECES = """
import plait

def call(n):
    for at in range(n):
        print("piece", at, end=" ")

with plait.ProcessPoolExecutor(1) as pool:
    pool.submit(call, 150_000).result()
"""


def test_a_long_line_is_not_kept_waiting_for_ever():
    ended = run_program("-c", PIECES)
    assert ended.code == 0 and ended.out == "".join(f"piece {at} " for at in range(150_000))
