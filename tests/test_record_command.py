"""`plait record` as a user runs it: on programs that run, on commands, with all that may go wrong."""

import json
import os
import sys
from pathlib import Path

import pytest
from outside import run_program, until
from platforms import needs_gil
from recorded import (
    CONTENTION,
    HEAD,
    HOG,
    IDLE,
    IS_ROOT,
    findings,
    only_file,
    refusal,
    words_of,
)

# --- what is seen


@needs_gil
def test_a_function_that_keeps_the_gil_is_named(program, cli, out):
    hog = program(HOG)
    done = cli("record", "--duration", "4", "-o", "hog.plait", hog.pid)
    assert (done.code, done.err) == (0, ""), done
    assert "GIL hog" in done.out and "burn" in done.out, done
    assert "next:  plait report hog.plait -o " in done.out
    [worst, *_] = findings(out / "hog.plait")["hogs"]
    assert worst["spot"]["place"]["function"] == "burn"
    # A Python without symbols names its functions as Python code knows them, if at all.
    assert worst["function"] is None or worst["function"].startswith(("re.Pattern.match", "_sre", "sre"))


@needs_gil
def test_threads_that_take_turns_are_told(program, cli, out):
    done = cli("record", "--duration", "4", "-o", "turns.plait", program(CONTENTION).pid)
    assert done.code == 0 and "GIL contention" in done.out, done
    assert "gil-contention" in words_of(out / "turns.plait")


HASHING = f"""{HEAD}
import hashlib
data = bytes(1_000_000)
def hash_on():
    while True:
        hashlib.sha256(data).digest()
in_threads(*[hash_on for _ in os.sched_getaffinity(0)])
"""


@needs_gil
def test_threads_on_all_processors_run_and_wait_for_none(program, cli, out):
    # The observer takes a processor from one of them to look at them.
    done = cli("record", "--duration", "3", "-o", "all.plait", "--quiet", program(HASHING).pid)
    assert (done.code, done.err) == (0, ""), done
    [process] = findings(out / "all.plait")["figures"]["processes"]
    hashing = [thread for thread in process["threads"] if thread["name"] != "main thread"]
    assert len(hashing) == len(os.sched_getaffinity(0))
    for thread in hashing:
        seen = sum(seconds for state, seconds in thread["times"].items() if state != "unknown")
        ran = sum(thread["times"].get(state, 0) for state in ("native", "holds-python", "holds-native"))
        # Others may have the processors; then it did not run, and the kernel counted so, too.
        assert ran / seen > thread["cpu"] - 0.2, thread


@pytest.mark.once
def test_processes_under_it_are_seen(program, cli, out):
    parent = program(
        f"{HEAD}\nimport subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'print(1, flush=True)\\nwhile True: pass'],"
        " stdout=subprocess.PIPE)\nchild.stdout.readline()\nin_threads()"
    )
    done = cli("record", "--duration", "2", "-o", "tree.plait", "--quiet", parent.pid)
    assert (done.code, done.out, done.err) == (0, "", ""), done
    names = [process["pid"] for process in findings(out / "tree.plait")["figures"]["processes"]]
    assert len(names) == 2 and parent.pid in names
    alone = cli("record", "--duration", "1", "-o", "alone.plait", "--quiet", "--no-children", parent.pid)
    assert alone.code == 0
    [process] = findings(out / "alone.plait")["figures"]["processes"]
    assert process["pid"] == parent.pid


# --- commands


def test_a_command_reads_writes_and_ends_as_it_would_alone(cli, out):
    text = "import sys; print(sys.stdin.read().upper()); print('bad', file=sys.stderr); sys.exit(3)"
    done = cli("record", "--", sys.executable, "-c", text, stdin="some words")
    assert done.code == 3
    assert done.out.startswith("SOME WORDS\n"), done
    # Of a program that ends as soon as it has begun, nothing may have been seen, which is said after it.
    assert done.err.splitlines()[0] == "bad"
    trace = only_file(out)
    assert trace.name.startswith("plait-record-") and trace.suffix == ".plait"
    assert f"trace: {trace.name}" in done.out


