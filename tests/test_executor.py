"""What every executor promises, on every backend: calls, results, exceptions, shutting down."""

import concurrent.futures as cf
import functools
import math
import operator
import traceback

import numpy
import plait
import pytest
import workloads as w
from outside import until

# --- calls and results


def test_is_a_stdlib_executor(executor):
    assert isinstance(executor, cf.Executor)


def test_arguments_of_all_kinds_arrive(executor):
    assert executor.submit(w.arguments).result() == ((), {})
    assert executor.submit(w.arguments, 1, "two", three=3).result() == ((1, "two"), {"three": 3})
    taken = executor.submit(w.arguments, fn=1, self=2, args=3, kwargs=4)
    assert taken.result() == ((), {"fn": 1, "self": 2, "args": 3, "kwargs": 4})


VALUES = [
    None, True, False, 0, -1, 2**63 - 1, -(2**63), 2**64, 10**300, 0.0, -0.0, 1e308, math.inf, 1 + 2j,
    "", "text", "ü€😀", "\ud800", "a\0b", b"", b"bytes\0", bytearray(b"change"), (), (1,), (1, (2, (3, ()))),
    [], [1, [2, [3]]], {}, {"a": {"b": [1]}}, {1: 2, None: 3, (1, 2): 4}, set(), {1, 2}, frozenset({1}),
    range(5), slice(1, 2), ..., NotImplemented, int, dict, len, w.Counter(3), w.Counter, w.add_one, math,
    [None] * 1000, {str(n): n for n in range(1000)}, (1, "a", 2.5, None, b"x", True),
]  # fmt: skip


def test_values_come_back_as_they_went(executor):
    futures = [executor.submit(w.identity, value) for value in VALUES]
    for future, value in zip(futures, VALUES):
        result = future.result()
        assert type(result) is type(value)
        assert result == value


def test_not_a_number_and_signs_survive(executor):
    assert math.isnan(executor.submit(w.identity, math.nan).result())
    assert math.copysign(1, executor.submit(w.identity, -0.0).result()) == -1
    assert executor.submit(w.identity, True).result() is True


def test_subclasses_of_plain_types_keep_their_type(executor):
    named = cf.wait([])  # a named tuple of the stdlib
    result = executor.submit(w.identity, named).result()
    assert type(result) is type(named)


def test_shared_and_recursive_values_keep_their_shape(executor):
    shared = [1]
    first, second = executor.submit(w.identity, [shared, shared]).result()
    assert first is second
    ring = []
    ring.append(ring)
    result = executor.submit(w.identity, ring).result()
    assert result[0] is result


@pytest.mark.parametrize("make", [w.blob, w.text], ids=["bytes", "str"])
def test_ten_megabytes_each_way(executor, make):
    value = make(10_000_000)
    assert executor.submit(w.count, value).result() == 10_000_000
    assert executor.submit(make, 10_000_000).result() == value
    assert [executor.submit(w.identity, value).result() == value for _ in range(3)] == [True] * 3


def test_numpy_arrays_each_way(executor):
    array = numpy.arange(1_000_000, dtype="float64").reshape(1000, 1000)
    assert executor.submit(numpy.sum, array).result() == array.sum()
    assert numpy.array_equal(executor.submit(operator.mul, array, 2).result(), array * 2)


# --- whatever can be called


def make_closure(n):
    def closure(x):
        return x + n

    return closure


def recursive(n):
    def factorial(k):
        return 1 if k <= 1 else k * factorial(k - 1)

    return factorial(n)


CALLABLES = {
    "function": (w.add_one, 6),
    "lambda": (lambda x: x + 1, 6),
    "closure": (make_closure(1), 6),
    "local recursion": (recursive, 120),
    "default argument": (lambda x, y=2: x * y, 10),
    "keyword-only default": (lambda x, *, y=3: x * y, 15),
    "partial": (functools.partial(w.add, 10), 15),
    "partial of a lambda": (functools.partial(lambda a, b: a - b, 10), 5),
    "bound method": (w.Counter(3).plus, 8),
    "class method": (w.Counter.named, "Counter5"),
    "static method": (w.Counter.halve, 2),
    "callable instance": (w.Counter(3), 15),
    "class": (w.Counter, w.Counter(5)),
    "builtin": (abs, 5),
    "builtin class": (str, "5"),
    "method of a builtin": ("x".__mul__, "xxxxx"),
    "operator": (operator.neg, -5),
    "method caller": (operator.methodcaller("bit_length"), 3),
    "decorated without wraps": (w.tenfold, 50),
    "decorated with wraps": (w.tenfold_wrapped, 50),
    "lru_cache": (w.cached, 105),
    "function of the standard library": (math.factorial, 120),
}


