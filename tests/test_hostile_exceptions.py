"""Exceptions of every build come back as themselves: the same class, arguments, attributes and notes.

What of them cannot travel is left out, and noted.

Each case goes through each way to call worker processes, and each test ends with a call that the same worker
must answer.
"""

import traceback

import hostile_exceptions as h
import plait
import pytest
import workloads as w
from hostile_values import LOCK
from outside import run_program
from plait._errors import is_remote_traceback
from ways import WAYS, one_worker


@pytest.fixture(params=WAYS)
def way(request):
    with one_worker(request.param) as way:
        yield way


def assert_same(back, error):
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert getattr(back, "__notes__", None) == getattr(error, "__notes__", None)
    if isinstance(error, BaseExceptionGroup):
        assert back.message == error.message
        assert len(back.exceptions) == len(error.exceptions)
        for mine, theirs in zip(back.exceptions, error.exceptions):
            assert_same(mine, theirs)
    else:
        assert back.args == error.args
    assert vars(back) == vars(error)
    for name in ("code", "value", "errno", "filename", "name", "path", "msg", "lineno", "object", "reason"):
        assert getattr(back, name, None) == getattr(error, name, None), name


# --- exceptions come back as themselves


@pytest.mark.parametrize("name", [*h.EXCEPTIONS, *h.GROUPS])
def test_exceptions_come_back_as_themselves(way, name):
    back = way.error_of(h.raise_made, name)
    assert_same(back, {**h.EXCEPTIONS, **h.GROUPS}[name]())
    assert "raise_made" in [frame.name for frame in traceback.extract_tb(back.__traceback__)]
    if name == "with a cause":
        assert_same(back.__cause__, h.Coded(2, "before"))
    else:
        assert is_remote_traceback(back.__cause__)
        assert "raise_made" in back.__cause__.tb


def test_what_caused_an_exception_is_shown(way):
    back = way.error_of(h.raise_made, "with a cause")
    shown = "".join(traceback.format_exception(back))
    assert shown.index("Coded: 2: before") < shown.index("The above exception was the direct cause of")
    assert shown.count("Coded: 1: after") == 1


def test_notes_of_a_groups_members_are_in_the_remote_traceback(way):
    text = way.error_of(h.raise_made, "of odd members").__cause__.tb
    assert "| a note" in text and "| on the group" in text


def test_exceptions_of_local_classes_come_back(way):
    back = way.error_of(h.raise_local, 3)
    assert isinstance(back, h.Coded)
    assert type(back).__name__ == "Local"
    assert (str(back), back.code, back.extra()) == ("3: local", 3, 3)


def test_exceptions_of_the_main_script_come_back(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import plait\n"
        "class Coded(Exception):\n"
        "    def __init__(self, code, *, reason):\n"
        "        super().__init__(f'{code}: {reason}')\n"
        "        self.code = code\n"
        "def fail(x):\n"
        "    raise Coded(x, reason='odd')\n"
        "with plait.ProcessPoolExecutor(1) as pool:\n"
        "    for call in (pool.submit(fail, 1).result, lambda: list(pool.map(fail, [1])),\n"
        "                 lambda: list(plait.map(fail, [1], backend='processes', workers=1))):\n"
        "        try:\n"
        "            call()\n"
        "        except Coded as error:\n"
        "            print(type(error) is Coded, error, error.code)\n"
    )
    assert run_program(script).lines == ["True 1: odd 1"] * 3


# Built-in ones that were changed by hand go as pickle sends them, unless they are raised.
CHANGED = {"code set", "name that is unknown", "arguments changed"}


@pytest.mark.parametrize("name", [name for name in (*h.EXCEPTIONS, *h.GROUPS) if name not in CHANGED])
def test_exceptions_within_arguments_and_results_arrive_as_themselves(processes, name):
    error = {**h.EXCEPTIONS, **h.GROUPS}[name]()
    assert_same(processes.submit(w.identity, error).result(), error)
    left, right = processes.submit(w.identity, {"all": (error, h.Conn(errors=[error]))}).result()["all"]
    assert left is right.errors[0]
    assert_same(left, error)


def test_exceptions_among_a_maps_results_arrive_as_themselves(processes):
    errors = [h.Coded(i, "x") if i % 2 else h.KeywordOnly(hint=str(i)) for i in range(40)]
    for back, error in zip(processes.map(w.identity, errors, chunksize=20), errors, strict=True):
        assert_same(back, error)


def test_exceptions_of_local_classes_within_results_arrive(processes):
    error = processes.submit(h.give_local, 3).result()["error"]
    assert isinstance(error, h.Coded)
    assert (str(error), error.code) == ("3: local", 3)


# --- exceptions that hold what cannot travel come back without it, and say so


LEFT_OUT = "left out on the way from the worker: exception."


def test_attributes_that_cannot_travel_are_left_out_and_noted(way):
    back = way.error_of(h.raise_holding_locks, None)
    assert type(back) is h.Holding
    assert (str(back), back.name) == ("text", "x")
    assert not hasattr(back, "lock") and not hasattr(back, "deep")
    assert back.__notes__ == [
        "first",
        f"{LEFT_OUT}lock: {LOCK}",
        f"{LEFT_OUT}deep['conn'][0].lock: {LOCK}",
    ]


