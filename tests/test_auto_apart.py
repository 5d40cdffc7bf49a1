"""What keeps calls from sub-interpreters where plait chooses, as seen before a module is loaded."""

import sys

import interpreted as i
import plait
import pytest
from outside import run_program
from plait._auto import apart

needs_3_14 = pytest.mark.skipif(sys.version_info < (3, 14), reason="sub-interpreters came with Python 3.14")


@pytest.fixture(autouse=True)
def no_verdicts():
    apart._verdicts.clear()
    yield
    apart._verdicts.clear()


@needs_3_14
def test_what_would_not_come_back_keeps_calls_from_there():
    code = """
import contextvars, logging
from plait._auto import apart
print(apart.pool_state(contextvars.copy_context()))
request = contextvars.ContextVar("request")
token = request.set(17)
print(apart.pool_state(contextvars.copy_context()))
request.reset(token)
logging.basicConfig()
print(apart.pool_state(contextvars.copy_context()))
"""
    assert run_program("-c", code).lines == ["cold", "None", "None"]


def verdict(fn, calls=(), results=()):
    return apart.why_not(fn, None, list(calls), list(results))


def test_plain_python_code_may_go_there():
    assert verdict(i.spin, [(100,)], [5]) is None
    assert verdict(i.where) is None
    assert verdict(lambda n: n + 1) is None
    import json

    assert verdict(json.loads, [("1",)], [1]) is None


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (i.say, r"it prints \(`print`\)"),
        (lambda n: __import__("os").chdir("/"), r"belongs to the whole process \(`chdir`\)"),
        (lambda n: plait.cpu_count() + n, "it uses plait, whose core refuses"),
    ],
)
def test_what_shows_in_this_process_alone_stays(fn, why):
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(verdict(fn))


def test_compiled_modules_stay_out():
    import numpy

    why = r"it needs numpy\.\S+, which is compiled, and a fault of it would end the program"
    for fn, calls, results in [
        (numpy.sum, [], []),
        (lambda n: numpy.sum(n), [], []),
        (i.load_numpy, [], []),
        (i.spin, [(numpy.int64(3),)], []),
        (abs, [], [numpy.int64(3)]),
    ]:
        apart._verdicts.clear()
        with pytest.raises(AssertionError, match=why):
            raise AssertionError(verdict(fn, calls, results))


def test_a_function_is_looked_at_once(monkeypatch):
    looked = []
    monkeypatch.setattr(apart, "_found", lambda *_: looked.append(1))
    for _ in range(3):
        assert verdict(i.spin) is None
    assert looked == [1]
    apart.keep(i.spin, "it did not load")
    assert verdict(i.spin) == "it did not load"


def test_much_to_load_stays_out(monkeypatch, tmp_path):
    monkeypatch.setattr(apart, "_MODULES", 3)
    for number in range(4):
        (tmp_path / f"chain_{number}.py").write_text(f"import chain_{number + 1}\n" if number < 3 else "")
    (tmp_path / "chain_3.py").write_text("def last():\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import chain_0
    import chain_3

    assert verdict(chain_3.last) is None
    chain_0.first = eval("lambda: 1", vars(chain_0))
    assert verdict(chain_0.first) == "it needs more than 3 modules, which each interpreter would have to load"


def test_what_cannot_be_looked_at_stays(monkeypatch):
    def fail(*_):
        raise LookupError("nothing there")

    monkeypatch.setattr(apart, "_found", fail)
    assert verdict(i.spin) == "it could not be looked at (LookupError: nothing there)"


def test_the_oldest_verdict_is_forgotten(monkeypatch):
    monkeypatch.setattr(apart, "_MOST", 2)
    for fn in (i.spin, i.mark, i.where):
        apart.keep(fn, None)
    assert len(apart._verdicts) == 2
