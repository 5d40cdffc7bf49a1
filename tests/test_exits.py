"""How programs end, by themselves or by a signal. What is never left: a process, a file, a word on stderr."""

import signal

import pytest
from endings import POOLS, Program, reports

# --- by themselves

ENDS = {
    "returns": ("", 0, ""),
    "raises": ("raise ZeroDivisionError('at last')", 1, "ZeroDivisionError: at last"),
    "sys.exit": ("sys.exit(3)", 3, ""),
    "sys.exit with a text": ("sys.exit('gave up')", 1, "gave up"),
}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("end", ENDS)
def test_the_exit_finishes_what_was_submitted(tmp_path, end, pool):
    statement, code, last = ENDS[end]
    program = Program(tmp_path, f"{POOLS[pool]}\nstarted = start(6)\nprint('main ends')\n{statement}\n")
    program.wait_for("main ends")
    program.running(0, 1)
    assert program.is_running()
    program.open_gate()
    ended = program.finish()
    assert (ended.code, ended.out) == (code, "main ends\n"), ended
    # The one report is Python's own, of what the main script raised.
    assert reports(ended.err) == (end == "raises"), ended
    said = [line for line in ended.err.splitlines() if not line.startswith(" ")]
    assert said == ["Traceback (most recent call last):"] * (end == "raises") + [last] * bool(last), ended
    # A map reads only a little ahead: what nobody asks for any more is not begun.
    assert program.begun() == ["0", "1", "2", "3", "4", "5"][: 6 if pool != "map" else len(program.begun())]
    assert len(program.begun()) >= 2


STATES = {
    "unused": "",
    "idle": "[future.result() for future in [executor.submit(w.add_one, n) for n in range(4)]]",
    "running": "started = start(2); seen(0, 1)",
    "pending": "started = start(50); seen(0, 1)",
    "shut down": "started = start(50); executor.shutdown(wait=False); seen(0, 1)",
    "collected": "started = start(50); del executor, start; seen(0, 1)",
    "worker starting": """
executor = plait.ProcessPoolExecutor(2, initializer=w.pass_gate, initargs=(folder, "start"))
executor.submit(w.add_one, 1)
seen("start")
""",
    "nursery starting": """
sys.path.append(folder + "/..")
executor = plait.ProcessPoolExecutor(2, preload=["slow_to_import"])
executor.submit(w.add_one, 1)
seen("import")
""",
}

SEEN = """
def seen(*names):
    while not all(os.path.exists(f"{folder}/entered-{name}") for name in names):
        time.sleep(0.005)
"""

SLOW_MODULE = """
import os, time
open(os.environ["GATE"] + "/entered-import", "w").close()
time.sleep(600)
"""


def in_state(tmp_path, state, end, pool="ProcessPoolExecutor"):
    """A program that comes into a state, says so, and goes on to `end`."""
    (tmp_path / "slow_to_import.py").write_text(SLOW_MODULE)
    script = f"{POOLS[pool]}{SEEN}\n{STATES[state]}\nprint('ready')\n{end}\n"
    return Program(tmp_path, script, env={"GATE": str(tmp_path / "gate")})


@pytest.mark.parametrize("state", STATES)
def test_os_exit_leaves_nothing(tmp_path, state):
    ended = in_state(tmp_path, state, "os._exit(4)").finish()
    assert (ended.code, ended.err) == (4, ""), ended


# --- by a signal


@pytest.mark.parametrize("to", ["group", "parent"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL"])
def test_a_signal_ends_all(tmp_path, name, to):
    program = in_state(tmp_path, "pending", "time.sleep(600)")
    program.wait_for("ready")
    program.signal(signal.Signals[name], to)
    ended = program.finish()
    assert (ended.code, ended.err) == (-signal.Signals[name], ""), ended


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("state", STATES)
def test_a_signal_ends_all_in_any_state(tmp_path, state, name):
    program = in_state(tmp_path, state, "time.sleep(600)")
    program.wait_for("ready")
    program.signal(signal.Signals[name], "parent")
    ended = program.finish()
    assert (ended.code, ended.err) == (-signal.Signals[name], ""), ended


@pytest.mark.parametrize("waiting", ["started[0].result()", "executor.shutdown()", "pass"])
def test_a_signal_ends_all_while_the_program_waits(tmp_path, waiting):
    program = in_state(tmp_path, "pending", waiting)
    program.wait_for("ready")
    program.signal(signal.SIGTERM, "parent")
    ended = program.finish()
    assert (ended.code, ended.err) == (-signal.SIGTERM, ""), ended


def test_a_signal_ends_all_while_a_map_is_read(tmp_path):
    program = Program(tmp_path, POOLS["map"] + "list(start(50))")
    program.running(0, 1)
    program.signal(signal.SIGTERM, "parent")
    ended = program.finish()
    assert (ended.code, ended.err) == (-signal.SIGTERM, ""), ended


def test_a_signal_handler_may_end_the_program_in_good_order(tmp_path):
    # As servers do: SIGTERM becomes SystemExit, what was submitted is finished.
    script = """
import signal
def leave(*_):
    print("leaving")
    sys.exit(7)
signal.signal(signal.SIGTERM, leave)
with executor:
    futures = start(6)
    futures[0].result()
"""
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script)
    program.running(0, 1)
    program.signal(signal.SIGTERM, "parent")
    program.wait_for("leaving")
    assert program.is_running()
    program.open_gate()
    ended = program.finish()
    assert (ended.code, ended.err) == (7, ""), ended
    assert len(program.begun()) == 6


# --- threads and callbacks at the end


def test_the_exit_waits_for_callbacks(tmp_path):
    script = """
def note(future):
    w.pass_gate(folder, f"callback-{future.result()}")
    print("told", future.result())
for n in range(3):
    executor.submit(w.identity, n).add_done_callback(note)
"""
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script)
    # They run one after the other.
    program.until(program.begun, "the first callback")
    assert len(program.begun()) == 1 and program.is_running()
    program.open_gate()
    assert sorted(program.finish().lines) == ["told 0", "told 1", "told 2"]