@pytest.mark.parametrize("name", CALLABLES)
def test_callables(executor, name):
    function, expected = CALLABLES[name]
    assert executor.submit(function, 5).result() == expected
    assert list(executor.map(function, [5, 5])) == [expected, expected]


def test_nested_static_method(executor):
    assert executor.submit(w.Outer.Inner.seven).result() == 7


def test_a_closure_sees_its_variables_as_they_are_at_each_submit(executor):
    seen = []
    for n in range(5):
        seen.append(executor.submit(lambda: n * n).result())
    assert seen == [0, 1, 4, 9, 16]


def test_class_from_a_function_keeps_its_identity(executor):
    class Local:
        def __init__(self, x):
            self.x = x

        def double(self):
            return Local(self.x * 2)

    result = executor.submit(Local(4).double).result()
    assert type(result) is Local
    assert result.x == 8


def test_what_cannot_be_called_fails_its_future_alone(executor):
    with pytest.raises(TypeError, match="not callable"):
        executor.submit(5).result()
    with pytest.raises(TypeError):
        executor.submit(w.add_one).result()
    assert executor.submit(w.add_one, 1).result() == 2


def test_submit_without_a_function_is_an_error(executor):
    with pytest.raises(TypeError):
        executor.submit()


# --- exceptions

RAISING = {
    w.fail: (ValueError, "on purpose"),
    w.raise_chained: (RuntimeError, "second"),
    w.raise_noted: (ValueError, "noted"),
    w.raise_group: (ExceptionGroup, "several (2 sub-exceptions)"),
    w.raise_last_words: (w.LastWords, "bye"),
    w.raise_stop: (StopIteration, "not an end"),
}


@pytest.mark.parametrize("function", RAISING, ids=lambda f: f.__name__)
def test_exceptions_keep_type_and_text(executor, function):
    cls, text = RAISING[function]
    future = executor.submit(function)
    error = future.exception()
    assert type(error) is cls
    assert str(error) == text
    with pytest.raises(cls) as caught:
        future.result()
    assert caught.value is error
    assert future.done() and not future.cancelled()


@pytest.mark.parametrize("function", [w.raise_odd, w.raise_keyword], ids=lambda f: f.__name__)
def test_exceptions_with_odd_constructors_say_what_they_were(face, function):
    cls, text = {w.raise_odd: (w.OddError, "7: odd"), w.raise_keyword: (w.KeywordError, "use force")}[
        function
    ]
    with face() as executor:
        error = executor.submit(function).exception()
        if face.backend == "processes" and type(error) is not cls:
            # Their own pickle cannot be read; what stands for them tells all there is to tell.
            assert type(error) is plait.RemoteError
            assert error.type_name == f"workloads.{cls.__name__}"
            assert text in error.message
            assert function.__name__ in error.traceback
        else:
            assert type(error) is cls
            assert str(error) == text
        assert executor.submit(w.add_one, 1).result() == 2


def test_notes_and_parts_of_exceptions_travel(executor):
    assert executor.submit(w.raise_noted).exception().__notes__ == ["see page 9"]
    group = executor.submit(w.raise_group).exception()
    assert [type(part) for part in group.exceptions] == [ValueError, TypeError]
    error = executor.submit(w.raise_itself, FileNotFoundError(2, "no such thing", "a.txt")).exception()
    assert (error.errno, error.filename) == (2, "a.txt")


def test_exception_of_a_class_made_on_the_way(executor):
    error = executor.submit(w.raise_local).exception()
    assert isinstance(error, ValueError)
    assert type(error).__name__ == "LocalError"
    assert str(error) == "from inside"


