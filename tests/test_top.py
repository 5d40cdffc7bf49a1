"""`plait top` as a user runs it: real programs, looked at from outside, in a terminal and in pipes."""

import contextlib
import json
import os
import re
import signal
import subprocess

import pytest
from outside import PATIENCE, finish, is_alive, run_program, until
from recorded import IDLE, IS_ROOT, refusal
from terminal import INTERRUPT, SIGNALS, Terminal

# Ends with its standard input, as all programs here.
END = """
print("ready", os.getpid(), flush=True)
sys.stdin.read()
os._exit(0)
"""

HEAD = """
import os, sys, threading, time
import plait

def rest(seconds):
    time.sleep(seconds)

def quick(number):
    return number

def fail():
    raise ValueError
"""

# Two of three workers are busy, one call waits, two have ended well and one badly.
POOLS = f"""{HEAD}
pool = plait.ProcessPoolExecutor(2)
[future.result() for future in [pool.submit(quick, 1), pool.submit(quick, 2)]]
pool.submit(fail).exception()
waiting = [pool.submit(rest, 600) for _ in range(3)]
fetchers = plait.ThreadPoolExecutor(4, "fetchers")
also = fetchers.submit(rest, 600)
while pool.stats().running < 2 or fetchers.stats().running < 1:
    time.sleep(0.001)
{END}"""


@pytest.fixture
def top(out):
    """Runs `plait top` in a terminal that is closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def run(*arguments, **options):
            return stack.enter_context(Terminal(["top", *arguments], out, **options))

        yield run


def looked(ended):
    """What `--json` has printed."""
    assert (ended.code, ended.err) == (0, ""), ended
    [line] = ended.out.splitlines()
    return json.loads(line)


def by_name(told):
    return {pool["name"]: pool for pool in told["pools"]}


# --- in pipes


def test_pools_workers_and_where_they_are(program, cli):
    target = program(POOLS)
    told = looked(cli("top", "--json", "--interval", "0.2", target.pid))
    assert told["pid"] == target.pid and "program.py" in told["command"]
    pools = by_name(told)
    assert sorted(pools) == ["fetchers", "processes 1"]
    processes = pools["processes 1"]
    counted = {
        name: processes[name] for name in ("submitted", "done", "failed", "running", "queued", "started")
    }
    assert counted == {"submitted": 6, "done": 2, "failed": 1, "running": 2, "queued": 1, "started": 2}
    assert (processes["kind"], processes["most"], processes["rate"]) == ("processes", 2, 0.0)
    for worker in processes["workers"]:
        assert (worker["state"], worker["task"]) == ("busy", "rest") and is_alive(worker["pid"])
        assert re.fullmatch(r"rest \(program\.py:\d+\)", worker["line"])
        assert worker["memory"] > 1_000_000 and worker["cpu"] >= 0 and worker["seconds"] >= 0
    [thread] = pools["fetchers"]["workers"]
    assert (thread["pid"], thread["memory"], thread["task"]) == (target.pid, None, "rest")
    assert thread["tid"] != target.pid and thread["line"].startswith("rest (program.py:")
    assert (pools["fetchers"]["kind"], pools["fetchers"]["most"]) == ("threads", 4)


def test_a_table_where_there_is_no_terminal(program, cli):
    target = program(POOLS)
    done = cli("top", "--interval", "0.1", target.pid)
    assert (done.code, done.err) == (0, ""), done
    lines = done.out.splitlines()
    assert lines[0].startswith(f"PID {target.pid}  ")
    assert lines[1].startswith("2 pools  3 running  1 queued  2 done  1 failed")
    assert any(re.fullmatch(r"processes 1  2 processes  2 running  1 queued .*", line) for line in lines)
    assert sum("rest (program.py:" in line and " busy " in line for line in lines) == 3
    assert done.out == done.out.replace("\x1b", "")


def test_the_program_need_not_take_its_results(program, cli):
    """Who submits and waits for nothing has finished tasks all the same."""
    target = program(f"""{HEAD}
pool = plait.ProcessPoolExecutor(1)
futures = [pool.submit(quick, number) for number in range(20)]
{END}""")

    def told():
        [pool] = looked(cli("top", "--json", "--interval", "0.05", target.pid))["pools"]
        return pool["done"], pool["queued"], pool["running"]

    until(lambda: told() == (20, 0, 0), told)


def test_pools_of_workers_are_shown_with_the_program(program, cli):
    target = program(f"""{HEAD}
def outer():
    with plait.ThreadPoolExecutor(1, "inner") as pool:
        pool.submit(rest, 600).result()