def test_the_exit_code_of_a_signal_is_a_shells(cli):
    assert cli("record", "--quiet", "--", "sh", "-c", "kill -9 $$").code == 128 + 9
    assert cli("record", "--quiet", "--", "sh", "-c", "exit 0").code == 0


def test_a_command_that_is_not_python_is_told(cli):
    done = cli("record", "-o", "sleep.plait", "--", "sleep", "0.3")
    assert done.code == 0
    assert done.err == "plait: no CPython was seen, so there is nothing to say of a GIL\n"


def test_words_behind_the_dashes_are_the_commands(cli):
    done = cli(
        "record",
        "--quiet",
        "--",
        sys.executable,
        "-c",
        "import sys; print(sys.argv[1:])",
        "-o",
        "--",
        "--quiet",
    )
    assert done.out == "['-o', '--', '--quiet']\n"


def test_a_recording_that_is_over_lets_the_command_go_on(cli, out):
    text = "import sys, time; time.sleep(1.5); print('done'); sys.exit(5)"
    done = cli("record", "--duration", "0.5", "-o", "part.plait", "--", sys.executable, "-c", text)
    assert done.code == 5, done
    assert done.out.endswith("done\n") and done.out.index("trace: part.plait") < done.out.index("done")
    assert "recording has ended; the command runs on as process" in done.err


@pytest.mark.once
def test_exec_and_fork_are_seen(cli, out):
    text = """
import os, sys
def busy(text):
    return f"import time; end = time.monotonic() + 1.2\\nwhile time.monotonic() < end: pass\\n{text}"
if os.fork() == 0:
    exec(busy(""))
    os._exit(0)
exec(busy(""))
os.execv(sys.executable, [sys.executable, "-c", busy("print('second program')")])
"""
    done = cli("record", "-o", "exec.plait", "--", sys.executable, "-c", text)
    assert done.code == 0 and done.out.startswith("second program\n"), done
    processes = findings(out / "exec.plait")["figures"]["processes"]
    pids = [process["pid"] for process in processes]
    assert len(pids) == 3 and len(set(pids)) == 2, "the program, its fork, and the program it became"


# --- where it goes


@pytest.mark.parametrize("name", ["a.json", "a.firefox.json", "a.speedscope.json", "a.plait.json"])
def test_other_forms_are_made_at_the_end(name, cli, out):
    done = cli("record", "-o", name, "--", sys.executable, "-c", "sum(range(10**7))")
    assert done.code == 0 and f": {name}" in done.out, done
    assert json.loads((out / name).read_text())
    assert only_file(out).name == name, "the trace that it was made of is gone"


def test_two_recordings_of_one_process_do_not_share_a_file(program, cli, out):
    target = program(IDLE)
    for _ in range(2):
        assert cli("record", "--duration", "0.2", target.pid).code == 0
    assert {path.name for path in out.iterdir()} == {
        f"plait-record-{target.pid}.plait",
        f"plait-record-{target.pid}-2.plait",
    }


# --- what is refused

NOBODY = 2**22 + 1  # No kernel gives such a number.

REFUSED = {
    "nothing": ([], "nothing to look at: give a PID, or a command behind '--'"),
    "no command": (["--"], "no command stands behind '--'"),
    "both": ([1, "--", "true"], "either a PID or a command, not both"),
    "no dashes": (["python", "a.py"], "as in: -- python a.py"),
    "two": ([1, 2], "one PID, please"),
    "gone": ([NOBODY], f"there is no process {NOBODY}; "),
    "rate": (["--rate", "0", 1], "must be a whole number from 10 to 5000, not '0'"),
    "duration": (["--duration", "nan", 1], "must be a number of seconds above 0, not 'nan'"),
    "no form": (["-o", "a.txt", "--", "true"], "let its name end in .plait"),
    "folder": (["-o", "no/such/a.plait", "--", "true"], "there is no folder 'no/such'"),
    "is folder": (["-o", "folder.plait", "--", "true"], "'folder.plait' is a folder"),
    "full": (["-o", "full.plait", "--", "true"], "cannot write 'full.plait': No space left on device"),
    "no such command": (
        ["--", "no-such-command"],
        "cannot start 'no-such-command': there is no such command",
    ),
    "script": (["--", "a.py", "x"], "it is a script; name its Python: -- python a.py x"),
    "not executable": (["--", "./text"], "cannot start './text': it is not executable"),
    "no program": (["--", "./empty"], "cannot start './empty': "),
}


