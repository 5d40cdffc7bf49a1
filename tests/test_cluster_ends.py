"""Ends on real clusters of each engine: workers that die, programs that are interrupted or killed."""

import os
import signal

import plait
import pytest
from clusters import ENGINES, PATHS, RAY, cluster_of, needs
from outside import run_program, start_program, until

pytestmark = pytest.mark.once


@pytest.fixture(scope="module", params=ENGINES)
def backend(request):
    return cluster_of(request.param, request).backend


@pytest.fixture(params=ENGINES)
def engine(request):
    needs(request.param)
    return request.param


# --- workers that die


def kills_at(number, culprit):
    if number == culprit:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_only_the_call_that_kills_its_worker_fails(backend):
    results = list(plait.map(kills_at, range(8), [5] * 8, backend=backend, errors="return", chunksize=4))
    died = results.pop(5)
    assert results == [0, 1, 2, 3, 4, 6, 7]
    assert isinstance(died, plait.WorkerDied) and died.task.endswith("kills_at")
    assert "died with" in str(died)


def test_a_call_that_kills_ends_a_map_that_raises(backend):
    with pytest.raises(plait.WorkerDied):
        list(plait.map(kills_at, range(3), [0] * 3, backend=backend))
    # The cluster heals.
    assert list(plait.map(abs, range(5), backend=backend)) == list(range(5))


def kills_once(path):
    if not os.path.exists(path):
        with open(path, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def test_tries_outlive_a_worker(backend, tmp_path):
    with plait.Executor(backend, retries=1) as executor:
        assert executor.submit(kills_once, str(tmp_path / "killed")).result() == "survived"


def test_a_forked_child_is_refused(backend):
    with plait.Executor(backend) as executor:
        executor.submit(abs, 1).result()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                executor.submit(abs, 1)
            except RuntimeError as error:
                os.write(writing, str(error).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading) as file:
            assert "belongs to the parent process" in file.read()
        os.waitpid(child, 0)


# --- programs with a cluster of their own


def own(folder):
    """The environment of a program whose files, and its clusters', go to that folder."""
    # Ray makes itself a token there.
    environ = {**RAY, "PYTHONPATH": os.pathsep.join(PATHS), "TMPDIR": str(folder), "HOME": str(folder)}
    return {**environ, "RAY_AUTH_MODE": "token"}


def test_a_local_cluster_needs_no_guard_is_kept_and_ends_with_the_program(engine, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, plait\n"
        "print('begun', flush=True)\n"
        "def pid(_): return os.getpid()\n"
        f"first = set(plait.map(pid, range(100), backend={engine!r}, workers=1, chunksize=1))\n"
        f"second = set(plait.map(pid, range(100), backend={engine!r}, workers=1, chunksize=1))\n"
        "print(len(first), first == second, os.getpid() in first)\n"
    )
    # Ray takes some seconds to start, and more on a busy machine.
    assert run_program(script, env=own(tmp_path), patience=90).lines == ["begun", "1 True False"]


def of_program(folder):
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if mentions(pid, folder)]


def mentions(pid, folder):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return os.fsencode(f"TMPDIR={folder}") in file.read()
    except OSError:
        return False


WAITS = """
import os, sys, time, plait
def sleeper(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
with plait.Executor(sys.argv[1], 1) as executor:
    executor.submit(abs, 1).result()
    print("started", flush=True)
    future = executor.submit(sleeper, sys.argv[2])
    executor.submit(abs, 1)
    future.result()
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_nothing_of_a_local_cluster_outlives_the_program(engine, ending, tmp_path):
    told = tmp_path / "told"
    program = start_program("-c", WAITS, engine, told, env=own(tmp_path))
    assert program.stdout.readline() == "started\n"
    until(lambda: told.exists() and told.read_text(), "the call")
    worker = int(told.read_text())
    os.kill(program.pid, ending)
    out, err = program.communicate(timeout=40)
    assert out == ""
    if ending == signal.SIGINT:
        assert err.rstrip().endswith("KeyboardInterrupt") and program.returncode == -signal.SIGINT
        left = [name for name in os.listdir(tmp_path) if name.startswith("plait-")]
        assert left == []
    until(lambda: not of_program(tmp_path), lambda: f"the end of {of_program(tmp_path)}")
    until(lambda: not os.path.exists(f"/proc/{worker}"), "the end of the worker")


def test_where_an_engine_is_missing_one_line_says_what_to_install(engine):
    package = {"dask": "distributed", "ray": "ray"}[engine]
    script = f"import sys, plait; sys.modules[{package!r}] = None; plait.map(abs, [1], backend={engine!r})"
    ended = run_program("-c", script, env={"PYTHONPATH": os.pathsep.join(PATHS)})
    assert (
        f"needs the package {package}" in ended.err
        and f"pip install 'plait[{engine}]'" in ended.err.splitlines()[-1]
    )