DAEMON = """
import threading
def wait():
    try:
        futures[0].result()
    except Exception:
        while True:
            sum(range(100))
futures = start(2)
for _ in range(4):
    threading.Thread(target=wait, daemon=True).start()
seen(0, 1)
print("ready")
"""


@pytest.mark.parametrize("end", ["interrupted", "finished"])
def test_daemon_threads_that_wait_do_not_disturb_the_exit(tmp_path, end):
    script = POOLS["ProcessPoolExecutor"] + SEEN + DAEMON
    program = Program(tmp_path, script + ("time.sleep(600)" if end == "interrupted" else ""))
    program.wait_for("ready")
    if end == "interrupted":
        program.signal(signal.SIGINT)
    else:
        program.open_gate()
    ended = program.finish()
    assert ended.code == (-signal.SIGINT if end == "interrupted" else 0), ended
    assert reports(ended.err) == (end == "interrupted"), ended


def test_a_callback_that_never_ends_does_not_hold_up_ctrl_c(tmp_path):
    script = """
import atexit
def never(future):
    open(folder + "/entered-callback", "w").close()
    while True:
        sum(range(1000))
atexit.register(print, "atexit")
executor.submit(w.nothing).add_done_callback(never)
time.sleep(600)
"""
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script)
    program.running("callback")
    program.signal(signal.SIGINT)
    ended = program.finish()
    assert (ended.code, ended.out, reports(ended.err)) == (-signal.SIGINT, "atexit\n", 1), ended


def test_a_thread_that_goes_on_after_main_is_refused_as_in_the_stdlib(tmp_path):
    script = """
import concurrent.futures as cf, threading
def go_on(executor):
    threading.main_thread().join()
    while True:
        try:
            executor.submit(int).result()
        except RuntimeError as error:
            return sys.stdout.write(f"{error}\\n")
if __name__ == "__main__":
    for executor in executor, cf.ProcessPoolExecutor(2):
        executor.submit(int).result()
        threading.Thread(target=go_on, args=(executor,)).start()
"""
    lines = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script).finish().lines
    assert lines == ["cannot schedule new futures after shutdown"] * 2


def test_an_atexit_function_is_refused_as_in_the_stdlib(tmp_path):
    script = """
import atexit, concurrent.futures as cf
def use():
    for make, executor in (plait.ProcessPoolExecutor, executor_), (cf.ProcessPoolExecutor, stdlib):
        for use in lambda: executor.submit(int), lambda: make(1).submit(int):
            try:
                use()
            except RuntimeError as error:
                print(error)
executor_, stdlib = executor, cf.ProcessPoolExecutor(1)
executor.submit(int).result(), stdlib.submit(int).result()
atexit.register(use)
print([future.result() for future in start(0)])
"""
    lines = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script).finish().lines
    existing, new = "cannot schedule new futures after shutdown", "after interpreter shutdown"
    assert lines[:2] == ["[]", existing] and lines[3] == existing
    assert lines[2].endswith(new) and lines[4].endswith(new)


def test_a_pool_of_an_imported_module_ends_with_the_program(tmp_path):
    (tmp_path / "with_pool.py").write_text(
        "import plait\npool = plait.ProcessPoolExecutor(2)\ndef submit(*args): return pool.submit(*args)\n"
    )
    script = f"""
sys.path.append({str(tmp_path)!r})
import with_pool, workloads as w
futures = [with_pool.submit(w.pass_gate, folder, n) for n in range(4)]
"""
    program = Program(tmp_path, script)
    program.running(0, 1)
    program.open_gate()
    assert program.finish().lines == []
    assert len(program.begun()) == 4


def test_an_exit_in_development_mode_warns_of_nothing(tmp_path):
    script = """
with plait.Executor("processes", 2) as other:
    kept = plait.map(w.add_one, range(3), backend="processes", workers=2)
    print(list(other.map(w.add_one, range(3))), list(kept))
future = executor.submit(w.add_one, 41)
future.add_done_callback(lambda future: print(future.result()))
executor.submit(w.fail)
"""
    program = Program(tmp_path, POOLS["ProcessPoolExecutor"] + script, flags=["-X", "dev", "-W", "error"])
    assert program.finish().lines == ["[1, 2, 3] [1, 2, 3]", "42"]
