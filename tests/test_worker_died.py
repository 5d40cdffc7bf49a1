"""What the error of a dead worker tells."""

import os
import signal
import sys
import time
from pathlib import Path

import plait
import pytest
import workloads as w
from outside import run_program, until


def print_and_die(lines):
    for n in range(lines):
        print(f"line {n}")
    sys.stderr.write("something went wrong\n")
    w.kill_self()


def crash(depth):
    if depth:
        crash(depth - 1)
    w.segfault()


def test_it_carries_the_whole_story(processes):
    error = processes.submit(print_and_die, 3).exception()
    assert isinstance(error, plait.WorkerDied)
    assert error.task == "test_worker_died.print_and_die"
    assert (error.signal, error.exitcode, error.tries) == (signal.SIGKILL, -signal.SIGKILL, 1)
    assert not error.out_of_memory and error.memory_limit is None
    assert error.output == "line 0\nline 1\nline 2\nsomething went wrong"
    # An interpreter is not made of less, and this one holds no more.
    assert 5 << 20 < error.peak_memory < 500 << 20
    assert str(error) == (
        f"the worker process {error.pid} was killed by signal 9 (SIGKILL)"
        " while it ran test_worker_died.print_and_die"
    )
    [note] = error.__notes__
    assert note.endswith("something went wrong")


def test_only_the_last_lines_are_kept(processes):
    error = processes.submit(print_and_die, 10_000).exception()
    lines = error.output.splitlines()
    assert lines[-3:] == ["line 9998", "line 9999", "something went wrong"]
    assert len(lines) <= 20 and lines[0].startswith("line ")


@pytest.mark.parametrize("how", [w.segfault, w.abort_self])
def test_a_crash_leaves_the_python_stack(processes, how):
    error = processes.submit(how).exception()
    assert f"in {how.__name__}" in error.stack
    assert any(f"in {how.__name__}" in note for note in error.__notes__)


def test_the_stack_has_its_depth(processes):
    error = processes.submit(crash, 5).exception()
    assert error.stack.count("in crash") == 6


def test_exit_codes(processes):
    error = processes.submit(w.exit_self, 7).exception()
    assert (error.exitcode, error.signal, error.stack) == (7, None, None)
    assert "exited with code 7" in str(error)


def test_functions_without_a_name(processes):
    error = processes.submit(
        w.Counter().die if hasattr(w.Counter, "die") else lambda: w.kill_self()
    ).exception()
    assert isinstance(error, plait.WorkerDied)
    assert error.task is None or "lambda" in error.task or "die" in error.task


def test_it_survives_pickling(processes):
    import pickle

    error = processes.submit(w.kill_self).exception()
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.pid, copy.signal, copy.task) == (error.pid, error.signal, error.task)


def test_a_submit_right_after_succeeds(process_face):
    with process_face(1) as pool:
        for _ in range(20):
            assert isinstance(pool.submit(w.kill_self).exception(), plait.WorkerDied)
            assert pool.submit(w.add_one, 1).result() == 2


CGROUP = Path("/sys/fs/cgroup/memory")

OUT_OF_MEMORY = """
import os, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
import plait, test_memory_limits, workloads

with plait.ProcessPoolExecutor(2) as pool:
    other = pool.submit(workloads.sleep, 0.5)
    error = pool.submit(test_memory_limits.allocate_for_ever, "x").exception()
    print(type(error).__name__, error.out_of_memory, error.signal, other.result())
    print(error)
    print(pool.submit(workloads.add_one, 1).result())
    error = pool.submit(workloads.kill_self).exception()
    print(error.out_of_memory)
"""


def test_out_of_memory_is_named():
    own = CGROUP / own_group()
    try:
        group = own / f"plait-test-{os.getpid()}-{time.monotonic_ns()}"
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory control group can be made here: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(160 << 20))
        ended = run_program("-c", OUT_OF_MEMORY, group)
        printed, first, message, *rest = ended.lines
        assert printed == "about to allocate"
        assert first == "WorkerDied True 9 0.5"
        assert "the kernel's OOM killer ended it because memory ran out; it used up to 1" in message
        assert rest == ["2", "False"]
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the end of the group's processes")
        group.rmdir()


def own_group():
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return path.lstrip("/")
    return ""