def test_arguments_that_cannot_travel_become_text(way):
    back = way.error_of(h.raise_lock_in_args, None)
    assert type(back) is ValueError
    assert back.args[::2] == ("text", 5)
    assert "_thread.lock" in back.args[1]
    assert back.__notes__ == [f"{LEFT_OUT}args[1]: {LOCK}"]


def test_attributes_nested_too_deeply_are_left_out(way):
    back = way.error_of(h.raise_deep_attribute, None)
    assert (type(back), back.code, hasattr(back, "deep")) == (h.Holding, 1, False)
    assert back.__notes__ == [f"{LEFT_OUT}deep: nested too deeply to be pickled"]


def test_attributes_that_would_not_arrive_are_left_out(way):
    back = way.error_of(h.raise_unreadable_attribute, None)
    assert (type(back), back.code, hasattr(back, "bad")) == (h.Holding, 1, False)
    assert back.__notes__ == [f"{LEFT_OUT}bad: SystemExit"]


def test_exceptions_that_hold_themselves_come_back(way):
    back = way.error_of(h.raise_holding_itself, None)
    assert back.me is back
    assert back.other.back is back
    assert not hasattr(back, "lock") and not hasattr(back.other, "lock")
    assert back.other.__notes__ == back.__notes__ == [f"{LEFT_OUT}lock: {LOCK}"]


def test_members_of_a_group_that_cannot_travel_leave_a_stand_in(way):
    back = way.error_of(h.raise_group_of_holders, None)
    assert type(back) is ExceptionGroup
    holding, coded, unsendable = back.exceptions
    assert holding.__notes__ == [f"{LEFT_OUT}lock: {LOCK}"]
    assert_same(coded, h.Coded(2, "fine"))
    assert type(unsendable) is plait.RemoteError
    assert unsendable.type_name.endswith("Unsendable") and unsendable.message == "cannot go"


def test_exceptions_whose_class_cannot_travel_leave_a_stand_in(way):
    back = way.error_of(h.raise_class_that_cannot_travel, None)
    assert type(back) is plait.RemoteError
    assert back.type_name == "hostile_exceptions.raise_class_that_cannot_travel.<locals>.Unsendable"
    assert back.message == f"cannot go (it could not be sent as itself: TypeError: {LOCK})"
    assert 'raise Unsendable("cannot go")' in back.traceback


# --- exceptions that misbehave


def test_an_exception_that_answers_nothing_leaves_a_stand_in(way):
    back = way.error_of(h.raise_untouchable, None)
    assert type(back) is plait.RemoteError
    assert back.type_name == "hostile_exceptions.Untouchable"
    assert back.message.startswith("x (it could not be sent as itself: SystemExit: asked for ")
    assert "in raise_untouchable" in back.traceback


def test_an_exception_without_text_comes_back(way):
    back = way.error_of(h.raise_mute, None)
    assert type(back) is h.Mute
    assert back.args == ("x",)
    assert "hostile_values.Mute: <exception str() failed>" in back.__cause__.tb


def test_an_exception_that_lies_about_its_class_comes_back(way):
    back = way.error_of(h.raise_fake, None)
    assert type(back) is h.Fake
    assert str(back) == "x"
    assert "in raise_fake" in BaseException.__dict__["__cause__"].__get__(back).tb


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "\udc80 alone", "\ud83d", "\x1b[31m", "grüße 日本", ""], ids=ascii
)
def test_any_text_comes_back(way, text):
    back = way.error_of(h.raise_text, text)
    assert type(back) is ValueError
    assert back.args == (text,)
    shown = text.encode("utf-8", "backslashreplace").decode()
    assert f"ValueError: {shown}" in back.__cause__.tb or not text


@pytest.mark.parametrize("name, count", [*((name, 100_000) for name in WAYS), ("submit", 100_000_000)])
def test_long_messages_come_back_whole_and_are_shown_short(name, count):
    with one_worker(name) as way:
        back = way.error_of(h.raise_long, count)
    assert type(back) is ValueError
    assert len(back.args[0]) == count
    assert f"[... {count - 65536} characters left out ...]" in back.__cause__.tb
    assert len(back.__cause__.tb) < 70_000


def test_recursion_is_shown_as_python_shows_it(way):
    back = way.error_of(h.recurse, 0)
    assert type(back) is RecursionError
    assert "more times]" in back.__cause__.tb
    assert len(back.__cause__.tb) < 5_000
    back = way.error_of(h.recurse_in_turns, 0)
    assert type(back) is RecursionError
    assert len(back.__cause__.tb) <= (256 << 10) + 100


def test_a_stack_beyond_pythons_limit_is_shown_by_its_ends(way):
    back = way.error_of(h.recurse_far, 5000)
    assert_same(back, KeyError("at the bottom"))
    text = back.__cause__.tb
    assert "frames left out ...]" in text
    # Its first frame, then its last.
    assert (
        text.index("in run") < text.index("frames left out") < text.index('raise KeyError("at the bottom")')
    )
    assert text.count("\n") < 100
