"""`plait watch` as a user runs it: in a terminal, on its keys, and where there is none."""

import contextlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
from outside import PATIENCE, finish, is_alive, until
from recorded import CONTENTION, HOG, only_file, refusal, words_of
from terminal import INTERRUPT, SIGNALS, Terminal

pytestmark = pytest.mark.once

# --- in a terminal

# The head of the lanes, and the name of a thread of a Python program.
LANES = ("GIL%", " python ")


@pytest.fixture
def watching(out):
    """Watches something in a terminal that is closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def watch(*arguments, **options):
            return stack.enter_context(Terminal(["watch", *arguments], out, **options))

        yield watch


def test_lanes_and_verdict_in_a_small_terminal(program, watching):
    target = program(CONTENTION)
    view = watching(target.pid)
    view.shows(f"plait watch  PID {target.pid}", "waiting", *LANES)
    # Which verdict comes first is for the machine to say, too.
    until(lambda: re.search(r"^[A-Z][A-Za-z /]+: \S", view.text.splitlines()[1]), lambda: view.text)
    assert view.in_view and max(map(len, view.text.splitlines())) <= 80
    view.press("?")
    view.shows("sort by GIL, waits, CPU, name")
    view.press("?q")
    assert view.ends() == 0
    assert view.is_as_before() and "Seen: " in view.printed, "the verdict"
    assert is_alive(target.pid)


def test_the_hog_is_named(program, watching):
    view = watching(program(HOG).pid)
    view.shows("burn")
    view.press("q")
    assert view.ends() == 0


@pytest.mark.parametrize("of", ["a process", "a command"])
def test_it_ends_when_the_terminal_goes_away(program, watching, of):
    target = program(CONTENTION)
    ignoring = "import signal, time; signal.signal(signal.SIGHUP, signal.SIG_IGN); time.sleep(600)"
    view = watching(*([target.pid] if of == "a process" else ["--", sys.executable, "-c", ignoring]))
    view.shows("GIL%" if of == "a process" else "plait watch")
    view.hang_up()
    if of == "a process":
        assert view.process.wait(PATIENCE) != 0
        assert is_alive(target.pid)
    else:
        # It waits for its command, as it would otherwise; the point is that this takes no processor.
        used = lambda: sum(map(int, Path(f"/proc/{view.process.pid}/stat").read_text().split()[13:15]))
        before = used()
        time.sleep(2)
        assert used() - before < 100, "a hundredth of a second each"


def test_it_follows_the_size_of_the_terminal(program, watching):
    view = watching(program(CONTENTION).pid)
    view.shows(*LANES)
    for columns, lines in [(132, 50), (40, 10), (20, 5), (80, 24)]:
        view.resize(columns, lines)
        written = len(view.written)
        until(lambda: view.read() or len(view.written) > written, "a new picture")
        assert view.process.poll() is None, view.text
    view.shows(*LANES)
    view.press("q")
    assert view.ends() == 0


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_leave_the_terminal_as_it_was(number, program, watching):
    target = program(CONTENTION)
    view = watching(target.pid)
    view.shows(*LANES)
    view.signal(number)
    view.ends()
    assert view.is_as_before() and is_alive(target.pid)


def test_ctrl_c_ends_it(program, watching):
    target = program(CONTENTION)
    view = watching(target.pid)
    view.shows(*LANES)
    view.press(INTERRUPT)
    assert view.ends() == 0
    assert view.is_as_before() and is_alive(target.pid)


def test_it_ends_with_the_program(program, watching):
    target = program(CONTENTION)
    view = watching(target.pid)
    view.shows(*LANES)
    os.kill(target.pid, signal.SIGKILL)
    assert view.ends() == 0
    assert view.is_as_before()


def test_it_ends_when_its_time_is_over(program, watching):
    view = watching("--duration", "1", program(CONTENTION).pid)
    assert view.ends() == 0
    assert view.is_as_before()


def test_what_is_seen_can_be_saved(program, watching, out):
    view = watching(program(CONTENTION).pid)
    view.shows(*LANES)
    view.press("w")
    view.shows("saved plait-watch-")
    view.press("q")
    assert view.ends() == 0
    saved = only_file(out)
    assert re.fullmatch(r"plait-watch-\d+-1\.plait", saved.name)
    assert words_of(saved)


# Naps: a signal that comes between Python's last look and one long sleep would be heard after the sleep.
TALKING = """
import sys, time
try:
    print("begun", sys.stdin.read() == "", flush=True)
    open("begun", "w").close()
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    print("cleaned up", flush=True)
    print("badly", file=sys.stderr)
    sys.exit(7)
