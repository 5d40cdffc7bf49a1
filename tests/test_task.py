"""`plait.task`: what it marks, what reads it, and that a marked function goes to workers as before."""

import functools
import inspect
import operator
import pickle
import types

import plait
import pytest
import workloads as w
from plait._task import said


def double(x):
    """Twice as much."""
    return 2 * x


@plait.task(shares_state=False)
def marked(x: int, y: int = 1) -> int:
    """A marked function."""
    return x + y


class Marked:
    @plait.task(shares_state=True)
    def method(self, x):
        return x

    @plait.task(shares_state=False)
    def __call__(self, x):
        return x


class Rigid:
    __slots__ = ("n",)

    def __init__(self, n=3):
        self.n = n

    def __call__(self, x):
        return self.n * x


class Forgetful:
    def __setattr__(self, name, value):
        pass

    def __call__(self, x):
        return x


rigid = plait.task(Rigid(4), shares_state=False)
# As a decorator leaves it under the name of what it decorates.
rigid.__module__, rigid.__qualname__ = __name__, "rigid"


@pytest.fixture
def function():
    return types.FunctionType(double.__code__, globals(), "double")


@pytest.mark.parametrize("shares_state", [True, False])
def test_a_function_comes_back_as_it_is_and_marked(function, shares_state):
    assert said(function) is None
    assert plait.task(function, shares_state=shares_state) is function
    assert said(function) is shares_state
    assert function(2) == 4


def test_what_was_said_is_taken_back(function):
    plait.task(function, shares_state=True)
    assert plait.task(function) is function
    assert said(function) is None
    mark = plait.task(len, shares_state=True)
    assert said(plait.task(mark)) is None


def test_as_a_decorator():
    assert said(marked) is False
    assert isinstance(marked, types.FunctionType)
    assert (marked.__name__, marked.__doc__, marked(1)) == ("marked", "A marked function.", 2)


@pytest.mark.parametrize("brackets", [lambda fn: plait.task(fn), lambda fn: plait.task()(fn)])
def test_nothing_said_is_nothing(function, brackets):
    assert brackets(function) is function
    assert said(function) is None


@pytest.mark.parametrize(
    "kind", [len, operator.itemgetter(1), [].append, double.__call__, Rigid(), Forgetful()], ids=repr
)
def test_what_takes_no_attribute_is_stood_for(kind):
    task = plait.task(kind, shares_state=True)
    assert task is not kind
    assert said(task) is True
    assert said(kind) is None
    assert said(plait.task(task, shares_state=False)) is False
    assert repr(kind) in repr(task)
    assert task.__wrapped__ is kind


def test_what_stands_for_a_function_looks_like_it():
    task = plait.task(len, shares_state=True)
    assert (task.__name__, task.__doc__, task.__module__) == ("len", len.__doc__, "builtins")
    assert inspect.signature(task) == inspect.signature(len)
    assert task("abc") == 3
    assert functools.partial(task)("ab") == 2


def test_it_pickles_as_what_it_stands_for():
    assert pickle.loads(pickle.dumps(plait.task(len, shares_state=True))) is len
    assert pickle.loads(pickle.dumps(plait.task([1, 2].index, shares_state=True)))(2) == 1
    # Under its own name it is found there.
    assert pickle.loads(pickle.dumps(rigid)) is rigid


def test_a_marked_function_pickles_by_name():
    assert pickle.loads(pickle.dumps(marked)) is marked


def decorated(fn):
    @functools.wraps(fn)
    def call(*args):
        return fn(*args)

    return call


@pytest.mark.parametrize(
    "fn, expected",
    [
        (functools.partial(marked, 1), False),
        (functools.partial(functools.partial(marked, 1), y=1), False),
        (Marked().method, True),
        (Marked.method, True),
        (Marked(), False),
        (functools.partial(Marked().method, 1), True),
        (decorated(marked), False),
        (functools.lru_cache(marked), False),
        (plait.task(functools.partial(marked, 1), shares_state=True), True),
        (rigid, False),
        (double, None),
        (len, None),
        (Marked, None),
        (plait.task(type("Made", (), {}), shares_state=True), True),
        (type("Derived", (plait.task(type("Base", (), {}), shares_state=True),), {}), None),
        (3, None),
    ],
)
def test_what_was_said_is_seen_through_wrappers(fn, expected):
    assert said(fn) is expected


def test_a_circle_of_wrappers_ends(function):
    function.__wrapped__ = function
    assert said(function) is None


def test_reading_runs_nothing_of_the_users():
    class Loud:
        def __getattribute__(self, name):
            raise AssertionError(name)

        def __call__(self):
            pass

    assert said(Loud()) is None
    assert said(functools.partial(Loud())) is None


@pytest.mark.parametrize("wrong", [1, "no", [], 0.0])
def test_other_answers_are_refused(wrong):
    with pytest.raises(TypeError, match="shares_state must be True, False or None"):
        plait.task(double, shares_state=wrong)


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="needs a function, not int"):
        plait.task(3, shares_state=True)
    with pytest.raises(TypeError):
        plait.task(double, cache=False)


@pytest.mark.parametrize(
    "fn, arg, result",
    [
        (w.add_one, 1, 2),
        (lambda x: x + 3, 1, 4),
        (len, "abc", 3),
        (operator.itemgetter(0), "abc", "a"),
        (Rigid(5), 2, 10),
        ("abc".index, "c", 2),
    ],
)
def test_it_goes_to_workers(processes, fn, arg, result):
    task = plait.task(fn, shares_state=False)
    try:
        assert processes.submit(task, arg).result() == result
        assert list(processes.map(task, [arg] * 3)) == [result] * 3
    finally:
        plait.task(fn)


def test_marking_a_function_changes_nothing_of_how_it_goes(processes):
    local = lambda x: x + 3
    assert processes.submit(local, 1).result() == 4
    plait.task(local, shares_state=False)
    assert processes.submit(local, 2).result() == 5
