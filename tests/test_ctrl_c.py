"""Ctrl-C, whatever the program is doing: one KeyboardInterrupt, where it belongs, and nothing left."""

import inspect
import os
import signal
import textwrap

import pytest
from endings import POOLS, Program, check_interrupted, reports

# The main thread notes when it hears, and lets the error go its way.
HEARD = """
try:
{body}
except KeyboardInterrupt:
    print("heard", time.monotonic())
    raise
"""


def hearing(body):
    return HEARD.format(body=textwrap.indent(textwrap.dedent(body).strip(), "    "))


# What the main thread of a program does while two calls run and many wait.
MOMENTS = {
    "result": "start(50)[0].result()",
    "exception": "start(50)[0].exception()",
    "wait": "import concurrent.futures as cf; cf.wait(start(50))",
    "as_completed": "import concurrent.futures as cf; list(cf.as_completed(start(50)))",
    "map": "list(executor.map(w.pass_gate, [folder] * 50, range(50)))",
    "sleep": "futures = start(50); time.sleep(600)",
    "one call only": "futures = start(2); time.sleep(600)",
    "shutdown": "futures = start(50); executor.shutdown(wait=True)",
    "shutdown after shutdown": "start(50); executor.shutdown(wait=False); executor.shutdown(wait=True)",
    "in with": """
        with executor:
            start(50)[0].result()
    """,
    "end of with": """
        with executor:
            start(50)
    """,
    "callback": """
        done = executor.submit(w.nothing)
        done.result()
        start(50)
        done.add_done_callback(lambda future: time.sleep(600))
    """,
    "callback elsewhere": """
        executor.submit(w.nothing).add_done_callback(lambda future: start(2)[0].result())
        time.sleep(600)
    """,
    "collected": """
        del executor
        futures = plait.ProcessPoolExecutor(2)
        futures = [futures.submit(w.pass_gate, folder, n) for n in range(50)]
        time.sleep(600)
    """,
}

MAP_MOMENTS = {
    "next": "list(start(50))",
    "between": "results = start(50); time.sleep(600)",
    "forgotten": "start(50); time.sleep(600)",
}

ASYNC_MOMENTS = {
    "await": """
        import asyncio
        async def main():
            await start(50)[0]
        asyncio.run(main())
    """,
    "gather": """
        import asyncio
        async def main():
            await asyncio.gather(*start(50))
        asyncio.run(main())
    """,
    "run_in_executor": """
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(executor, w.pass_gate, folder, n) for n in range(50)))
        asyncio.run(main())
    """,
    "async with": """
        import asyncio
        async def main():
            async with executor:
                await start(50)[0]
        asyncio.run(main())
    """,
    "end of async with": """
        import asyncio
        async def main():
            async with executor:
                start(50)
        asyncio.run(main())
    """,
    "with in a coroutine": """
        import asyncio
        async def main():
            with executor:
                await start(50)[0]
        asyncio.run(main())
    """,
}


def interrupt(program, to):
    program.running(0, 1)
    assert len(program.helpers()) == 3
    sent = program.signal(signal.SIGINT, to)
    return check_interrupted(program.finish(), sent)


