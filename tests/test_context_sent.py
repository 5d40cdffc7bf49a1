"""Which context variables go to worker processes, and which of their values."""

import contextvars
import decimal
import importlib
import sys
import threading

import plait
import pytest
from outside import run_program

user = contextvars.ContextVar("user", default="nobody")
notes = contextvars.ContextVar("notes")


class Request:
    """What frameworks do: a variable that belongs to a class."""

    trace = contextvars.ContextVar("trace", default=None)


@pytest.fixture(autouse=True)
def somebody():
    token = user.set("the caller")
    yield
    user.reset(token)


def look(_=None):
    return user.get()


def trace_of_request():
    return Request.trace.get()


def notes_or_nothing():
    return notes.get("nothing")


def add_note(n):
    notes.get().append(n)
    return list(notes.get())


def precision():
    return decimal.getcontext().prec


def test_a_variable_of_a_class(processes):
    assert processes.submit(trace_of_request).result() is None
    token = Request.trace.set(("trace", 1))
    try:
        assert processes.submit(trace_of_request).result() == ("trace", 1)
    finally:
        Request.trace.reset(token)
    assert processes.submit(trace_of_request).result() is None


def test_a_value_goes_as_it_is_at_the_submit(processes):
    """Also one that was changed in place since it was sent before; and what a task changes stays its own."""
    found = []
    notes.set(found)
    for n in range(5):
        assert processes.submit(add_note, "task").result() == [*range(n), "task"]
        found.append(n)
    assert found == list(range(5))


def test_values_that_cannot_be_pickled_are_left_out(processes):
    for value in (threading.Lock(), [threading.Lock()], (n for n in "ab")):
        notes.set(value)
        for _ in range(2):
            assert processes.submit(notes_or_nothing).result() == "nothing"
            assert list(plait.map(look, range(3), backend="processes", workers=2)) == ["the caller"] * 3
    notes.set("something")
    assert processes.submit(notes_or_nothing).result() == "something"


def test_what_pickles_by_value_goes_too(processes):
    class Local:
        name = "a class of this function"

    notes.set(Local())
    assert processes.submit(lambda: notes.get().name).result() == "a class of this function"


def test_variables_without_a_name_are_left_out(processes):
    """As that of `decimal`, which no module holds; the others go."""
    with decimal.localcontext(prec=5):
        assert processes.submit(precision).result() == decimal.DefaultContext.prec
        assert processes.submit(look).result() == "the caller"


def test_a_variable_that_no_module_holds_goes_with_a_function_that_refers_to_it(processes):
    kept = contextvars.ContextVar("kept", default="its default")

    def look_there():
        return kept.get()

    assert processes.submit(look_there).result() == "its default"
    kept.set("sent")
    assert processes.submit(look_there).result() == "sent"
    # One function and another mean the same one.
    assert processes.submit(lambda: (kept.get(), look_there())).result() == ("sent", "sent")
    # It comes home as what it is.
    assert processes.submit(lambda: kept).result() is kept
    assert processes.submit(notes_and_user, user).result() == (True, "the caller")


def notes_and_user(variable):
    return variable is user, variable.get()


LATE = "import contextvars\nvariable = contextvars.ContextVar('variable', default='unset')\n"


def test_a_module_that_the_task_imports_has_its_values(tmp_path, monkeypatch):
    """And no worker imports one for their sake."""
    (tmp_path / "imported_late.py").write_text(LATE)
    monkeypatch.syspath_prepend(tmp_path)
    import imported_late

    def is_there():
        return "imported_late" in sys.modules

    def imports_it():
        import imported_late

        return imported_late.variable.get()

    try:
        imported_late.variable.set("set before")
        with plait.ProcessPoolExecutor(1) as pool:
            assert not pool.submit(is_there).result()
            assert pool.submit(imports_it).result() == "set before"
            assert pool.submit(is_there).result()
            imported_late.variable.set("set again")
            assert pool.submit(imports_it).result() == "set again"
        assert contextvars.Context().run(imports_it) == "unset"
    finally:
        del sys.modules["imported_late"]


def test_a_module_that_is_loaded_again_has_another_variable(tmp_path, monkeypatch):
    (tmp_path / "loaded_again.py").write_text(LATE + "def look():\n    return variable.get()\n")
    monkeypatch.syspath_prepend(tmp_path)
    import loaded_again

    try:
        with plait.ProcessPoolExecutor(1) as pool:
            for value in ("once", "twice"):
                importlib.reload(loaded_again)
                loaded_again.variable.set(value)
                assert pool.submit(loaded_again.look).result() == value
    finally:
        del sys.modules["loaded_again"]


SCRIPT = """
import contextvars
import plait

user = contextvars.ContextVar("user", default="nobody")

def look():
    return user.get(), ask()

def ask():
    seen = user.get()
    user.set("a task")
    return seen

user.set("the script")
with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(look).result(), pool.submit(ask).result(), pool.submit(lambda: user.get()).result())
    user.set("changed")
    print(list(pool.map(lambda n: look(), "ab")))
    user = contextvars.ContextVar("user", default="a new one")
    print(pool.submit(look).result(), user.get())

def begin():
    user.set("the initializer")

apart = contextvars.Context().run
with plait.ProcessPoolExecutor(1, initializer=begin) as pool:
    print(apart(pool.submit, look).result())
    user = contextvars.ContextVar("user", default="the newest")
    print(apart(pool.submit, look).result())
"""


@pytest.mark.once
def test_a_variable_of_a_script():
    assert run_program("-c", SCRIPT).lines == [
        "('the script', 'the script') the script the script",
        "[('changed', 'changed'), ('changed', 'changed')]",
        "('a new one', 'a new one') a new one",
        "('the initializer', 'the initializer')",
        "('the newest', 'the newest')",
    ]
