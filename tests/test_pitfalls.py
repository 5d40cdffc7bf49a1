"""Pitfalls, each as one script run twice: on the standard library's pools it falls in, on plait's not.

docs/pitfalls.md leads through them in the same order.
"""

import os
import signal
import subprocess
import textwrap
from pathlib import Path

import pytest
from groups import make_group as make_group
from outside import finish, is_alive, kill_session, run_program, session, start_program, until

pytestmark = pytest.mark.once

STDLIB = "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor"
PLAIT = "from plait import ProcessPoolExecutor, ThreadPoolExecutor"
# What shows whether others go on: a thread that notes the time whenever it gets the GIL.
HEART = """
import threading, time
beats = []
def beat():
    while True:
        time.sleep(0.001)
        beats.append(time.monotonic())
def listen(times):
    end = len(beats) + times
    while len(beats) < end:
        time.sleep(0.001)
threading.Thread(target=beat, daemon=True).start()
listen(3)
"""


def written(folder, pool, body):
    """The script on one of the pools, as a file."""
    script = Path(folder) / "script.py"
    script.write_text(f"{pool}\n{textwrap.dedent(body)}\n")
    return script


def told(folder, pool, body, *arguments):
    """What the script prints on one of the pools, line by line; nothing else, and it ends well."""
    return run_program(written(folder, pool, body), *arguments).lines


# --- functions that no module has under their name


@pytest.mark.parametrize("function", ["lambda n: n + 1", "local()", "decorated"])
def test_functions_without_a_name(tmp_path, function):
    script = f"""
        import pickle
        def local():
            def inner(n):
                return n + 1
            return inner
        def decorator(function):
            def inner(n):  # No functools.wraps.
                return function(n)
            return inner
        @decorator
        def decorated(n):
            return n + 1
        if __name__ == "__main__":
            with ProcessPoolExecutor(1) as pool:
                try:
                    print(pool.submit({function}, 1).result())
                except (AttributeError, pickle.PicklingError) as error:
                    print("failed")
    """
    assert told(tmp_path, STDLIB, script) == ["failed"]
    assert told(tmp_path, PLAIT, script) == ["2"]


# --- a script without the guard


def test_a_script_without_the_guard(tmp_path):
    """The script calls a pool at its top level; each process that imports it does so, too."""
    script = """
        import sys
        with open(sys.argv[1], "a") as runs:
            runs.write("x")
        print(Pool(2).map(abs, [-1, -2]))
    """
    runs = tmp_path / "runs"
    spawn = "import multiprocessing; Pool = multiprocessing.get_context('spawn').Pool"
    program = start_program(written(tmp_path, spawn, script), runs, stderr=subprocess.DEVNULL)
    try:
        until(lambda: runs.exists() and runs.stat().st_size > 5, "the script to run again and again")
        assert program.poll() is None
    finally:
        until(lambda: kill_session(program.pid) or not session(program.pid), "the end of what it started")
        printed, _ = program.communicate()
    assert printed == ""
    runs.unlink()
    assert told(tmp_path, "from plait import Pool", script, runs) == ["[1, 2]"]
    assert runs.read_text() == "x"


# --- what a container may use


def test_the_quota_of_a_container(tmp_path, make_group):
    """The program may use one processor, and the machine has more."""
    if os.cpu_count() < 2:
        pytest.skip("with one processor, a quota of one is none")
    script = """
        import sys
        with open(sys.argv[1] + "/cgroup.procs", "w") as procs:
            procs.write("0")
        with ProcessPoolExecutor() as pool:
            print(pool._max_workers)
    """
    group = make_group("cpu")
    group.cpus(1)
    assert int(*told(tmp_path, STDLIB, script, group)) > 1
    assert int(*told(tmp_path, PLAIT, script, group)) == 1


# --- threads within workers


def test_threads_of_blas_in_workers(tmp_path, monkeypatch):
    """As many workers as there are processors, and each calculates on as many threads as there are."""
    for name in ("OMP", "OPENBLAS", "MKL", "BLIS"):
        monkeypatch.delenv(f"{name}_NUM_THREADS", raising=False)
    cpus = len(os.sched_getaffinity(0))
    if cpus < 2:
        pytest.skip("with one processor there is one thread")
    script = f"""
        def threads():
            import numpy, threadpoolctl
            return max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
        if __name__ == "__main__":
            with ProcessPoolExecutor({cpus}) as pool:
                print({cpus} * pool.submit(threads).result())
    """
    assert int(*told(tmp_path, STDLIB, script)) > cpus
    assert int(*told(tmp_path, PLAIT, script)) <= cpus


# --- an open file among the arguments


def test_an_open_handle_in_an_argument(tmp_path):
    script = """
        class Job:
            def __init__(self, log):
                self.settings = {"name": "job", "log": log}
        def work(job):
            return 1
        if __name__ == "__main__":
            with ProcessPoolExecutor(1) as pool, open(__file__) as file:
                print(pool.submit(work, Job(file)).exception())
    """
    [where] = told(tmp_path, STDLIB, script)
    assert "TextIOWrapper" in where and "log" not in where
    [where] = told(tmp_path, PLAIT, script)
    assert "TextIOWrapper" in where and where.startswith("args[0].settings['log']: ")


# --- native code that keeps the GIL


