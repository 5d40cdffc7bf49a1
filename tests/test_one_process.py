"""`plait.Process`: what comes back at `join`, how processes end, and what they are to multiprocessing."""

import functools
import gc
import io
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
import weakref

import plait
import pytest
from outside import until
from plait import _depth
from plait._one import unheard

FOREVER = 600


def started(target, *args, **options):
    """A process that runs this."""
    process = plait.Process(target=target, args=args, **options)
    process.start()
    return process


def fail(*args):
    raise KeyError(*args)


def hold(pipe):
    """Tell that this runs, and do until the end of the other side."""
    pipe.send("here")
    pipe.recv()


class Held:
    """A process that runs until this is left."""

    def __init__(self, target=hold, **options):
        self.mine, theirs = multiprocessing.Pipe()
        self.process = started(target, theirs, **options)
        theirs.close()
        assert self.mine.recv() == "here"

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.mine.close()
        try:
            self.process.join()
        except (EOFError, plait.WorkerDied):
            pass


# --- results, errors, exit codes


@pytest.mark.parametrize("result", [None, 5, "text", [1, {"a": (2, 3)}], b"x" * (1 << 20)])
def test_join_gives_what_the_target_returned(result):
    process = started(lambda value: value, result)
    assert process.join() == result
    assert process.join() == result
    assert process.exitcode == 0 and not process.is_alive()


def test_arguments_go_by_position_and_by_name():
    process = plait.Process(target=lambda a, /, *rest, b: (a, rest, b), args=[1, 2], kwargs={"b": 3})
    process.start()
    assert process.join() == (1, (2,), 3)


def test_a_process_without_target_does_nothing():
    process = plait.Process()
    process.start()
    assert process.join() is None and process.exitcode == 0


def test_join_raises_what_the_target_raised_each_time():
    process = started(fail, "gone")
    for _ in range(2):
        with pytest.raises(KeyError, match="gone") as caught:
            process.join()
        assert "in fail\n" in str(caught.value.__cause__)
        assert len(caught.traceback) == 2
    assert process.exitcode == 1


def test_a_result_that_cannot_be_sent_is_told():
    process = started(lambda: sys._getframe())
    with pytest.raises(plait.NotPicklable, match="frame"):
        process.join()
    assert process.exitcode == 1


@pytest.mark.parametrize(
    ("code", "exitcode"), [(None, 0), (0, 0), (3, 3), (-1, 255), (True, 1), ("said", 1)], ids=str
)
def test_a_process_that_exits(code, exitcode):
    process = started(sys.exit, code)
    assert process.join() is None
    assert process.exitcode == exitcode


def test_a_process_that_leaves_at_once():
    assert started(os._exit, 0).join() is None
    process = started(os._exit, 7)
    with pytest.raises(plait.WorkerDied, match=r"^Process-\d+.* \(process \d+\) exited with code 7 while it"):
        process.join()
    assert process.exitcode == 7


@pytest.mark.parametrize(("end", "exitcode"), [("terminate", -15), ("kill", -9), ("interrupt", 1)])
def test_what_the_program_ends_is_no_error(end, exitcode):
    with Held() as process:
        getattr(process, end)()
        assert process.join() is None
        assert process.exitcode == exitcode
        # As in the stdlib, nothing happens to one that has ended.
        getattr(process, end)()


def test_ending_a_process_right_after_its_start():
    for _ in range(5):
        process = started(time.sleep, FOREVER)
        process.kill()
        assert process.join() is None and process.exitcode == -9


def test_what_something_else_kills_has_died():
    with Held(name="reader") as process:
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(plait.WorkerDied) as caught:
            process.join()
        error = caught.value
        assert str(error).startswith(f"reader (process {process.pid}) was killed by signal 9 (SIGKILL) while")
        assert (error.task, error.pid, error.exitcode) == (f"{__name__}.hold", process.pid, -9)
        assert process.exitcode == -9


def test_interrupt_can_be_heard():
    def tidy(pipe):
        try:
            hold(pipe)
        except KeyboardInterrupt:
            return "tidied"

    with Held(tidy) as process:
        process.interrupt()
        assert process.join() == "tidied"


def test_join_waits_as_long_as_it_is_told():
    with Held() as process:
        assert process.join(0) is None and process.join(timeout=0.01) is None
        assert process.is_alive() and process.exitcode is None
        assert multiprocessing.connection.wait([process.sentinel], 0) == []
        process.terminate()
        assert multiprocessing.connection.wait([process.sentinel]) == [process.sentinel]
        assert not process.is_alive() and process.exitcode == -15


def test_one_that_has_ended_before_it_could_be_looked_at_is_as_any_other(monkeypatch):
    def gone(_):
        raise ProcessLookupError

    with monkeypatch.context() as while_starting:
        # On a busy machine the process may be quicker than the next step of `start`.
        while_starting.setattr("plait._attributes.os.pidfd_open", gone)
        process = started(abs, -3)
    assert multiprocessing.connection.wait([process.sentinel]) == [process.sentinel]
    process.kill()
    assert (process.join(), process.exitcode, process.is_alive()) == (3, 0, False)


def test_failures_leave_no_thread_in_the_lists_of_the_stdlib():
    def listed():
        return {each for each in threading.enumerate() if isinstance(each, threading._DummyThread)}

    # Other tests may have left some. Nobody joins: it is a thread of plait's that learns of the failures.
    before = listed()
    failed = [started(fail) for _ in range(3)]
    until(lambda: all(process._popen._learnt for process in failed), "the news of the failures")
    assert listed() <= before
    for process in failed:
        with pytest.raises(KeyError):
            process.join()


