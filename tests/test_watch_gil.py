"""`plait.watch_gil`: calls that keep the GIL while others wait are told, and nothing else is."""

import ctypes
import json
import logging
import os
import re
import signal
import textwrap
import threading
import time

import plait
import pytest
from outside import children, is_alive, run_program, until
from platforms import needs_gil

pytestmark = needs_gil

# Keeps the GIL while it sleeps.
libc = ctypes.PyDLL(None)

LIMIT = 0.1


def hog(seconds=0.4):
    libc.usleep(int(seconds * 1e6))


@pytest.fixture
def waiter():
    """A thread that wants the GIL all the time."""
    over = threading.Event()

    def want():
        while not over.is_set():
            time.sleep(0.001)

    thread = threading.Thread(target=want)
    thread.start()
    yield thread
    over.set()
    thread.join()


@pytest.fixture
def told():
    """What was told."""
    return []


def told_of(told, function):
    return [held for held in told if any(call.endswith(f" {function}") for call in held.stack)]


def namers():
    """The processes that name C functions for this one."""
    found = []
    for child in children(os.getpid()):
        try:
            with open(f"/proc/{child}/cmdline") as file:
                if "name_functions" in file.read():
                    found.append(child)
        except OSError:
            continue
    return found


def watchers():
    """The native threads that look, and the threads that tell."""
    names = []
    for tid in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{tid}/comm") as file:
                names.append(file.read().strip())
        except OSError:
            continue
    telling = [thread for thread in threading.enumerate() if thread.name == "plait-tell-gil"]
    return names.count("plait-watch-gil"), len(telling)


def test_a_hog_is_told_with_its_place(waiter, told):
    with plait.watch_gil(LIMIT, told.append):
        hog()
        until(lambda: told, "the hog to be told")
    held = told[0]
    assert isinstance(held, plait.GilHeld)
    assert held.thread == "MainThread" and held.thread_id == threading.get_native_id()
    assert held.seconds >= 0.35 and held.waiters >= 1
    line = hog.__code__.co_firstlineno + 1
    assert held.stack[0] == f"{__file__}:{line} hog"
    assert held.stack[1].endswith(" test_a_hog_is_told_with_its_place")
    assert len(told) == 1


def test_it_reads_as_one_line(waiter, told):
    with plait.watch_gil(LIMIT, told.append):
        # The process that names functions may be slow to start.
        until(lambda: hog() or any(held.function for held in told), "the C function to be named")
    held = next(held for held in told if held.function)
    assert "sleep" in held.function and held.unnamed is None
    pattern = (
        r"MainThread held the GIL for (\d+ ms|\d+\.\d\d s) in \S*sleep at \S+:\d+ hog "
        r"while \d+ threads? waited"
    )
    assert re.fullmatch(pattern, str(held)), str(held)


def matching():
    re.findall(r"(x+x+)+y", "x" * 22)


def loading(text="[" + "[1,2,3]," * 600_000 + "0]"):
    json.loads(text)


# An interpreter without symbols has the names that Python knows.
@pytest.mark.parametrize(("work", "function"), [(matching, r"Pattern[._]findall"), (loading, "[sS]can")])
def test_native_code_is_named(waiter, told, work, function):
    with plait.watch_gil(LIMIT, told.append):

        def named():
            work()
            return [held for held in told_of(told, work.__name__) if held.function]

        held = until(named, lambda: f"the C function to be named: {told}")[0]
    assert re.search(function, held.function)
    # Where the call is in the library, the line that went there is told as well.
    assert f"called from {__file__}:" in str(held)


def test_python_code_is_not_told(waiter, told):
    def one_instruction(until_then):
        while time.monotonic() < until_then:
            for _ in range(100_000):
                pass

    def many(until_then):
        while time.monotonic() < until_then:
            sum(number * number for number in range(1000))

    with plait.watch_gil(LIMIT, told.append):
        for loop in (one_instruction, many):
            loop(time.monotonic() + 0.7)
        hog()
        until(lambda: told_of(told, "hog"), "the hog to be told")
    assert told == told_of(told, "hog")


def test_a_hog_that_nobody_minds_is_not_told(told):
    with plait.watch_gil(LIMIT, told.append):
        libc.usleep(500_000)
        over = threading.Event()
        waits = threading.Thread(target=lambda: [time.sleep(0.001) for _ in iter(over.is_set, True)])
        waits.start()
        hog()
        until(lambda: told_of(told, "hog"), "the hog to be told")
        over.set()
        waits.join()
    assert told == told_of(told, "hog")


def test_what_is_shorter_than_the_limit_is_not_told(waiter, told):
    with plait.watch_gil(0.3, told.append):
        for _ in range(5):
            libc.usleep(100_000)
        hog(0.6)
        until(lambda: told_of(told, "hog"), "the hog to be told")
    # On a busy machine any sleep may be a long one.
    assert all(held.seconds >= 0.3 for held in told)


def test_another_thread_is_told_while_the_main_thread_is_blocked(told):
    begun = threading.Event()
    with plait.watch_gil(LIMIT, lambda held: (told.append(held), done.release())):
        done = threading.Semaphore(0)
        thread = threading.Thread(target=lambda: begun.wait() and hog(), name="worker-7")
        thread.start()
        waits = threading.Thread(target=lambda: [time.sleep(0.001) for _ in iter(thread.is_alive, False)])
        waits.start()
        tid = thread.native_id
        begun.set()
        # No timeout, so this is one long wait in C.
        done.acquire()
        thread.join()
        waits.join()
    assert told[0].thread == "worker-7" and told[0].thread_id == tid


