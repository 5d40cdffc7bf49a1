"""Ctrl-C sent to a real `plait compare`: what was measured is printed, and no process is left."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

COMMAND = [sys.executable, "-m", "plait"]


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "work.py").write_text(textwrap.dedent(text))

    return write


def processes_of_session(session):
    """Process ids in a session, of which its first process is the leader."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[3] == str(session) and fields[0] != "Z":
            found.append(int(entry))
    return found


def wait_until(condition, what):
    """Wait as long as the watchdog of the test allows; a state that is sure to come."""
    for _ in range(5_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")


@pytest.mark.parametrize("whom", ["process", "group"])
@pytest.mark.parametrize("extra", [[], ["--peers"]])
def test_ctrl_c_prints_what_there_is_and_leaves_nothing(write, tmp_path, whom, extra):
    # Calls on processes leave a mark and do not end: by then, serial and threads have had a round.
    write("""
        import os, time
        ITEMS = [1, 2]
        HOME = os.getpid()

        def stuck(n):
            if os.getpid() != HOME:
                open("stuck", "w").close()
                time.sleep(1_000)
            return n
    """)
    command = [
        *COMMAND,
        "compare",
        "work.py",
        "--workers",
        "2",
        "--rounds",
        "2",
        "--json",
        "out.json",
        *extra,
    ]
    running = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(
            lambda: (tmp_path / "stuck").exists() or running.poll() is not None, "a call on a worker process"
        )
        send = os.kill if whom == "process" else os.killpg
        send(running.pid, signal.SIGINT)
        stdout, stderr = running.communicate(timeout=60)
        assert running.returncode == 1, stderr
        assert stderr.splitlines() == ["plait: interrupted; what was measured until then is above"]
        wait_until(lambda: not processes_of_session(running.pid), "the end of all workers")
    finally:
        if running.poll() is None:
            running.kill()
    assert "serial" in stdout and "Interrupted" in stdout
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["interrupted"] is True
    rows = {row["backend"]: row for row in document["rows"]}
    assert rows["serial"]["rounds"] == 1 and rows["threads"]["rounds"] == 1
    assert rows["processes"]["rounds"] == 0


def test_ctrl_c_while_a_thread_cannot_be_stopped(write, tmp_path):
    write("""
        import threading, time
        ITEMS = [1, 2]

        def stuck(n):
            if threading.current_thread() is not threading.main_thread():
                open("stuck", "w").close()
                time.sleep(1_000)
            return n
    """)
    running = subprocess.Popen(
        [*COMMAND, "compare", "work.py", "--workers", "2"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: (tmp_path / "stuck").exists() or running.poll() is not None, "a call on a thread")
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            running.kill()
    assert running.returncode == 1
    assert "Interrupted" in stdout
    assert stderr.splitlines() == ["plait: interrupted; what was measured until then is above"]


def test_ctrl_c_while_the_file_is_loaded(write, tmp_path):
    write("import time\nopen('loading', 'w').close()\ntime.sleep(1_000)\n")
    running = subprocess.Popen(
        [*COMMAND, "compare", "work.py"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(
            lambda: (tmp_path / "loading").exists() or running.poll() is not None, "the file being loaded"
        )
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=60)
    finally:
        if running.poll() is None:
            running.kill()
    assert (running.returncode, stdout, stderr) == (1, "", "plait: interrupted\n")