def test_threads_and_processes_of_a_process_are_waited_for(tmp_path):
    def leave():
        process = plait.Process(target=lambda: (time.sleep(0.1), (tmp_path / "process").touch()))
        process.start()
        thread = plait.Thread(target=lambda: (time.sleep(0.1), (tmp_path / "thread").touch()))
        thread.start()
        return "first"

    assert started(leave).join() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["process", "thread"]


# --- failures that nobody joins


def test_what_nobody_joins_is_printed_once(monkeypatch):
    monkeypatch.setattr(unheard, "PATIENCE", 0.01)
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    process = started(fail, "unheard", name="lonely")
    until(lambda: told.getvalue().endswith("KeyError: 'unheard'\n"), "the traceback")
    assert told.getvalue().startswith("Process lonely:\nTraceback (most recent call last):\n")
    with pytest.raises(KeyError):
        process.join()
    unheard.tell_all()
    assert told.getvalue().count("KeyError: ") == 1


def test_what_is_joined_is_not_printed(monkeypatch):
    monkeypatch.setattr(unheard, "PATIENCE", FOREVER)
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    process = started(fail)
    with pytest.raises(KeyError):
        process.join()
    ended = started(time.sleep, FOREVER)
    ended.kill()
    ended.join()
    unheard.tell_all()
    assert told.getvalue() == ""
    assert not unheard._waiting


def test_a_failure_that_was_joined_holds_nothing():
    def look():
        process = started(fail)
        try:
            process.join()
        except KeyError:
            return weakref.ref(process._popen)
        finally:
            # The error has been here, and holds this frame.
            del process

    gc.disable()
    try:
        held = look()
        until(lambda: held() is None, "letting go of a process")
    finally:
        gc.enable()


def test_closing_a_failed_process_tells(monkeypatch):
    monkeypatch.setattr(unheard, "PATIENCE", FOREVER)
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    process = started(fail, "closed")
    until(lambda: not process.is_alive(), "its end")
    process.close()
    assert told.getvalue().endswith("KeyError: 'closed'\n")


# --- to multiprocessing


class Counter(plait.Process):
    """Has attributes of its own."""

    def __init__(self, numbers):
        super().__init__(name="counter", daemon=True)
        self.numbers = numbers

    def run(self):
        self.numbers.append(multiprocessing.current_process() is self)
        return sum(self.numbers), self.name, self.daemon


def test_a_subclass_goes_with_all_that_it_has():
    counter = Counter([1, 2])
    counter.start()
    assert counter.join() == (4, "counter", True)
    assert counter.numbers == [1, 2]


def test_who_a_process_is():
    def look():
        me, parent = multiprocessing.current_process(), multiprocessing.parent_process()
        key = bytes(me.authkey)
        return me.name, me.pid, me.daemon, parent.name, parent.pid, parent.is_alive(), key

    process = plait.Process(target=look)
    assert isinstance(process, multiprocessing.Process)
    process.start()
    key = bytes(multiprocessing.current_process().authkey)
    assert process.join() == (process.name, process.pid, False, "MainProcess", os.getpid(), True, key)
    assert process.ident == process.pid != os.getpid()


def test_active_children_are_those_that_run():
    with Held() as process:
        assert process in multiprocessing.active_children()
    assert process not in multiprocessing.active_children()
    assert started(multiprocessing.active_children).join() == []


def test_a_process_within_a_process():
    def inner():
        me = multiprocessing.current_process()
        return me.name, multiprocessing.parent_process().name

    def outer():
        return started(inner).join()

    process = started(outer, name="outer")
    name, parent = process.join()
    assert (name, parent) == (f"Process-{process._identity[0]}:1", "outer")


def test_an_error_gets_through_two_processes():
    with pytest.raises(KeyError, match="deep"):
        started(lambda: started(fail, "deep").join()).join()


def test_daemons_have_no_children():
    def start():
        started(print)

    with pytest.raises(AssertionError, match="daemonic processes are not allowed to have children"):
        started(start, daemon=True).join()


def test_nesting_has_an_end(monkeypatch):
    monkeypatch.setattr(_depth, "depth", 5)
    with pytest.raises(RuntimeError, match="processes are nested 5 deep"):
        started(print)


def test_misuse_is_told_as_in_the_stdlib():
    process = plait.Process(target=print, args=("",), kwargs={"end": ""})
    with pytest.raises(AssertionError, match="can only join a started process"):
        process.join()
    with pytest.raises(ValueError, match="process not started"):
        process.sentinel  # noqa: B018
    assert process.pid is None and process.exitcode is None and not process.is_alive()
    process.start()
    with pytest.raises(AssertionError, match="cannot start a process twice"):
        process.start()
    process.join()
    process.close()
    with pytest.raises(ValueError, match="process object is closed"):
        process.join()
    with Held() as running:
        with pytest.raises(ValueError, match="while it is still running"):
            running.close()
        with pytest.raises(AssertionError, match="can only join a child process"):
            started(functools.partial(plait.Process.join, running)).join()


def test_a_process_knows_the_number_of_another():
    with Held() as process:
        assert started(lambda: process.pid).join() == process.pid


def test_records_are_handled_here_under_its_name():
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("test_one_process")
    logger.addHandler(handler)
    try:
        started(logger.warning, "read %d", 5, name="reader").join()
    finally:
        logger.removeHandler(handler)
    assert [(record.getMessage(), record.processName) for record in records] == [("read 5", "reader")]
