"""How programs with thread pools end: by themselves, by Ctrl-C, by signals, in forked children.

Nothing of plait's says anything on standard error, and nobody waits for what does not come.
"""

import signal

import pytest
from outside import finish, run_program, start_program, stat_of, until

# A pool whose only thread is busy until `done` is set, and calls behind it.
BUSY = """
import concurrent.futures as cf, sys, threading, time
import plait

begun, done = threading.Event(), threading.Event()
ran = []

def busy():
    begun.set()
    done.wait(60)

def say_busy():
    begun.wait()
    print("busy", flush=True)

pool = plait.ThreadPoolExecutor(1)
future = pool.submit(busy)
rest = [pool.submit(ran.append, n) for n in range(3)]
"""

WAITS = {
    "result": "future.result()",
    "result with a timeout": "future.result(60)",
    "exception": "future.exception()",
    "wait": "cf.wait([future])",
    "as_completed": "list(cf.as_completed([future]))",
    "map": "list(pool.map(ran.append, range(3)))",
    "plait.map": "list(plait.map(lambda _: busy(), [1], backend='threads', workers=1))",
    "shutdown": "pool.shutdown()",
    "the end of with": "pool.__exit__(None, None, None)",
    "a call with a timeout": "pool.options(timeout=60).submit(busy).result()",
}


def interrupt(program, times=1):
    """Sends Ctrl-C when the program has said that it is busy, and its main thread sleeps."""
    for _ in range(times):
        assert program.stdout.readline() == "busy\n"
        until(lambda: stat_of(program.pid)[1] == "S", "the sleep of the main thread")
        program.send_signal(signal.SIGINT)


@pytest.mark.parametrize("waits", WAITS)
def test_ctrl_c_while_the_main_thread_waits(waits):
    program = start_program(
        "-c",
        f"""{BUSY}
try:
    say_busy()
    {WAITS[waits]}
except KeyboardInterrupt:
    print("interrupted")
done.set()
pool.shutdown()
print(ran[:3])
""",
    )
    interrupt(program)
    assert finish(program).lines[:1] == ["interrupted"]


def test_ctrl_c_ends_the_program():
    program = start_program(
        "-c",
        f"""{BUSY}
with pool:
    try:
        say_busy()
        future.result()
    finally:
        done.set()
""",
    )
    interrupt(program)
    ended = finish(program)
    assert ended.code == -signal.SIGINT
    assert ended.err.count("Traceback") == 1 and ended.err.endswith("\nKeyboardInterrupt\n"), ended


def test_ctrl_c_cancels_what_has_not_begun():
    program = start_program(
        "-c",
        f"""{BUSY}
rest[0].add_done_callback(lambda _: done.set())
try:
    with pool:
        say_busy()
        future.result()
except KeyboardInterrupt:
    print([future.cancelled() for future in rest], ran, future.result())
""",
    )
    interrupt(program)
    assert finish(program).lines == ["[True, True, True] [] None"]


def test_ctrl_c_cancels_what_a_forgotten_pool_has_not_begun():
    program = start_program(
        "-c",
        f"""{BUSY}
rest[0].add_done_callback(lambda _: done.set())
rest[2].add_done_callback(lambda future: print(future, ran))
del pool
say_busy()
future.result()
""",
    )
    interrupt(program)
    ended = finish(program)
    assert ended.code == -signal.SIGINT
    assert "state=cancelled" in ended.out and ended.out.endswith(" []\n"), ended
    assert ended.err.count("Traceback") == 1 and ended.err.endswith("\nKeyboardInterrupt\n"), ended


def test_ctrl_c_twice():
    program = start_program(
        "-c",
        f"""{BUSY}
try:
    with pool:
        try:
            say_busy()
            future.result()
        finally:
            say_busy()
except KeyboardInterrupt as error:
    print(type(error.__context__).__name__, future.running())
    done.set()
""",
    )
    interrupt(program, 2)
    assert finish(program).lines == ["KeyboardInterrupt True"]


def test_ctrl_c_in_a_program_with_an_abandoned_call():
    program = start_program(
        "-c",
        f"""{BUSY}
late = plait.ThreadPoolExecutor(1, timeout=0.05)
abandoned = late.submit(done.wait, 60)
cf.wait([abandoned])
try:
    say_busy()
    future.result()
except KeyboardInterrupt:
    late.shutdown()
    print(type(abandoned.exception()).__name__)
    done.set()
""",
    )
    interrupt(program)
    assert finish(program).lines == ["TaskTimeout"]


LEAVES = {
    "returns": ("", 0, ""),
    "raises": ("raise ValueError('mine')", 1, "ValueError: mine\n"),
    "sys.exit": ("sys.exit(3)", 3, ""),
}