def test_without_a_callback_it_is_a_warning(waiter, caplog):
    with plait.watch_gil(LIMIT):
        hog()
        record = until(lambda: next((r for r in caplog.records if r.name == "plait"), None), "a warning")
    assert record.levelno == logging.WARNING
    assert "MainThread held the GIL for" in record.getMessage() and "hog while" in record.getMessage()


def test_a_callback_that_fails_is_logged_and_called_again(waiter, told, caplog):
    def fail(held):
        told.append(held)
        raise SystemExit("of the callback")

    with plait.watch_gil(LIMIT, fail):
        hog()
        until(lambda: told, "the first hog")
        hog()
        until(lambda: len(told) >= 2, "the second")
        until(lambda: len(caplog.records) >= 2, "the errors")
    assert all("the callback of plait.watch_gil failed" in record.getMessage() for record in caplog.records)
    assert caplog.records[0].exc_info[0] is SystemExit


def test_two_handles_have_their_own_limits_and_one_thread(waiter, told):
    patient = []
    with plait.watch_gil(LIMIT, told.append), plait.watch_gil(30.0, patient.append) as other:
        until(lambda: watchers() == (1, 1), "one native thread and one that tells")
        until(lambda: len(namers()) == 1, "one process that names")
        hog()
        until(lambda: told, "the hog to be told")
        other.stop()
        hog()
        until(lambda: len(told) >= 2, "the other handle to go on")
    assert patient == []
    until(lambda: watchers() == (0, 0) and not namers(), "everything to end")


def test_after_the_end_nothing_is_told(waiter, told):
    watch = plait.watch_gil(LIMIT, told.append)
    watch.stop()
    watch.stop()
    hog()
    other = []
    with plait.watch_gil(LIMIT, other.append) as again:
        hog()
        until(lambda: other, "the hog to be told")
    again.stop()
    assert told == []


def test_a_callback_can_end_it(waiter, told):
    watch = plait.watch_gil(LIMIT, lambda held: (told.append(held), watch.stop()))
    hog()
    until(lambda: told, "the hog to be told")
    hog()
    until(lambda: watchers() == (0, 0) and not namers(), "everything to end")
    assert len(told) == 1


def test_without_names_there_is_no_process(waiter, told):
    with plait.watch_gil(LIMIT, told.append, name_functions=False):
        assert not namers()
        hog()
        until(lambda: told, "the hog to be told")
    assert (told[0].function, told[0].unnamed) == (None, "there is no process that could name it")
    assert told[0].stack


def test_the_process_that_names_may_die(waiter, told):
    with plait.watch_gil(LIMIT, told.append):
        (namer,) = until(namers, "the process that names")
        os.kill(namer, signal.SIGKILL)
        until(lambda: not is_alive(namer), "its end")
        hog()
        until(lambda: told, "the hog to be told")
    assert told[0].function is None and "process" in told[0].unnamed


def test_a_fork_has_no_watch(waiter, told):
    source = """
        import ctypes, os, plait, threading, time
        from plait import _watch_gil
        libc = ctypes.PyDLL(None)
        def want():
            while True:
                time.sleep(0.001)
        def hogged():
            told = []
            threading.Thread(target=want, daemon=True).start()
            with plait.watch_gil(0.1, told.append):
                deadline = time.monotonic() + 30
                while not told and time.monotonic() < deadline:
                    libc.usleep(300_000)
            return bool(told)
        told = []
        watch = plait.watch_gil(0.1, told.append)
        child = os.fork()
        if child == 0:
            time.sleep(0.05)
            watch.stop()
            os._exit(0 if len(os.listdir("/proc/self/task")) == 1 and hogged() else 1)
        lives = os.fork()
        if lives == 0:
            # It has the pipes, too.
            time.sleep(60)
            os._exit(0)
        _watch_gil._PATIENCE = 60
        namer = _watch_gil._watcher._process
        watch.stop()
        os.kill(lives, 9)
        os.waitpid(lives, 0)
        print(os.waitpid(child, 0)[1], hogged(), namer.returncode)
    """
    ended = run_program("-W", "ignore", "-c", textwrap.dedent(source))
    assert ended.lines == ["0 True 0"]


def test_a_program_ends_while_it_watches():
    source = """
        import ctypes, plait, threading
        libc = ctypes.PyDLL(None)
        plait.watch_gil(0.05, print)
        threading.Thread(target=lambda: [libc.usleep(100_000) for _ in range(10**6)], daemon=True).start()
        plait.watch_gil(0.05)
    """
    ended = run_program("-c", textwrap.dedent(source))
    assert ended.code == 0 and "Traceback" not in ended.err, ended


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_a_limit_is_above_zero(limit):
    with pytest.raises(ValueError, match="limit must be above 0"):
        plait.watch_gil(limit)


def test_what_is_no_limit_and_no_callback():
    with pytest.raises(TypeError, match="limit must be a number of seconds, not str"):
        plait.watch_gil("1")
    with pytest.raises(TypeError, match="limit must be a number of seconds, not bool"):
        plait.watch_gil(True)
    with pytest.raises(TypeError, match="callback must be callable, and int is not"):
        plait.watch_gil(1, 5)
    assert watchers() == (0, 0)