pool = plait.ProcessPoolExecutor(1)
future = pool.submit(outer)
{END}""")

    def inner():
        told = looked(cli("top", "--json", "--interval", "0.05", target.pid))
        pools = by_name(told)
        return pools if "inner" in pools and pools["inner"]["running"] else None

    pools = until(inner, "the inner pool")
    [worker] = pools["processes 1"]["workers"]
    assert pools["inner"]["pid"] == worker["pid"] and worker["task"] == "outer"


def test_coroutines_are_counted(program, cli):
    target = program(f"""{HEAD}
import asyncio
pool = plait.Executor("asyncio", 3)
futures = [pool.submit(asyncio.sleep, 600) for _ in range(5)]
{END}""")
    [pool] = looked(cli("top", "--json", "--interval", "0.05", target.pid))["pools"]
    assert (pool["kind"], pool["running"], pool["queued"], pool["workers"]) == ("asyncio", 3, 2, [])


def test_pools_that_are_closed_are_not_shown(program, cli):
    target = program(f"""{HEAD}
with plait.ProcessPoolExecutor(1) as first, plait.ThreadPoolExecutor(1) as second:
    first.submit(quick, 1).result(), second.submit(quick, 1).result()
third = plait.ThreadPoolExecutor(1, "third")
third.submit(quick, 1).result()
{END}""")
    told = looked(cli("top", "--json", "--interval", "0.05", target.pid))
    assert [pool["name"] for pool in told["pools"]] == ["third"]


def test_many_pools(program, cli):
    target = program(f"""{HEAD}
pools = [plait.ThreadPoolExecutor(1, f"pool {{number}}") for number in range(300)]
{END}""")
    told = looked(cli("top", "--json", "--interval", "0.05", target.pid))
    assert (len(told["pools"]), told["untold"]) == (256, 44)


def test_a_forked_child_has_no_pools_of_its_parents(program, cli):
    target = program(f"""{HEAD}
import warnings
warnings.simplefilter("ignore")
pool = plait.ThreadPoolExecutor(1, "parents")
future = pool.submit(rest, 600)
if (child := os.fork()) == 0:
    own = plait.ThreadPoolExecutor(1, "childs")
    time.sleep(600)
{END}""")

    def pools():
        return by_name(looked(cli("top", "--json", "--interval", "0.05", target.pid)))

    found = until(lambda: len(found := pools()) == 2 and found, "the child's pool")
    assert found["parents"]["pid"] == target.pid != found["childs"]["pid"]


# --- which program


def test_the_only_program_is_found(program, cli):
    """Others may run pools on this machine; then it is among those that are listed."""
    target = program(POOLS)
    done = cli("top", "--once", "--interval", "0.05")
    if done.code == 0:
        assert done.out.startswith(f"PID {target.pid}  "), done
    else:
        assert done.code == 2 and "programs have plait's pools; give the PID of one:" in done.err, done
        assert re.search(rf"^plait:   {target.pid}  2 pools  .*program\.py", done.err, re.MULTILINE), done


def test_several_programs_are_listed(program, cli):
    pids = [program(POOLS, name=f"program{number}.py").pid for number in range(2)]
    done = cli("top")
    assert (done.code, done.out) == (2, ""), done
    assert all(f"plait:   {pid}  2 pools" in done.err for pid in pids), done


@pytest.mark.parametrize("form", ["--once", "--json"])
def test_no_pools(program, cli, form):
    target = program(f"""{HEAD}
with plait.ThreadPoolExecutor(1) as pool:
    pool.submit(quick, 1).result()
{END}""")
    said = refusal(cli("top", form, "--interval", "0.05", target.pid), 1)
    assert said == f"plait: process {target.pid} has no pools of plait now: those that it had are gone"


def test_a_program_without_plait(program, cli):
    target = program(IDLE)
    said = refusal(cli("top", "--interval", "0.05", target.pid), 1)
    assert f"process {target.pid} has no pools of plait now: it has made none, or by another version" in said


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([2**22 + 1], "there is no process"),
        (["x"], "is no PID"),
        (["--once", "--json", "1"], "not allowed with"),
        (["--interval", "0", "1"], "must be a number of seconds above 0"),
        (["1", "2"], "unrecognized arguments: 2"),
    ],
)
def test_wrong_usage(cli, arguments, said):
    assert said in refusal(cli("top", *arguments))


@pytest.mark.once
def test_what_is_no_python(cli):
    with subprocess.Popen(["sleep", "600"]) as other:
        try:
            assert "is not CPython" in refusal(cli("top", other.pid))
        finally:
            other.kill()


# Everything is loaded first: the other user may not read this one's files.
AS_ANOTHER = """
import contextlib, io, os, sys
from plait import _core
from plait._recording import top_command
from plait._recording.commands import main

