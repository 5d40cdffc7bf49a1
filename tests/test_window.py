"""examples/window.py on a display: it answers while workers compute, and leaves nothing behind."""

import json
import os
import select
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from outside import PATIENCE, TESTS, finish, is_alive, kill_session, run_program, start_program, until

pytestmark = pytest.mark.once

pytest.importorskip("tkinter", reason="this Python was built without tkinter")

EXAMPLE = TESTS.parent / "examples" / "window.py"
# So often the loop has to come round before it counts as answering.
OFTEN = 20


@pytest.fixture(scope="module")
def display():
    """A display that nobody looks at."""
    path = shutil.which("Xvfb")
    if path is None and "CI" not in os.environ:
        pytest.skip("there is no Xvfb: `apt-get install xvfb`")
    assert path, "there is no Xvfb, which .ci/run installs"
    ours, its = os.pipe()
    command = [path, "-displayfd", str(its), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    quiet = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
    server = subprocess.Popen(command, pass_fds=[its], **quiet)
    os.close(its)
    with os.fdopen(ours) as told:
        number = told.readline().strip()
    assert number, f"Xvfb ended with {server.wait()}"
    yield f":{number}"
    server.terminate()
    server.wait()


class Driven:
    """The window in a program of its own; its calls wait at gates."""

    def __init__(self, display, folder, *items):
        self.folder = folder
        env = {"DISPLAY": display, "PLAIT_MAX_WORKERS": "2"}
        self.program = start_program(TESTS / "window_driven.py", folder, *items, env=env)
        self.pid = self.program.pid

    def ask(self, word="look"):
        """Has it do something; how it looks then."""
        self.program.stdin.write(f"{word}\n")
        self.program.stdin.flush()
        assert select.select([self.program.stdout], [], [], PATIENCE)[0], (
            f"the window does not answer {word!r}"
        )
        line = self.program.stdout.readline()
        assert line, self.end()
        return json.loads(line)

    def until(self, condition, what):
        """Waits until it looks so."""
        return until(lambda: (looks := self.ask()) and condition(looks) and looks, what)

    def go_round(self):
        """Waits until its loop has come round often; how it looks then."""
        before = self.ask()["ticks"]
        return self.until(lambda looks: looks["ticks"] > before + OFTEN, "a loop that answers")

    def entered(self):
        """The calls that have begun, with their processes."""
        found = {}
        for path in self.folder.glob("entered-*"):
            if pid := path.read_text():
                found[int(path.name.removeprefix("entered-"))] = int(pid)
        return found

    def running(self, *items):
        """Waits until these calls have begun; their processes."""
        until(lambda: set(items) <= set(self.entered()), f"the start of {items}")
        return [self.entered()[item] for item in items]

    def open(self, *items):
        """Lets these calls end."""
        for item in items:
            (self.folder / f"open-{item}").touch()

    def end(self):
        """How the program ended, of which nothing is left."""
        try:
            return finish(self.program)
        finally:
            kill_session(self.pid)


@pytest.fixture
def drive(display, tmp_path):
    """Starts the window, and ends what a test leaves of it."""
    started = []

    def drive(*items):
        started.append(Driven(display, tmp_path, *items))
        return started[-1]

    yield drive
    for driven in started:
        kill_session(driven.pid)
        driven.program.communicate()


def processor_time(pid):
    """What a process has computed, in ticks of the kernel."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def computes(pid):
    """Waits until the process has computed something from now on."""
    before = processor_time(pid)
    until(lambda: processor_time(pid) > before, f"work of {pid}")


def test_it_computes_what_it_says(drive):
    window = drive()
    looks = window.ask()
    assert looks["status"] == "ready" and (looks["start"], looks["cancel"]) == ("normal", "disabled")
    window.ask("start")
    looks = window.until(lambda looks: looks["status"] == "done: 3 of 3", "three results")
    assert sorted(looks["results"]) == ["1,000: 168", "10,000: 1,229", "100: 25"]
    window.ask("close")
    assert window.end().code == 0


def test_it_answers_while_workers_compute(drive):
    window = drive(1, 2, 3, 4)
    looks = window.ask("start")
    assert (looks["start"], looks["cancel"]) == ("disabled", "normal")
    computing = window.running(1, 2)
    for pid in computing:
        computes(pid)
    looks = window.go_round()
    assert (looks["results"], looks["status"]) == ([], "working: 0 of 4")
    # As they come, not as they were asked for.
    window.open(2)
    looks = window.until(lambda looks: looks["results"], "the first result")
    assert (looks["results"], looks["bar"]) == (["2: 2,000"], 1)
    computes(computing[0])
    looks = window.go_round()
    assert looks["results"] == ["2: 2,000"], "between two results"
    window.open(1)
    looks = window.until(lambda looks: len(looks["results"]) == 2, "the second result")
    assert (looks["results"][1], looks["status"]) == ("1: 1,000", "working: 2 of 4")
    window.open(3, 4)
    looks = window.until(lambda looks: looks["start"] == "normal", "the end")
    assert (looks["status"], looks["bar"], looks["cancel"]) == ("done: 4 of 4", 4, "disabled")


def test_cancel_stops_what_runs(drive):
    window = drive(1, 2, 3, 4)
    window.ask("start")
    computing = window.running(1, 2)
    looks = window.ask("cancel")
    assert (looks["status"], looks["start"]) == ("cancelled: 0 of 4", "normal")
    until(lambda: not any(map(is_alive, computing)), "the end of the calls that ran")
    window.go_round()
    assert set(window.entered()) == {1, 2}, "nothing else has begun"
    # And again, from the beginning.
    window.open(1, 2, 3, 4)
    window.ask("start")
    looks = window.until(lambda looks: looks["status"] == "done: 4 of 4", "all results")
    assert sorted(looks["results"]) == ["1: 1,000", "2: 2,000", "3: 3,000", "4: 4,000"]


def test_buttons_that_are_out_of_use_do_nothing(drive):
    window = drive(1)
    assert window.ask("cancel")["status"] == "ready"
    window.ask("start")
    window.running(1)
    window.ask("start")
    window.open(1)
    looks = window.until(lambda looks: looks["cancel"] == "disabled", "the end")
    assert (looks["results"], looks["status"]) == (["1: 1,000"], "done: 1 of 1")


def test_calls_that_fail_are_shown_and_the_others_go_on(drive):
    window = drive(1, 2, 3)
    (window.folder / "raise-1").touch()
    (window.folder / "die-2").touch()
    window.open(1, 2, 3)
    window.ask("start")
    looks = window.until(lambda looks: looks["status"] == "done: 3 of 3", "all results")
    raised, died, fine = sorted(looks["results"])
    assert (raised, fine) == ("1: LookupError('item 1')", "3: 3,000")
    assert died.startswith("2: WorkerDied(")


def test_closing_it_in_the_midst_of_work_leaves_nothing(drive):
    window = drive(1, 2, 3, 4)
    window.ask("start")
    computing = window.running(1, 2)
    window.ask("close")
    ended = window.end()
    assert (ended.code, ended.err) == (0, "")
    assert not any(map(is_alive, computing))


@pytest.mark.parametrize(
    "number, to", [(signal.SIGINT, os.killpg), (signal.SIGINT, os.kill), (signal.SIGTERM, os.kill)]
)
def test_signals_close_it(drive, number, to):
    window = drive(1, 2, 3, 4)
    window.ask("start")
    window.running(1, 2)
    to(window.pid, number)
    ended = window.end()
    assert (ended.code, ended.err) == (0, "")


def test_without_a_display_it_says_so():
    ended = run_program(EXAMPLE, env={"DISPLAY": ""})
    assert ended.code == 1
    assert ended.err.startswith("no window can be shown here: ") and ended.err.count("\n") == 1
