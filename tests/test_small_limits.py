"""Machines that allow little: few descriptors, few processes, few addresses, no room in /dev/shm.

Whatever the limit, a program ends with its work done or with one error that says what was lacking: it does
not hang, is not killed by a signal, and prints nothing else.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from outside import run_program
from platforms import any_dev_shm

pytestmark = pytest.mark.once

WORKERS = 8
IS_COUNTING = "LLVM_PROFILE_FILE" in os.environ
FOUR = pytest.param(4, marks=pytest.mark.skipif(IS_COUNTING, reason="counting wants a descriptor at the end"))

# Sets a limit, lets eight workers do small and middling tasks, and waits until so many of them were there
# at one time. Prints one line: "done" and how many live, or "error" and what it says.
PROGRAM = """
import sys, time
import plait

def grow(item):
    return item + item[:1]

def main(limit, wait_for):
    try:
        limit()
        with plait.ProcessPoolExecutor({workers}) as pool:
            small = [pool.submit(grow, [n]) for n in range(200)]
            large = [pool.submit(grow, bytes(300_000 + n)) for n in range(8)]
            assert [f.result() for f in small] == [[n, n] for n in range(200)]
            assert [len(f.result()) for f in large] == [300_001 + n for n in range(8)]
            deadline = time.monotonic() + 30
            while len(pool._stats()["pids"]) < wait_for and time.monotonic() < deadline:
                pool.submit(time.sleep, 0.01).result()
            alive = len(pool._stats()["pids"])
        print("done", alive)
    except Exception as error:
        print("error", type(error).__name__, str(error).replace("\\n", " | "))
"""


def run(limit, wait_for=1, through=()):
    """Runs the program under a limit, set by these lines in it; the words that it prints."""
    code = PROGRAM.format(workers=WORKERS)
    code += f"def limit():\n{limit}\nmain(limit, {wait_for})\n"
    args = ["-c", code]
    if through:
        args = ["-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", *through, sys.executable, *args]
    [line] = run_program(*args).lines
    return line.split()


def rlimit(name, value):
    return f"    import resource; resource.setrlimit(resource.{name}, ({value}, {value}))"


# --- open files


def test_64_descriptors_are_enough_for_8_workers():
    assert run(rlimit("RLIMIT_NOFILE", 64), wait_for=WORKERS) == ["done", str(WORKERS)]


@pytest.mark.parametrize("most", [FOUR, 6, 8, 10, 12, 14, 17, 22, 28, 36])
@pytest.mark.usefixtures("uncounted")
def test_with_few_descriptors_the_work_is_done_by_fewer_workers_or_the_error_says_so(most):
    words = run(rlimit("RLIMIT_NOFILE", most))
    if words[0] == "done":
        assert int(words[1]) >= 1
    else:
        # In the words of plait, or of Python that could not load a module.
        assert "too many open files" in " ".join(words).lower(), words


def test_a_number_of_workers_that_descriptors_do_not_reach_for_is_no_error():
    [done, _] = run(rlimit("RLIMIT_NOFILE", 20))
    assert done == "done"


# --- processes


@pytest.fixture
def few_processes():
    """A control group that allows some tasks (processes and their threads) at a time: lines that join it."""
    top = Path("/sys/fs/cgroup/pids")
    if not top.is_dir():
        top = Path("/sys/fs/cgroup")
    group = top / f"plait-pids-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        if not (group / "pids.max").exists():
            pytest.skip("the control group has no limit of processes")

        def lines(most):
            (group / "pids.max").write_text(str(most))
            # A ulimit does not bind root.
            return f"    import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))"

        yield lines
    finally:
        group.rmdir()


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 7, 10, 14])
def test_with_few_processes_the_work_is_done_by_fewer_workers_or_the_error_says_so(few_processes, most):
    words = run(few_processes(most))
    if words[0] == "done":
        assert int(words[1]) >= 1
    else:
        assert "allows no more processes" in " ".join(words), words


# --- /dev/shm


@any_dev_shm
@pytest.mark.parametrize("options", ["size=64k", "ro"])
def test_what_dev_shm_allows_does_not_matter(options):
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", "/dev/shm"]
    try:
        subprocess.run(["unshare", "-m", *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"nothing can be mounted here: {getattr(error, 'stderr', None) or error}")
    script = " ".join(mount) + ' && exec "$@"'
    words = run("    pass", wait_for=WORKERS, through=["unshare", "-m", "sh", "-c", script, "sh"])
    assert words == ["done", str(WORKERS)]


# --- addresses and file sizes


@pytest.mark.parametrize("most", [2**28, 2**29, 2**30, 2**31, 2**33, 2**36, 2**39, 2**42])
def test_with_few_addresses_the_work_is_done_or_the_error_says_so(most):
    words = run(rlimit("RLIMIT_AS", most))
    if words[0] == "done":
        assert int(words[1]) >= 1
    else:
        # The program itself may be the one that gets no more.
        assert "memory" in " ".join(words).lower(), words
        assert most < 2**31, words


@pytest.mark.parametrize("most", [0, 4096, 2**18, 2**21, 2**24])
@pytest.mark.usefixtures("uncounted")
def test_with_small_files_the_work_is_done_or_the_error_says_so(most):
    words = run(rlimit("RLIMIT_FSIZE", most))
    if words[0] == "done":
        assert int(words[1]) >= 1
    else:
        assert "`ulimit -f`" in " ".join(words) or "File too large" in " ".join(words), words
