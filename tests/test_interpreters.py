"""`backend="interpreters"`: calls in sub-interpreters, and what says that they cannot be made there."""

import builtins
import os
import sys
import threading

import interpreted as i
import plait
import pytest
import workloads as w
from outside import run_program, until

needs_3_14 = pytest.mark.skipif(sys.version_info < (3, 14), reason="sub-interpreters came with Python 3.14")


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python has them")
@pytest.mark.parametrize(
    "ask",
    [
        plait.Executor,
        lambda backend: plait.map(abs, [1], backend=backend),
        lambda backend: plait.compare(abs, [1], backends=[backend]),
    ],
)
def test_an_older_python_says_what_it_lacks(ask):
    with pytest.raises(ValueError, match=r"'interpreters' needs Python 3\.14 or newer, and this is 3"):
        ask("interpreters")


def interpreters_alive():
    from concurrent import interpreters

    return len(interpreters.list_all())


@pytest.fixture
def pool():
    with plait.Executor("interpreters", 2) as executor:
        yield executor


@needs_3_14
def test_calls_run_in_interpreters_of_this_process(pool):
    found = {future.result() for future in [pool.submit(i.where) for _ in range(20)]}
    assert {pid for _, pid in found} == {os.getpid()}
    assert 0 not in {number for number, _ in found}
    assert pool.submit(w.add, 1, b=2).result() == 3
    shift = 5
    assert pool.submit(lambda x: x + shift, 1).result() == 6
    assert list(pool.map(w.add_one, range(10), chunksize=3)) == list(range(1, 11))
    assert pool.stats().backend == "interpreters"


@needs_3_14
def test_a_worker_keeps_what_a_call_leaves_and_the_program_does_not_see_it():
    with plait.Executor("interpreters", 1, initializer=i.set_mark, initargs=(7,)) as executor:
        assert [executor.submit(i.mark).result() for _ in range(3)] == [8, 9, 10]
    assert not hasattr(builtins, "marked")


@needs_3_14
def test_exceptions_arrive_with_their_traceback(pool):
    error = pool.submit(i.fail, "here").exception()
    assert (type(error), error.args) == (LookupError, ("here",))
    assert "raise LookupError(text)" in str(error.__cause__)


@needs_3_14
def test_what_cannot_be_sent_fails_alone(pool):
    wrong = pool.submit(w.identity, threading.Lock())
    with pytest.raises(plait.NotPicklable, match=r"args\[0\]: cannot pickle '_thread.lock'"):
        wrong.result()
    with pytest.raises(TypeError, match=r"cannot pickle '_thread.lock'"):
        pool.submit(i.odd_result, 1).result()
    assert pool.submit(abs, -1).result() == 1


@needs_3_14
@pytest.mark.parametrize(
    ("fn", "module"), [(i.load_numpy, "numpy._core._multiarray_umath"), (i.of_core, "plait._core")]
)
def test_a_call_that_loads_what_refuses_names_it(pool, fn, module):
    with pytest.raises(ImportError, match=r"refuses to be loaded there\. Use backend 'processes'") as told:
        pool.submit(fn, 1).result()
    assert f"{module}, which it needs" in str(told.value)
    assert told.value.name == module


@needs_3_14
def test_a_map_says_it_before_any_call():
    import numpy

    def read():
        raise AssertionError("an input was read")
        yield

    with pytest.raises(
        ImportError, match=r"sum cannot run in a sub-interpreter: numpy\._core\._multiarray_umath"
    ):
        plait.map(numpy.sum, read(), backend="interpreters")


@needs_3_14
def test_maps():
    how = {"backend": "interpreters", "workers": 2}
    assert list(plait.map(w.add, range(50), range(50), **how)) == [2 * n for n in range(50)]
    assert list(plait.map(w.add_one, range(50), chunksize=7, buffersize=20, **how)) == list(range(1, 51))
    endless = iter(int, 1)
    assert next(plait.map(w.add_one, endless, **how)) == 1
    with pytest.raises(LookupError, match="first"):
        list(plait.map(i.fail, ["first"], retries=1, **how))