@pytest.mark.once
@pytest.mark.parametrize("what", REFUSED)
def test_one_line_says_what_is_wrong(what, cli, out):
    (out / "folder.plait").mkdir()
    (out / "full.plait").symlink_to("/dev/full")
    for name, mode in [("a.py", 0o644), ("text", 0o644), ("empty", 0o755)]:
        (out / name).touch(mode=mode)
    before = set(out.iterdir())
    arguments, said = REFUSED[what]
    assert said in refusal(cli("record", *arguments))
    assert set(out.iterdir()) == before


@pytest.mark.once
def test_a_thread_is_no_process(program, cli):
    target = program(f"{HEAD}\nin_threads(spin)")
    [thread] = set(os.listdir(f"/proc/{target.pid}/task")) - {str(target.pid)}
    assert f"{thread} is a thread of process {target.pid}; give that number" in refusal(cli("record", thread))


@pytest.mark.once
def test_what_is_not_python_is_refused(program, cli):
    other = program("import os; print('ready', flush=True); os.execvp('sleep', ['sleep', '600'])")
    until(lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n", "the sleep")
    said = refusal(cli("record", other.pid))
    assert said.startswith(f"plait: process {other.pid} (sleep) is not CPython, and no process under it is; ")


@pytest.mark.once
def test_of_what_is_not_python_the_children_that_are_can_be_recorded(program, cli, out):
    (out / "spin.py").write_text("while True: pass")
    run = "$0 $1 & echo ready; wait"
    text = f"import os, sys; os.execvp('sh', ['sh', '-c', '{run}', sys.executable, sys.argv[1]])"
    shell = program(text, out / "spin.py")
    [child] = until(lambda: children_that_are_python(shell.pid), "the child")
    said = refusal(cli("record", "--no-children", shell.pid))
    assert f"is not CPython, but {child} under it: give that number, or leave out --no-children" in said
    done = cli("record", "--duration", "1", "-o", "it.plait", shell.pid)
    assert done.code == 0
    assert (
        done.err
        == f"plait: process {shell.pid} (sh) is not CPython; looked at is what runs under it: {child}\n"
    )
    assert child in [process["pid"] for process in findings(out / "it.plait")["figures"]["processes"]]


def children_that_are_python(pid):
    from plait import _core

    return [child for child in _core.process_tree(pid)[1:] if _core.gil_refusal(child) is None]


# Everything is loaded first: the other user may not read this one's files.
AS_ANOTHER = """
import os, sys, contextlib, io
from plait import _core
from plait._recording import record_command, report_command, watch_command
from plait.__main__ import main

sys.argv = ["plait", "record", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main()
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
sys.argv = ["plait", "record", sys.argv[3] if sys.argv[3:] else "{pid}"]
sys.exit(main())
"""


@pytest.mark.skipif(not IS_ROOT, reason="takes root, to be somebody else")
@pytest.mark.usefixtures("uncounted")
def test_another_users_program_is_refused_with_the_remedy(program):
    target = program(IDLE)
    said = refusal(run_program("-c", AS_ANOTHER.replace("{pid}", str(target.pid))))
    assert f"process {target.pid} may not be looked into: run as its owner" in said and "root" in said


def test_help_shows_examples(cli):
    for command in ("record", "report", "top", "watch"):
        told = "\n".join(cli(command, "--help").lines)
        assert "examples:" in told and f"plait {command} " in told