def test_traceback_shows_the_lines_that_raised(executor):
    error = executor.submit(w.deep_error).exception()
    shown = "".join(traceback.format_exception(error))
    assert "workloads.py" in shown
    assert "in _deeper" in shown
    assert "this very line is looked for in the traceback" in shown
    chained = "".join(traceback.format_exception(executor.submit(w.raise_chained).exception()))
    assert "KeyError: 'first'" in chained
    assert "raise KeyError" in chained


def test_an_exception_as_a_result_is_a_result(executor):
    future = executor.submit(w.identity, ValueError("not raised"))
    assert isinstance(future.result(), ValueError)
    assert future.exception() is None


@pytest.mark.parametrize(
    "function", [w.raise_interrupt, w.raise_exit], ids=["KeyboardInterrupt", "SystemExit"]
)
def test_a_call_that_wants_to_end_the_program_ends_only_itself(executor, function):
    expected = KeyboardInterrupt if function is w.raise_interrupt else SystemExit
    with pytest.raises(expected) as caught:
        executor.submit(function).result()
    assert caught.value.args == (("by hand",) if expected is KeyboardInterrupt else (3,))
    assert [executor.submit(w.add_one, n).result() for n in range(10)] == list(range(1, 11))


# --- starting


def test_initializer_runs_once_in_each_worker(pool_face, gate):
    with pool_face(2, initializer=w.set_state, initargs=("key", "value")) as pool:
        futures = [pool.submit(w.pass_gate, gate.folder, n) for n in range(2)]
        gate.wait_for(0, 1)
        gate.open()
        cf.wait(futures)
        for value, _, _ in [
            future.result() for future in [pool.submit(w.get_state, "key") for _ in range(20)]
        ]:
            assert value == "value"


def test_initializer_may_be_a_lambda(face):
    with face(1, initializer=lambda: w.set_state("lambda", 1)) as executor:
        assert executor.submit(w.get_state, "lambda").result()[0] == 1


def test_initializer_that_raises_breaks_the_pool_and_nobody_hangs(pool_face, caplog):
    pool = pool_face(2, initializer=w.bad_initializer)
    futures = []
    try:
        for _ in range(20):
            futures.append(pool.submit(w.add_one, 1))
    except pool_face.broken:
        pass
    assert futures
    for future in futures:
        with pytest.raises(pool_face.broken) as caught:
            future.result()
    assert "no licence server" in f"{caught.value} {caplog.text}"

    def refused():
        try:
            return isinstance(pool.submit(w.add_one, 1).exception(), pool_face.broken) and False
        except pool_face.broken:
            return True

    until(refused, "a pool that takes no more")
    pool.shutdown()


def test_initializer_must_be_callable(pool_face):
    with pytest.raises(TypeError, match="initializer must be a callable"):
        pool_face(1, initializer=5)


@pytest.mark.parametrize("bad", [0, -1])
def test_at_least_one_worker(pool_face, bad):
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        pool_face(bad)


# --- one executor for all


@pytest.mark.parametrize("bad", ["nonsense", "", None, 5, "spark://host:1"])
def test_an_unknown_backend_is_one_clear_error(bad):
    with pytest.raises(ValueError) as caught:
        plait.Executor(bad)
    assert repr(bad) in str(caught.value)
    assert (
        "'processes'" in str(caught.value)
        and "'threads'" in str(caught.value)
        and "'serial'" in str(caught.value)
    )


@pytest.mark.parametrize("backend", ["serial", "threads"])
@pytest.mark.parametrize(
    "option", [{"max_tasks_per_child": 1}, {"preload": ["json"]}], ids=["max_tasks_per_child", "preload"]
)
def test_options_of_processes_are_refused_elsewhere(backend, option):
    with pytest.raises(ValueError, match="processes"):
        plait.Executor(backend, **option)


def test_a_subclass_may_override_submit(backend):
    class Loud(plait.Executor):
        def submit(self, fn, /, *args, **kwargs):
            return super().submit(fn, *args, **kwargs)

    with Loud(backend, 1) as executor:
        assert executor.submit(w.add_one, 1).result() == 2
        assert list(executor.map(w.add_one, [1, 2])) == [2, 3]
