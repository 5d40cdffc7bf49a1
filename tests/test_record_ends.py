"""How a recording ends: by signals to it or its command, with its program, killed, and with a full disk."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from outside import finish, is_alive, run_program, until
from platforms import needs_gil
from recorded import CONTENTION, HEAD, findings, grows


def test_ctrl_c_ends_the_recording_and_not_the_program(program, cli_started, out):
    target = program(CONTENTION)
    recorder = cli_started("record", "-o", "it.plait", target.pid)
    grows(out / "it.plait", 100)
    os.kill(recorder.pid, signal.SIGINT)
    done = finish(recorder)
    assert done.code == 0 and "trace: it.plait" in done.out, done
    assert is_alive(target.pid)


@needs_gil
def test_sigterm_ends_it_in_good_order(program, cli_started, out):
    recorder = cli_started("record", "--quiet", "-o", "it.plait", program(CONTENTION).pid)
    grows(out / "it.plait", 100)
    recorder.terminate()
    done = finish(recorder)
    assert (done.code, done.out, done.err) == (0, "", ""), done
    assert findings(out / "it.plait")


def test_it_ends_with_the_program(program, cli_started, out):
    target = program(CONTENTION)
    recorder = cli_started("record", "-o", "it.plait", target.pid)
    grows(out / "it.plait", 100)
    os.kill(target.pid, signal.SIGKILL)
    done = finish(recorder)
    assert done.code == 0 and "trace: it.plait" in done.out, done


# Naps: a signal that comes between Python's last look and one long sleep would be heard after the sleep.
PATIENT = """
import sys, time
try:
    print("ready", flush=True)
    while True:
        time.sleep(0.05)
except KeyboardInterrupt:
    print("cleaned up", flush=True)
    sys.exit(7)
"""

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: print("no", flush=True))
print("ready", os.getpid(), flush=True)
while True:
    time.sleep(0.05)
"""


def test_ctrl_c_is_the_commands(cli_started, out):
    recorder = cli_started("record", "-o", "it.plait", "--", sys.executable, "-c", PATIENT)
    assert recorder.stdout.readline() == "ready\n"
    grows(out / "it.plait", 14)
    # As the terminal does it: all of the foreground gets it.
    os.killpg(recorder.pid, signal.SIGINT)
    done = finish(recorder)
    assert done.code == 7, done
    assert done.out.startswith("cleaned up\n") and "trace: it.plait" in done.out, done


def test_a_second_ctrl_c_ends_it_at_once(cli_started, out):
    recorder = cli_started("record", "-o", "it.plait", "--", sys.executable, "-c", STUBBORN)
    word, pid = recorder.stdout.readline().split()
    assert word == "ready"
    grows(out / "it.plait", 14)
    os.killpg(recorder.pid, signal.SIGINT)
    assert recorder.stdout.readline() == "no\n"
    for _ in range(5):
        os.killpg(recorder.pid, signal.SIGINT)
        # Two that come at once are one.
        with contextlib.suppress(subprocess.TimeoutExpired):
            recorder.wait(8)
            break
    assert is_alive(int(pid)), "it is the user's, and was never asked to end"
    os.kill(int(pid), signal.SIGKILL)
    done = finish(recorder)
    assert done.code == 128 + signal.SIGINT
    assert "trace: it.plait" in done.out and f"the command runs on as process {pid}" in done.err, done


def test_sigterm_is_passed_on(cli_started, out):
    recorder = cli_started("record", "-o", "it.plait", "--", sys.executable, "-c", STUBBORN)
    recorder.stdout.readline()
    grows(out / "it.plait", 14)
    recorder.terminate()
    done = finish(recorder)
    assert done.code == 128 + signal.SIGTERM and "trace: it.plait" in done.out, done


COUNTING = f"""{HEAD}
def count():
    number = 0
    while True:
        number += 1
        if number % 1000 == 0:
            with open("count", "w") as file:
                file.write(str(number))

in_threads(count)
"""


def test_what_a_killed_recorder_wrote_can_be_read_and_the_program_runs_on(
    program, cli_started, cli, tmp_path, out
):
    target = program(COUNTING)
    recorder = cli_started("record", "-o", "it.plait", target.pid)
    grows(out / "it.plait", 1000)
    recorder.kill()
    recorder.wait()
    done = cli("report", "it.plait")
    assert done.code == 0 and done.out, done
    assert done.err.startswith("plait: 'it.plait' was cut off, as by a recorder that was killed")
    counted = tmp_path / "count"
    before = int(counted.read_text() or 0)
    until(lambda: int(counted.read_text() or 0) > before, "the program to go on")


LIMITED = """
import resource, sys
from plait.__main__ import main
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
sys.argv = ["plait", "record", "-o", "it.plait", sys.argv[1]]
sys.exit(main())
"""


@needs_gil
@pytest.mark.usefixtures("uncounted")
def test_what_was_recorded_before_the_disk_was_full_is_kept(program, cli, out):
    target = program(CONTENTION)
    done = run_program("-c", LIMITED, target.pid, cwd=out)
    assert done.code == 1, done
    assert done.err == (
        "plait: cannot write 'it.plait' any more: File too large; what was recorded until then is in it\n"
    )
    assert 14 < (out / "it.plait").stat().st_size <= 3000
    assert cli("report", "it.plait").code == 0
    assert is_alive(target.pid)