with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main(["top", "--help"])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.exit(main(["top", *sys.argv[1:]]))
"""


@pytest.mark.skipif(not IS_ROOT, reason="takes root, to be somebody else")
@pytest.mark.once
@pytest.mark.usefixtures("uncounted")
def test_a_program_of_another_user(program):
    target = program(POOLS)
    said = refusal(run_program("-c", AS_ANOTHER, target.pid))
    assert f"process {target.pid} may not be looked into: run as its owner" in said and "root" in said
    # Nor is it listed.
    done = run_program("-c", AS_ANOTHER)
    assert str(target.pid) not in done.out + done.err, done


# --- in a terminal


def test_a_table_in_a_small_terminal(program, top):
    target = program(POOLS)
    view = top("--interval", "0.1", target.pid)
    view.shows(
        f"plait top  PID {target.pid}", "2 pools  3 running  1 queued", "fetchers  4 threads", " busy "
    )
    view.shows("rest", "/s", "WORKER STATE")
    assert view.in_view and max(map(len, view.text.splitlines())) <= 80
    view.press("s")
    view.shows("s sort: time")
    view.press("p")
    view.shows("PAUSED")
    view.press("q")
    assert view.ends() == 0
    assert view.is_as_before() and is_alive(target.pid)


def test_it_follows_what_the_program_does(program, top):
    target = program(f"""{HEAD}
print("ready", os.getpid(), flush=True)
for line in sys.stdin:
    exec(line)
""")
    view = top("--interval", "0.05", target.pid)
    view.shows("no pools now")

    def do(line):
        target.stdin.write(line + "\n")
        target.stdin.flush()

    do("pool = plait.ProcessPoolExecutor(1); pool.submit(quick, 1).result(); later = pool.submit(rest, 600)")
    view.shows("1 pool  1 running  0 queued  1 done", "rest (program.py:")
    do("later.cancel(); pool.shutdown(); del pool, later")
    view.shows("no pools now")
    view.press("q")
    assert view.ends() == 0


def test_it_follows_the_size_of_the_terminal(program, top):
    view = top("--interval", "0.1", program(POOLS).pid)
    view.shows("2 pools")
    for columns, lines in [(132, 50), (40, 10), (5, 2), (80, 24)]:
        view.resize(columns, lines)
        written = len(view.written)
        until(lambda: view.read() or len(view.written) > written, "a new picture")
        assert view.process.poll() is None, view.text
    view.shows("2 pools", "q quit")
    view.press("q")
    assert view.ends() == 0


def test_ctrl_c_ends_it(program, top):
    target = program(POOLS)
    # A long time between two looks keeps nobody waiting.
    view = top("--interval", "600", target.pid)
    view.shows("2 pools")
    view.press(INTERRUPT)
    assert view.ends() == 0
    assert view.is_as_before() and is_alive(target.pid)


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_leave_the_terminal_as_it_was(number, program, top):
    target = program(POOLS)
    view = top(target.pid)
    view.shows("2 pools")
    view.signal(number)
    view.ends()
    assert view.is_as_before() and is_alive(target.pid)


def test_it_ends_with_the_program(program, top):
    target = program(POOLS)
    view = top("--interval", "0.1", target.pid)
    view.shows("2 pools")
    os.kill(target.pid, signal.SIGKILL)
    assert view.ends() == 0
    assert view.is_as_before() and f"process {target.pid} has ended" in view.printed


def test_it_ends_when_the_terminal_goes_away(program, top):
    target = program(POOLS)
    view = top("--interval", "0.1", target.pid)
    view.shows("2 pools")
    view.hang_up()
    view.process.wait(PATIENCE)
    assert is_alive(target.pid)


def test_ctrl_c_ends_the_waiting_for_a_table(program, cli_started):
    target = program(POOLS)
    looker = cli_started("top", "--once", "--interval", "600", target.pid)
    # It waits once its handler is there.
    until(lambda: catches(looker.pid, signal.SIGINT), "the command to look")
    os.kill(looker.pid, signal.SIGINT)
    done = finish(looker)
    assert (done.code, done.err) == (0, "") and done.out.startswith(f"PID {target.pid}"), done


def catches(pid, number):
    """Whether a process has the handler of `Signals`: for the signals that end programs, too."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("SigCgt:"):
                caught = int(line.split()[1], 16)
                return all(caught >> (it - 1) & 1 for it in (number, signal.SIGTERM, signal.SIGHUP))
    return False