@pytest.mark.parametrize("to", ["group", "parent"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c(tmp_path, moment, to):
    interrupt(Program(tmp_path, POOLS["ProcessPoolExecutor"] + hearing(MOMENTS[moment])), to)


@pytest.mark.parametrize("moment", ["result", "sleep", "map", "shutdown", "in with", "end of with"])
def test_ctrl_c_with_the_executor_of_a_chosen_backend(tmp_path, moment):
    interrupt(Program(tmp_path, POOLS["Executor"] + hearing(MOMENTS[moment])), "group")


@pytest.mark.parametrize("moment", MAP_MOMENTS)
def test_ctrl_c_in_a_map(tmp_path, moment):
    interrupt(Program(tmp_path, POOLS["map"] + hearing(MAP_MOMENTS[moment])), "group")


def test_ctrl_c_in_a_map_stops_its_calls_also_if_it_is_caught(tmp_path):
    script = """
try:
    list(start(50))
except KeyboardInterrupt:
    print("caught")
assert list(plait.map(w.add_one, range(3), backend="processes", workers=2)) == [1, 2, 3]
sys.exit(3)
"""
    program = Program(tmp_path, POOLS["map"] + script)
    program.running(0, 1)
    program.signal(signal.SIGINT)
    ended = program.finish()
    assert (ended.code, ended.out, ended.err) == (3, "caught\n", ""), ended


@pytest.mark.parametrize("moment", ASYNC_MOMENTS)
def test_ctrl_c_in_asyncio(tmp_path, moment):
    pool = "Executor" if moment == "async with" else "ProcessPoolExecutor"
    interrupt(Program(tmp_path, POOLS[pool] + hearing(ASYNC_MOMENTS[moment])), "group")


@pytest.mark.parametrize("pool", POOLS)
def test_ctrl_c_with_idle_workers(tmp_path, pool):
    # Naps: a signal that comes between Python's last look and one long sleep would be heard after the sleep.
    script = """
    futures = list(start(4))
    open(folder + "/entered-idle", "w").close()
    while True:
        time.sleep(0.05)
    """
    program = Program(tmp_path, POOLS[pool] + hearing(script))
    program.open_gate()
    program.running("idle")
    sent = program.signal(signal.SIGINT)
    check_interrupted(program.finish(), sent)


@pytest.mark.parametrize(
    "body", ["pool.submit(w.add_one, 1).result()", "with pool: pool.submit(w.add_one, 1)"]
)
def test_ctrl_c_while_a_worker_starts(tmp_path, body):
    script = f"""
import plait, workloads as w
pool = plait.ProcessPoolExecutor(2, initializer=w.pass_gate, initargs=(folder, "start"))
{hearing(body)}
"""
    program = Program(tmp_path, script)
    program.running("start")
    sent = program.signal(signal.SIGINT)
    check_interrupted(program.finish(), sent)


SLOW_MODULE = """
import os, time
open(os.environ["GATE"] + "/entered-import", "w").close()
time.sleep(600)
"""


@pytest.mark.parametrize(
    "body", ["pool.submit(w.add_one, 1).result()", "with pool: pool.submit(w.add_one, 1)"]
)
@pytest.mark.parametrize("to", ["group", "parent"])
def test_ctrl_c_while_the_nursery_starts(tmp_path, body, to):
    (tmp_path / "slow_to_import.py").write_text(SLOW_MODULE)
    script = f"""
sys.path.append({str(tmp_path)!r})
import plait, workloads as w
pool = plait.ProcessPoolExecutor(2, preload=["slow_to_import"])
{hearing(body)}
"""
    program = Program(tmp_path, script, env={"GATE": str(tmp_path / "gate")})
    program.running("import")
    sent = program.signal(signal.SIGINT, to)
    check_interrupted(program.finish(), sent)


# --- twice


@pytest.mark.parametrize("body", ["start(50)[0].result()", MOMENTS["in with"]], ids=["result", "with"])
def test_ctrl_c_twice(tmp_path, body):
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + hearing(body))
    program.running(0, 1)
    program.signal(signal.SIGINT)
    program.line()
    program.signal(signal.SIGINT)
    ended = program.finish()
    assert ended.code == -signal.SIGINT, ended
    # The second may come while Python prints the first, and be reported by itself.
    assert "KeyboardInterrupt" in ended.err and "plait:" not in ended.err, ended


@pytest.mark.parametrize("pool", POOLS)
def test_ctrl_c_while_the_exit_waits(tmp_path, pool):
    script = """
import atexit
atexit.register(lambda: print("the exit went on"))
futures = start(50)
# The hooks of threading run in the opposite order: this one before plait's.
import threading
threading._register_atexit(lambda: print("the main script has ended"))
"""
    program = Program(tmp_path, POOLS[pool] + script)
    program.running(0, 1)
    program.wait_for("the main script has ended")
    program.signal(signal.SIGINT)
    ended = program.finish()
    # Python reports it as ignored, and goes on with the exit.
    assert (ended.code, ended.out, reports(ended.err)) == (
        0,
        "the main script has ended\nthe exit went on\n",
        1,
    ), ended
    assert ended.err.startswith("Exception ignored") and ended.err.rstrip(": \n").endswith(
        "KeyboardInterrupt"
    )


# --- a program that does not end by it

CAUGHT = """
futures = start(6)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("caught")
print([future.result() for future in futures], executor.submit(w.add_one, 41).result())
"""


def test_ctrl_c_caught_by_the_program_disturbs_no_worker(tmp_path):
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + CAUGHT)
    program.running(0, 1)
    workers = set(program.helpers())
    program.signal(signal.SIGINT)
    program.wait_for("caught")
    assert set(program.helpers()) == workers
    program.open_gate()
    assert program.finish().lines == ["caught", "[0, 1, 2, 3, 4, 5] 42"]