@pytest.mark.parametrize("leaves", LEAVES)
@pytest.mark.parametrize("inside", [True, False], ids=["in with", "outside"])
def test_main_leaves(leaves, inside):
    statement, code, says = LEAVES[leaves]
    ended = run_program(
        "-c",
        f"""{BUSY}
say_busy()
threading.Timer(0.1, done.set).start()
rest[-1].add_done_callback(lambda _: print(ran))
if {inside}:
    with pool:
        {statement or "pass"}
{statement}
""",
    )
    assert (ended.code, ended.out) == (code, "busy\n[0, 1, 2]\n"), ended
    assert ended.err.endswith(says) and ended.err.count("Traceback") == (1 if says else 0), ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_program(number):
    program = start_program("-c", f"{BUSY}\nsay_busy()\nfuture.result()")
    assert program.stdout.readline() == "busy\n"
    program.send_signal(number)
    ended = finish(program)
    assert (ended.code, ended.err) == (-number, "")


def test_os_exit_waits_for_nobody():
    ended = run_program("-c", f"{BUSY}\nimport os\nfuture.cancel()\nos._exit(7)")
    assert (ended.code, ended.err) == (7, "")


CHILD = """
say_busy()
import os
child = os.fork()
if child == 0:
    try:
        {use}
        print("nothing was raised")
    except RuntimeError as error:
        print(error)
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
done.set()
pool.shutdown()
print(ran)
"""

# From 3.12 on, Python itself warns of any fork in a program with threads.
FORKING = "-Wignore:This process:DeprecationWarning"

PARENTS = "this pool belongs to the parent process; make a new one after os.fork()"

USES = {
    "submit": ("pool.submit(len, ())", PARENTS),
    "map": ("pool.map(len, [()])", PARENTS),
    "result": ("future.result()", PARENTS),
    "cancel": ("print(rest[0].cancel())", "False"),
    "shutdown": ("pool.shutdown()", "nothing was raised"),
    "cancel_futures": ("pool.shutdown(cancel_futures=True)", "nothing was raised"),
    "del": ("del pool, future, rest", "nothing was raised"),
    "a new pool": ("print(plait.ThreadPoolExecutor(1).submit(len, ()).result())", "0"),
    "plait.map": ("print(list(plait.map(len, [()], backend='threads')))", "[0]"),
}


@pytest.mark.parametrize("use", USES)
def test_a_forked_child(use):
    statement, says = USES[use]
    lines = run_program(FORKING, "-c", BUSY + CHILD.format(use=statement)).lines
    assert [lines[0], lines[1], lines[-1]] == ["busy", says, "[0, 1, 2]"], lines


@pytest.mark.parametrize("ends", ["returns", "sys.exit()"])
def test_a_forked_child_ends_as_a_program(ends):
    script = """
say_busy()
import os
pool.options(timeout=60).submit(len, ())
child = os.fork()
if child == 0:
    with pool:
        print("child", flush=True)
    {ends}
else:
    os.waitpid(child, 0)
    done.set()
"""
    script = script.format(ends="pass" if ends == "returns" else ends)
    assert run_program(FORKING, "-c", BUSY + script).lines == ["busy", "child"]


def test_a_fork_in_a_call():
    script = """
import os
import plait

def fork():
    child = os.fork()
    return child or os._exit(5)

pool = plait.ThreadPoolExecutor(2, timeout=60)
children = list(pool.map(lambda _: fork(), range(10)))
print({os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children})
"""
    assert run_program(FORKING, "-c", script).lines == ["{5}"]


DAEMONS = {
    "a future of nobody": "there.release(); plait.Future().result()",
    "calls on a thread": "wait_for(threads)",
    "calls in a process": "wait_for(processes)",
    "a map on processes": "list(plait.map(abs, endless(), backend='processes', workers=1))",
    "a map on threads": "list(plait.map(abs, endless(), backend='threads', workers=1))",
    "a callback": "done = plait.Future(); done.set_result(1); done.add_done_callback(endless_work)",
}


@pytest.mark.parametrize("waits", DAEMONS)
def test_a_daemon_thread_in_plait_while_the_interpreter_ends(waits):
    script = f"""
import threading, time
import plait

threads, processes = plait.ThreadPoolExecutor(1), plait.ProcessPoolExecutor(1)
there = threading.Semaphore(0)

def endless_work(_=None):
    there.release()
    while True:
        sum(range(100))

def endless():
    yield 1
    endless_work()

def wait_for(pool):
    future = pool.submit(time.sleep, 0.2)
    there.release()
    future.result()
    plait.Future().result()

def daemon():
    {DAEMONS[waits]}

for _ in range(4):
    threading.Thread(target=daemon, daemon=True).start()
    there.acquire()
threads.submit(time.sleep, 0.1).result()
print("end")
"""
    for _ in range(2):
        programs = [start_program("-c", script) for _ in range(4)]
        assert [finish(program).lines for program in programs] == [["end"]] * 4