"""


def test_a_command_prints_when_the_view_is_left(watching, out):
    view = watching("--", sys.executable, "-c", TALKING)
    view.shows(*LANES)
    until(lambda: (out / "begun").exists(), "the command")
    assert view.in_view and "begun" not in view.text
    view.press(INTERRUPT)
    assert view.ends() == 7
    assert view.is_as_before()
    assert "begun True\ncleaned up\nbadly\n" in view.printed, view.text


def test_a_command_runs_on_when_the_view_is_left(watching):
    view = watching("--", sys.executable, "-c", TALKING)
    view.shows(*LANES)
    view.press("q")
    until(lambda: "the command runs on as process" in view.printed, lambda: view.text)
    until(lambda: "begun True\n" in view.printed, lambda: view.text)
    assert view.is_as_before() and view.process.poll() is None
    view.press(INTERRUPT)
    assert view.ends() == 7
    assert view.printed.endswith("cleaned up\nbadly\n")


def test_a_command_that_cannot_be_started_opens_no_view(watching):
    view = watching("--", "no-such-command")
    assert view.ends() == 2
    assert view.written == b"plait: cannot start 'no-such-command': there is no such command\r\n"


# --- where there is no terminal

LINE = re.compile(r" *\d+ s  GIL +\S+ %  waiting +[\d.]+  CPU +[\d.]+.*")


def test_lines_where_there_is_no_terminal(program, cli):
    target = program(CONTENTION)
    done = cli("watch", "--duration", "3.5", target.pid)
    assert (done.code, done.err) == (0, ""), done
    lines = [line for line in done.out.splitlines() if LINE.fullmatch(line)]
    assert len(lines) >= 2 and any("most: " in line for line in lines), done
    assert "GIL contention" in done.out


def test_lines_in_a_terminal_if_one_likes(program, watching):
    view = watching("--plain", "--duration", "2.5", program(CONTENTION).pid)
    assert view.ends() == 0
    assert b"\x1b[?1049h" not in view.written and b" s  GIL " in view.written


def test_a_terminal_that_can_do_nothing_gets_lines(program, watching):
    view = watching("--duration", "2.5", program(CONTENTION).pid, TERM="dumb")
    assert view.ends() == 0
    assert b"\x1b" not in view.written and b" s  GIL " in view.written


def test_a_command_prints_as_it_does_alone(cli):
    text = "import sys, time; print(sys.stdin.read().upper(), flush=True); time.sleep(1.5); sys.exit(4)"
    done = cli("watch", "--", sys.executable, "-c", text, stdin="words")
    assert done.code == 4 and done.out.startswith("WORDS\n"), done


def test_ctrl_c_ends_the_lines(program, cli_started):
    target = program(CONTENTION)
    watcher = cli_started("watch", target.pid)
    watcher.stdout.readline()
    os.kill(watcher.pid, signal.SIGINT)
    done = finish(watcher)
    assert (done.code, done.err) == (0, ""), done
    assert is_alive(target.pid)


def test_who_reads_no_more_ends_it(program, cli_started):
    watcher = cli_started("watch", program(CONTENTION).pid)
    watcher.stdout.readline()
    watcher.stdout.close()
    watcher.wait(40)
    assert watcher.returncode == 1
    assert watcher.stderr.read() == ""
    watcher.stdin.close()
    watcher.stderr.close()


def test_what_cannot_be_watched_is_refused(cli):
    assert "there is no process" in refusal(cli("watch", 2**22 + 1))
    assert "nothing to look at" in refusal(cli("watch"))