def test_ctrl_c_caught_leaves_a_kept_pool_usable(tmp_path):
    script = """
results = start(6)
try:
    next(results)
except KeyboardInterrupt:
    print("caught")
open(folder + "/open", "w").close()
print(list(plait.map(w.add_one, range(3), backend="processes", workers=2)))
"""
    program = Program(tmp_path, POOLS["map"] + script)
    program.running(0, 1)
    program.signal(signal.SIGINT)
    assert program.finish().lines == ["caught", "[1, 2, 3]"]


def test_a_handler_of_ones_own_is_called_in_the_middle_of_result(tmp_path):
    script = """
import signal
signal.signal(signal.SIGINT, lambda *_: print("asked to stop"))
futures = start(6)
print([future.result() for future in futures])
"""
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script)
    program.running(0, 1)
    for _ in range(2):
        program.signal(signal.SIGINT)
        program.wait_for("asked to stop")
    program.open_gate()
    assert program.finish().lines == ["asked to stop"] * 2 + ["[0, 1, 2, 3, 4, 5]"]


def test_an_ignored_ctrl_c_is_ignored_by_all(tmp_path):
    # As a shell starts what is to run in the background.
    def work():
        import signal
        import subprocess

        shown = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
        [ignored] = [line.split()[1] for line in shown.splitlines() if line.startswith("SigIgn")]
        return signal.getsignal(signal.SIGINT) is signal.SIG_IGN, bool(
            int(ignored, 16) & 1 << signal.SIGINT - 1
        )

    script = f"""
{textwrap.dedent(inspect.getsource(work))}
print(executor.submit(work).result())
futures = start(6)
print([future.result() for future in futures])
"""
    program = Program(
        tmp_path,
        POOLS["ProcessPoolExecutor"] + script,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    program.running(0, 1)
    program.signal(signal.SIGINT)
    program.open_gate()
    assert program.finish().lines == ["(True, True)", "[0, 1, 2, 3, 4, 5]"]


def test_a_program_in_a_group_of_its_own_hears_no_ctrl_c_of_the_terminal(tmp_path):
    # As a shell with job control starts a job in the background: all of plait's processes are in that group.
    script = """
shell = os.getpgrp()
os.setpgid(0, 0)
futures = start(6)
print([future.result() for future in futures])
"""
    program = Program(tmp_path, HEAD_FORKED + POOLS["ProcessPoolExecutor"] + script)
    program.running(0, 1)
    assert len(program.helpers()) == 4
    assert {os.getpgid(pid) for pid in program.helpers()} == {program.helpers()[0]}
    program.signal(signal.SIGINT)
    program.wait_for("the shell was interrupted")
    program.open_gate()
    assert program.finish().lines == ["the shell was interrupted", "[0, 1, 2, 3, 4, 5]"]


# The parent stands for the shell, its child is the program.
HEAD_FORKED = """
if child := os.fork():
    try:
        os.wait()
    except KeyboardInterrupt:
        print("the shell was interrupted")
    os.wait()
    raise SystemExit
"""


def test_programs_that_a_call_has_started_hear_ctrl_c(tmp_path):
    # The worker itself goes on until it is told; what it runs would be nobody's once the worker is killed.
    script = """
import subprocess
code = "import sys, time; open(sys.argv[1] + '/entered-inner', 'w').close(); time.sleep(600)"
executor.submit(subprocess.run, [sys.executable, "-c", code, folder], stderr=subprocess.DEVNULL).result()
"""
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + hearing(script))
    program.running("inner")
    sent = program.signal(signal.SIGINT)
    check_interrupted(program.finish(), sent)
