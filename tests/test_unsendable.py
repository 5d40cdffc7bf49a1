"""What cannot be sent to or from a worker process fails its own call, and says where it is."""

import gc
import sys
import threading
import traceback
import weakref

import plait
import pytest
import workloads as w


@pytest.mark.parametrize(
    "call, path",
    [
        (lambda submit: submit(w.identity, threading.Lock()), "args[0]"),
        (lambda submit: submit(w.arguments, 1, [2, {"key": threading.Lock()}]), "args[1][1]['key']"),
        (
            lambda submit: submit(w.arguments, stream=w.Holder(w.Holder(threading.Lock()))),
            "kwargs['stream'].inner.inner",
        ),
        (lambda submit: submit(w.identity, (x for x in "abc")), "args[0]"),
        (lambda submit: submit(w.identity, sys._getframe()), "args[0]"),
    ],
    ids=["lock", "nested lock", "attribute", "generator", "frame"],
)
def test_arguments_that_cannot_be_sent_are_named(process_face, call, path):
    import pickle

    with process_face(1) as pool:
        with pytest.raises(plait.NotPicklable) as caught:
            call(pool.submit).result()
        assert isinstance(caught.value, pickle.PicklingError)
        assert caught.value.path == path
        assert str(caught.value).startswith(f"{path}: ")
        assert pool.submit(w.add_one, 1).result() == 2


class Refuses:
    def __reduce__(self):
        raise LookupError("no thanks")


def test_a_future_of_what_cannot_be_sent_keeps_nothing_of_who_submitted_it(process_face):
    def submit(pool):
        burden = {"large"}
        return weakref.ref(burden), pool.submit(w.identity, Refuses())

    with process_face(1) as pool:
        burden, future = submit(pool)
        error = future.exception()
        gc.collect()
        assert burden() is None
        # What was raised is there all the same, and where, as a text.
        assert isinstance(error.__cause__, LookupError)
        text = error.__cause__.__cause__.tb
        assert "in __reduce__" in text and "LookupError: no thanks" in text


def test_what_the_caller_handles_meanwhile_keeps_its_frames(process_face):
    def handled_here():
        raise ValueError("handled")

    with process_face(1) as pool:
        try:
            handled_here()
        except ValueError as error:
            assert isinstance(pool.submit(w.identity, Refuses()).exception(), plait.NotPicklable)
            frames = traceback.extract_tb(error.__traceback__)
    assert frames[-1].name == "handled_here"


def test_functions_that_cannot_be_sent_are_named(process_face):
    lock = threading.Lock()
    with process_face(1) as pool:
        with pytest.raises(plait.NotPicklable) as caught:
            pool.submit(lambda: lock).result()
        assert caught.value.path == "fn.<closure>.lock"
        with pytest.raises(plait.NotPicklable) as caught:
            pool.submit(w.Holder(lock).peek).result()
        assert "inner" in caught.value.path
        assert pool.submit(w.add_one, 1).result() == 2


@pytest.mark.parametrize(
    "function, path",
    [
        (w.give_lock, "result"),
        (w.give_nested_lock, "result['handlers'][1]['lock']"),
        (w.give_generator, "result"),
    ],
    ids=["lock", "nested lock", "generator"],
)
def test_results_that_cannot_be_sent_are_named(process_face, function, path):
    with process_face(1) as pool:
        pid = pool.submit(w.pid).result()
        error = pool.submit(function).exception()
        assert isinstance(error, plait.NotPicklable)
        assert str(error).startswith(f"{path}: ")
        assert error.path == path
        assert pool.submit(w.pid).result() == pid


def test_a_lambda_is_a_fine_result(processes):
    assert processes.submit(w.give_lambda).result()(5) == 15


def test_a_result_that_does_not_load_fails_its_future_alone(processes):
    future = processes.submit(w.give_exploding)
    for _ in range(2):
        error = future.exception()
        assert "a value that will not load" in str(error)
    assert processes.submit(w.add_one, 1).result() == 2


def test_an_argument_that_does_not_load_fails_its_future_alone(processes):
    pid_before = set(processes.map(w.pid, range(20)))
    error = processes.submit(w.identity, w.Exploding()).exception()
    assert "a value that will not load" in str(error)
    assert processes.submit(w.add_one, 1).result() == 2
    assert processes.submit(w.pid).result() in pid_before | set(processes._stats()["pids"])
    assert processes._stats()["deaths"] == 0


@pytest.mark.parametrize(
    "function, name, text",
    [
        (w.raise_locked, "LockedError", "holds a lock"),
        (w.raise_no_text, "NoTextError", None),
        (w.raise_unreadable, "UnreadableError", "cannot come back"),
    ],
    ids=["a lock within", "no text", "does not load"],
)
def test_exceptions_come_back_without_what_is_in_the_way(processes, function, name, text):
    error = processes.submit(function).exception()
    assert type(error) is getattr(w, name)
    assert text is None or str(error) == text
    assert not hasattr(error, "lock")
    assert function.__name__ in error.__cause__.tb
    assert processes.submit(w.add_one, 1).result() == 2