@needs_3_14
@pytest.mark.parametrize(
    "asked",
    [{"seed": 1}, {"errors": "skip"}, {"ordered": False}, {"progress": True}, {"capture_output": True}],
)
def test_what_is_not_there_is_refused(asked):
    with pytest.raises(ValueError, match="not there on backend 'interpreters'"):
        plait.map(abs, [1], backend="interpreters", **asked)


@needs_3_14
def test_coroutine_functions_and_amap_are_refused(pool):
    async def fetch():
        pass

    with pytest.raises(TypeError, match="interpreters"):
        pool.submit(fetch)
    with pytest.raises(ValueError, match="amap does not have backend 'interpreters'"):
        plait.amap(abs, [1], backend="interpreters")


@needs_3_14
def test_a_call_over_its_time_is_abandoned(gate):
    before = interpreters_alive()
    with plait.Executor("interpreters", 1, timeout=0.2) as executor:
        late = executor.submit(w.pass_gate, gate.folder, "late")
        with pytest.raises(plait.TaskTimeout):
            late.result()
        assert executor.options(timeout=None).submit(abs, -3).result() == 3
        gate.open()
    until(lambda: interpreters_alive() == before, "the end of the one that was abandoned")


@needs_3_14
def test_interpreters_end_with_their_pool(gate):
    before = interpreters_alive()
    with plait.Executor("interpreters", 2) as executor:
        futures = [executor.submit(w.pass_gate, gate.folder, name) for name in "ab"]
        gate.wait_for("a", "b")
        assert interpreters_alive() == before + 2
        gate.open()
        for future in futures:
            future.result()
    until(lambda: interpreters_alive() == before, "the end of the interpreters")


MAIN = """
import plait

def square(n):
    return n * n

print(list(plait.map(square, range(4), backend="interpreters")))
"""


@needs_3_14
def test_functions_of_the_main_script():
    ended = run_program("-c", MAIN)
    assert (ended.code, ended.out, ended.err) == (0, "[0, 1, 4, 9]\n", ""), ended


PLAIN = """
import concurrent.futures, math, os.path
import plait

LIMIT = 3
FIRST = concurrent.futures.FIRST_COMPLETED

def helper(n, by=2, *, more=LIMIT):
    "What it says."
    return n * by + more

def even(n):
    return n == 0 or odd(n - 1)

def odd(n):
    return n != 0 and even(n - 1)

def shifted(by):
    def shift(n):
        return helper(n) + by
    return shift

def all_of_it(n):
    is_first = FIRST == concurrent.futures.FIRST_COMPLETED
    return helper(n), helper.__doc__, math.isqrt(n), os.path.basename("a/b"), even(n), is_first

class Point:
    def __init__(self, x):
        self.x = x

def of_a_class(n):
    return Point(n).x

class Callable:
    def __call__(self, n):
        return -n

with plait.Executor("interpreters", 1) as pool:
    for fn in (all_of_it, shifted(7), lambda n: helper(n, more=0), of_a_class, Callable(), odd):
        print(pool.submit(fn, 9).result() == fn(9), end=" ")
    loaded = pool.submit(lambda: "cloudpickle" in __import__("sys").modules)
    print(loaded.result(), pool.submit(lambda: __name__).result())
with plait.Executor("interpreters", 1) as pool:
    print(pool.submit(all_of_it, 9).result() == all_of_it(9), pool.submit(even, 4).result())
    print(pool.submit(lambda: "cloudpickle" in __import__("sys").modules).result())
"""


@needs_3_14
def test_plain_functions_of_the_script_need_no_cloudpickle():
    ended = run_program("-c", PLAIN)
    assert ended.err == "", ended
    assert ended.lines == ["True True True True True True True __main__", "True True", "False"]


@needs_3_14
def test_a_comparison_has_a_row_of_them():
    before = interpreters_alive()
    rows = plait.compare(w.add_one, range(10), 2, rounds=1, backends=["interpreters"]).rows
    assert [(row.backend, row.workers, row.failed_calls, row.error) for row in rows] == [
        ("serial", 1, 0, None),
        ("interpreters", 2, 0, None),
    ]
    assert interpreters_alive() == before
    import numpy

    rows = plait.compare(numpy.sum, [[1]], 1, rounds=1, backends=["interpreters"]).rows
    assert "numpy" in rows[1].error and "refuses to be loaded there" in rows[1].error
