"""Programs with `plait.Process` come to their end: by themselves, by Ctrl-C, killed, or as a fork."""

import os
import signal

import pytest
from outside import descendants, finish, nurseries, run_program, start_program, until

pytestmark = pytest.mark.once

# The first program of many an article, after the change of one import.
ARTICLE = """
from plait import Process
import os

def info(title):
    print(title)
    print("parent process:", os.getppid() != 0)

def greet(name):
    info("function greet")
    print("hello", name)

info("main line")
p = Process(target=greet, args=("bob",))
p.start()
p.join()
"""


def test_the_first_program_of_articles_runs_without_a_guard(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(ARTICLE)
    lines = ["main line", "parent process: True", "function greet", "parent process: True", "hello bob"]
    assert run_program(script).lines == lines
    # Nor does it need a file.
    assert run_program("-", stdin=ARTICLE).lines == lines


def test_the_end_waits_for_processes_and_ends_daemons():
    ended = run_program(
        "-c",
        """if True:
        import os, plait, signal, time, multiprocessing

        def deaf(pipe):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            pipe.send("here")
            time.sleep(600)

        def late():
            time.sleep(0.3)
            print("late")
            raise LookupError("and nobody joins")

        for target in (deaf, lambda pipe: (pipe.send("here"), time.sleep(600))):
            mine, theirs = multiprocessing.Pipe()
            plait.Process(target=target, args=(theirs,), daemon=True).start()
            mine.recv()
        plait.Process(target=late, name="late").start()
        print("end of the script")
        """,
    )
    assert ended.code == 0
    assert ended.out == "end of the script\nlate\n"
    assert ended.err.startswith("Process late:\nTraceback (most recent call last):\n")
    assert ended.err.endswith("\nLookupError: and nobody joins\n")
    assert ended.err.count("Traceback") == 1


def test_an_exit_code_that_is_words_is_printed():
    ended = run_program(
        "-c",
        """if True:
        import plait, sys
        process = plait.Process(target=sys.exit, args=("said",))
        process.start()
        print(process.join(), process.exitcode)
        """,
    )
    assert (ended.code, ended.out, ended.err) == (0, "None 1\n", "said\n")


def test_what_is_joined_is_told_by_join_alone():
    ended = run_program(
        "-c",
        """if True:
        import plait
        def fail():
            raise LookupError("once")
        process = plait.Process(target=fail)
        process.start()
        try:
            process.join()
        except LookupError as error:
            print(error, type(error.__cause__).__name__)
        """,
    )
    assert ended.lines == ["once _RemoteTraceback"]


BUSY = """if True:
    import plait, time
    def work(tidy):
        try:
            print("working", flush=True)
            time.sleep(600)
        finally:
            if tidy:
                print("tidied")
    processes = [plait.Process(target=work, args=(True,)), plait.Process(target=work, args=(True,))]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
"""


def working(program=BUSY):
    running = start_program("-c", program)
    for _ in range(2):
        assert running.stdout.readline() == "working\n"
    return running


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the program", "at the terminal"])
def test_ctrl_c_ends_all_and_lets_them_tidy(send):
    program = working()
    send(program.pid, signal.SIGINT)
    ended = finish(program)
    assert ended.code == -signal.SIGINT
    assert ended.out == "tidied\n" * 2
    assert ended.err.count("Traceback") == 1 and ended.err.endswith("KeyboardInterrupt\n")


def test_ctrl_c_ends_what_does_not_hear():
    deaf = BUSY.replace("time.sleep(600)", "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)")
    program = working(deaf.replace("import plait", "import plait, signal").replace("(True,)", "(False,)"))
    os.killpg(program.pid, signal.SIGINT)
    assert finish(program).code == -signal.SIGINT


def test_a_program_may_hear_ctrl_c_and_go_on():
    heard = BUSY.replace("    for process in processes:\n        process.join()\n", "")
    program = working(
        heard
        + """
    try:
        processes[0].join()
    except KeyboardInterrupt:
        print([process.join() for process in processes], [process.exitcode for process in processes])
    """
    )
    os.killpg(program.pid, signal.SIGINT)
    ended = finish(program)
    assert sorted(ended.lines) == ["[None, None] [1, 1]", "tidied", "tidied"]


def test_nothing_outlives_a_killed_program():
    program = working()
    below = descendants(program.pid)
    assert len(below) == 3 and len(nurseries(program.pid)) == 1
    program.kill()
    # Until all of its session are gone.
    assert finish(program).code == -signal.SIGKILL


def test_a_process_that_is_killed_takes_those_below_along():
    program = start_program(
        "-c",
        """if True:
        import os, plait, time
        def inner():
            print("inner", os.getpid(), flush=True)
            time.sleep(600)
        def outer():
            plait.Process(target=inner).start()
            time.sleep(600)
        process = plait.Process(target=outer)
        process.start()
        input()
        process.kill()
        print(process.join(), process.exitcode)
        input()
        """,
    )
    inner = int(program.stdout.readline().split()[1])
    program.stdin.write("\n")
    program.stdin.flush()
    assert program.stdout.readline() == "None -9\n"
    until(lambda: inner not in descendants(program.pid) and not os.path.exists(f"/proc/{inner}"), "its end")
    assert finish(program, stdin="\n").code == 0


@pytest.mark.parametrize(
    ("stopped", "told"),
    [
        ("process.terminate()", "None -15"),
        ("process.kill()", "None -9"),
        ("", "WorkerDied 255"),
    ],
    ids=["terminate", "kill", "somebody else"],
)
def test_without_the_nursery_a_process_ends_of_what_this_program_has_sent_it(stopped, told):
    program = start_program(
        "-c",
        f"""if True:
        import plait, time
        process = plait.Process(target=time.sleep, args=(600,))
        process.start()
        print(process.pid, flush=True)
        input()
        {stopped}
        try:
            print(process.join(), process.exitcode)
        except plait.WorkerDied as error:
            print(type(error).__name__, process.exitcode)
        """,
    )
    pid = int(program.stdout.readline())
    (nursery,) = nurseries(program.pid)
    os.kill(nursery, signal.SIGKILL)
    until(lambda: not nurseries(program.pid), "the end of the nursery")
    # Its worker goes on without it.
    assert pid in descendants(program.pid) or os.path.exists(f"/proc/{pid}")
    if not stopped:
        os.kill(pid, signal.SIGKILL)
    assert finish(program, stdin="\n").lines == [told]


def test_a_fork_has_nothing_of_its_parents_processes():
    # Newer Pythons warn of forks.
    ended = run_program(
        "-Wignore",
        "-c",
        """if True:
        import multiprocessing, os, plait, sys, time
        mine, theirs = multiprocessing.Pipe()
        process = plait.Process(target=theirs.recv)
        process.start()
        if (pid := os.fork()) == 0:
            assert multiprocessing.active_children() == []
            own = plait.Process(target=lambda: "of the fork")
            own.start()
            print(own.join(), flush=True)
            sys.exit(0)
        print(os.waitpid(pid, 0)[1])
        print(process.is_alive())
        mine.send("go on")
        print(process.join())
        """,
    )
    assert ended.lines == ["of the fork", "0", "True", "go on"]


@pytest.mark.parametrize("seconds", [0.2, 600])
def test_a_call_of_an_executor_may_leave_a_process(seconds):
    ended = run_program(
        "-c",
        f"""if True:
        import plait, time
        def leave():
            plait.Process(target=lambda: (time.sleep({seconds}), print("done"))).start()
            return "left"
        with plait.ProcessPoolExecutor(1) as executor:
            print(executor.submit(leave).result(), flush=True)
        """,
    )
    # As other processes and threads that calls have left behind: for a moment it is waited for.
    assert ended.lines == (["left", "done"] if seconds < 1 else ["left"])


def test_a_process_takes_the_program_as_it_is_at_its_start(tmp_path):
    ended = run_program(
        "-c",
        f"""if True:
        import os, plait, sys
        def look():
            return os.getcwd(), os.environ.get("SAID"), sys.argv[0]
        def look_now():
            process = plait.Process(target=look)
            process.start()
            return process.join()
        look_now()
        os.chdir({str(tmp_path)!r})
        os.environ["SAID"] = "now"
        sys.argv = ["named"]
        print(*look_now())
        """,
    )
    assert ended.lines == [f"{tmp_path} now named"]
