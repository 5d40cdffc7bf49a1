"""`plait.Thread`: a `threading.Thread` whose `join` gives the result, or raises."""

import io
import os
import re
import signal
import sys
import threading

import plait
import pytest
from outside import TESTS, finish, run_program, start_program, until
from plait._one import unheard

FOREVER = 600


def started(target, *args, **options):
    thread = plait.Thread(target=target, args=args, **options)
    thread.start()
    return thread


def fail(*args):
    raise KeyError(*args)


@pytest.fixture
def hooked(monkeypatch):
    """What `threading.excepthook` was given."""
    heard = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    return heard


def test_join_gives_what_the_target_returned():
    result = object()
    thread = started(lambda value: value, result)
    assert isinstance(thread, threading.Thread)
    assert thread.join() is result and thread.join() is result
    assert not thread.is_alive()


def test_join_raises_what_the_target_raised_each_time(hooked):
    thread = started(fail, "gone")
    raised = []
    for _ in range(2):
        with pytest.raises(KeyError, match="gone") as caught:
            thread.join()
        raised.append(caught.value)
        # The test, `join`, `run` and the target.
        assert [frame.name for frame in caught.traceback][1:] == ["join", "run", "fail"]
    assert raised[0] is raised[1]
    unheard.tell_all()
    assert hooked == []


def test_join_waits_as_long_as_it_is_told():
    gate = threading.Event()
    thread = started(gate.wait)
    try:
        assert thread.join(0) is None and thread.join(timeout=0.01) is None
        assert thread.is_alive()
    finally:
        gate.set()
    assert thread.join() is True


def test_exits_are_silent(hooked):
    assert started(sys.exit, 3).join() is None
    unheard.tell_all()
    assert hooked == []


class Square(plait.Thread):
    def __init__(self, number):
        super().__init__(name=f"square of {number}", daemon=True)
        self.number = number

    def run(self):
        assert threading.current_thread() is self
        return self.number**2


def test_the_result_of_ones_own_run():
    square = Square(7)
    square.start()
    assert square.join() == 49
    assert (square.name, square.daemon) == ("square of 7", True)


def test_the_result_of_a_run_that_was_put_there():
    thread = plait.Thread()
    thread.run = own = lambda: "put there"
    thread.start()
    assert thread.join() == "put there"
    assert thread.run is own


def test_a_name_of_its_own_and_of_its_target():
    assert plait.Thread(target=fail).name.endswith("(fail)")
    assert plait.Thread(target=fail, name="mine").name == "mine"


def test_misuse_is_told_as_in_the_stdlib():
    thread = plait.Thread(target=int)
    with pytest.raises(RuntimeError, match="cannot join thread before it is started"):
        thread.join()
    thread.start()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    assert thread.join() == 0
    with pytest.raises(RuntimeError, match="cannot join current thread"):
        started(lambda: threading.current_thread().join()).join()


def test_a_thread_that_could_not_be_started_can_be_later(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("can't start new thread")

    thread = plait.Thread(target=lambda: "started")
    name = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    with monkeypatch.context() as patched:
        patched.setattr(threading, name, refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()
    assert "run" not in vars(thread)
    thread.start()
    assert thread.join() == "started"


# --- failures that nobody joins


def test_what_nobody_joins_goes_to_the_hook_once(monkeypatch, hooked):
    monkeypatch.setattr(unheard, "PATIENCE", 0.01)
    thread = started(fail, "unheard")
    until(lambda: hooked, "the hook")
    with pytest.raises(KeyError):
        thread.join()
    unheard.tell_all()
    (told,) = hooked
    assert told.thread is thread and told.exc_type is KeyError and told.exc_value.args == ("unheard",)
    assert told.exc_traceback.tb_next.tb_frame.f_code.co_name == "fail"


def test_what_is_told_looks_as_in_the_stdlib(monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)
    monkeypatch.setattr(unheard, "PATIENCE", FOREVER)
    thread = started(fail, "said", name="worker")
    until(lambda: not thread.is_alive(), "its end")
    unheard.tell_all()
    assert told.getvalue().startswith("Exception in thread worker:\nTraceback (most recent call last):\n")
    assert told.getvalue().endswith("KeyError: 'said'\n")


def test_a_hook_that_fails_is_told(monkeypatch):
    told = io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    monkeypatch.setattr(unheard, "PATIENCE", FOREVER)
    monkeypatch.setattr(threading, "excepthook", lambda args: 1 / 0)
    thread = started(fail)
    until(lambda: not thread.is_alive(), "its end")
    unheard.tell_all()
    assert told.getvalue().startswith("Exception in threading.excepthook:\nTraceback ")
    assert "ZeroDivisionError" in told.getvalue()


def test_the_end_of_the_program_tells_the_rest():
    ended = run_program(
        "-c",
        """if True:
        import plait, time
        def fail(words):
            raise LookupError(words)
        def fail_late():
            time.sleep(0.3)
            fail("late")
        plait.Thread(target=fail, args=("early",)).start()
        plait.Thread(target=fail_late).start()
        joined = plait.Thread(target=fail, args=("joined",))
        joined.start()
        try:
            joined.join()
        except LookupError as error:
            print(error)
        """,
    )
    assert (ended.code, ended.out) == (0, "joined\n")
    assert ended.err.count("Exception in thread") == 2
    assert ended.err.count("LookupError: early") == ended.err.count("LookupError: late") == 1


@pytest.mark.usefixtures("uncounted")
def test_threads_alone_do_not_load_multiprocessing():
    ended = run_program(
        "-c",
        """if True:
        import sys, plait
        thread = plait.Thread(target=int)
        thread.start()
        print(thread.join(), "multiprocessing" in sys.modules)
        """,
    )
    assert ended.lines == ["0 False"]


# --- the example


def test_the_example_stops_its_threads_on_ctrl_c():
    program = start_program(TESTS.parent / "examples" / "stop_threads.py")
    assert program.stdout.readline() == "looking; Ctrl-C ends it\n"
    os.killpg(program.pid, signal.SIGINT)
    said = finish(program).lines
    assert [re.sub(r"\d+ looks", "some looks", line) for line in said] == [
        f"scout {n} has stopped after some looks" for n in (1, 2, 3)
    ]