def test_native_code_that_keeps_the_gil(tmp_path):
    script = (
        HEART
        + """
import functools, operator
import plait
def hog(size):
    # One native call reads the clock, adds up, and reads the clock.
    calls = time.monotonic, functools.partial(sum, range(size)), time.monotonic
    began, _, ended = tuple(map(operator.call, calls))
    return [time for time in beats if began < time < ended]
with ThreadPoolExecutor(1) as pool:
    print(pool.submit(hog, 10_000_000).result())
"""
    )
    # No pool of threads helps here.
    assert told(tmp_path, STDLIB, script) == ["[]"]
    # Nor do plait's. But plait names it, and on processes the program goes on, and can stop it.
    script += """
import queue
held = queue.SimpleQueue()
with plait.watch_gil(0.1, held.put, name_functions=False):
    while held.empty():
        hog(30_000_000)
print(held.get().stack[0].split()[-1])
with ProcessPoolExecutor(1) as pool:
    future = pool.submit(sum, range(10**15))
    listen(20)
    print("stopped" if not future.done() and future.cancel() else "too late")
"""
    assert told(tmp_path, PLAIT, script) == ["[]", "hog", "stopped"]


# --- a call that blocks in a coroutine


def test_a_blocking_call_in_a_coroutine(tmp_path):
    """One coroutine waits in a blocking call for what the next would do."""
    script = """
        import asyncio, threading
        import plait
        async def in_the_loop(event):
            return event.wait(0.5)
        async def in_a_pool(event):
            async with ThreadPoolExecutor(1) as pool:
                return await pool.submit(event.wait, 30)
        async def main(wait):
            event = threading.Event()
            async def serve():
                event.set()
            waited, _ = await asyncio.gather(wait(event), serve())
            return waited
        blocked = []
        async def watched():
            with plait.watch_loop(0.1, blocked.append):
                return await main(in_the_loop)
"""
    # It waits in vain: the loop stands still, and so does who would set the event.
    last = "        print(asyncio.run(main(in_the_loop)))"
    assert told(tmp_path, STDLIB, script + last) == ["False"]
    last = """
        print(asyncio.run(main(in_a_pool)))
        print(asyncio.run(watched()), blocked[0].call, blocked[0].function, blocked[0].remedy, sep="|")
    """
    waited, found = told(tmp_path, PLAIT, script + last)
    assert waited == "True"
    assert found.startswith("False|event.wait|in_the_loop|")


# --- memory that is never given back


def test_a_function_that_leaks(tmp_path):
    script = """
        import os, time
        kept = []
        def leak():
            kept.append(b"x" * (8 << 20))
            time.sleep(0.1)
            return os.getpid()
        if __name__ == "__main__":
            with ProcessPoolExecutor(1, **options) as pool:
                print(len({pool.submit(leak).result() for _ in range(16)}))
    """
    # It grows as long as there is work. By a number of tasks it could be replaced, by what it takes not.
    assert told(tmp_path, f"{STDLIB}\noptions = {{}}", script) == ["1"]
    options = "options = {'max_memory_growth': '30MiB'}"
    assert int(*told(tmp_path, f"{PLAIT}\n{options}", script)) >= 2
    ended = run_program(written(tmp_path, f"{STDLIB}\n{options}", script))
    assert ended.code == 1 and "max_memory_growth" in ended.err


# --- lines of several workers


def test_garbled_lines(tmp_path):
    """Two workers write a line each, in two pieces, and both have begun before either goes on.

    Their output is not buffered, as in most containers.
    """
    script = """
        import os, sys, time
        def say(folder, n):
            print(n, "begins", end=", ")
            open(f"{folder}/{n}", "w").close()
            while not os.path.exists(f"{folder}/{1 - n}"):
                time.sleep(0.001)
            print(n, "ends")
        if __name__ == "__main__":
            with ProcessPoolExecutor(2) as pool:
                list(pool.map(say, [sys.argv[1]] * 2, range(2)))
    """
    whole = {"0 begins, 0 ends", "1 begins, 1 ends"}
    for pool, expected in ((STDLIB, set()), (PLAIT, whole)):
        folder = tmp_path / pool.split()[1]
        folder.mkdir()
        ended = run_program(written(tmp_path, pool, script), folder, env={"PYTHONUNBUFFERED": "1"})
        assert set(ended.lines) & whole == expected


# --- Ctrl-C


def test_ctrl_c(tmp_path):
    """Two of six calls run when Ctrl-C is pressed, which all processes of a terminal hear."""
    script = """
        import os, sys, time
        def wait(folder, n):
            open(f"{folder}/begun-{n}", "w").close()
            while not os.path.exists(f"{folder}/open"):
                time.sleep(0.002)
        if __name__ == "__main__":
            with ProcessPoolExecutor(2) as pool:
                futures = [pool.submit(wait, sys.argv[1], n) for n in range(6)]
                futures[0].result()
    """

    def begun(folder):
        return {int(path.name.removeprefix("begun-")) for path in folder.glob("begun-*")}

    def interrupted(pool):
        folder = tmp_path / pool.split()[1]
        folder.mkdir()
        program = start_program(written(tmp_path, pool, script), folder)
        until(lambda: begun(folder) >= {0, 1}, "two calls to begin")
        os.killpg(program.pid, signal.SIGINT)
        return folder, program

    folder, program = interrupted(STDLIB)
    try:
        # The calls that were interrupted make room for the next ones, which the program waits for.
        until(lambda: begun(folder) >= {0, 1, 2, 3}, "the next calls to begin")
        assert is_alive(program.pid)
    finally:
        (folder / "open").touch()
        ended = finish(program)
    assert begun(folder) == set(range(6))
    assert ended.err.count("Traceback") > 1 or ended.code != 0

    folder, program = interrupted(PLAIT)
    ended = finish(program)
    assert ended.code == -signal.SIGINT and ended.err.count("Traceback") == 1
    assert begun(folder) == {0, 1}
