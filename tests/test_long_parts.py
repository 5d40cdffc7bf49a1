"""The parts of a long map, each by itself: what is out and what comes next, digests, the file, the lanes."""

import functools
import sqlite3
import subprocess
import sys

import long_runs as runs
import plait
import pytest
from plait._errors import CheckpointError
from plait._long.digest import digest
from plait._long.identity import identity
from plait._long.iterator import iterate
from plait._long.lanes import SerialLanes, ThreadLanes
from plait._long.ledger import Ledger
from plait._long.run import Run
from plait._long.source import Source
from plait._long.stretch import Order, Stretch
from plait._long.wishes import PLAIN, wishes

# --- what is out


def stretches(*lengths):
    first = 0
    for length in lengths:
        yield Stretch(first, [(n,) for n in range(first, first + length)], [])
        first += length


def test_in_order_the_first_that_was_sent_comes_first():
    order = Order(ordered=True)
    a, b, c = stretches(2, 1, 3)
    for each in (a, b, c):
        order.on_sent(each)
    order.on_over(b)
    assert (order.pop(), order.items, order.calling, order.head) == (None, 6, 2, a)
    order.on_over(a)
    assert (order.pop(), order.pop(), order.pop()) == (a, b, None)
    assert (order.items, order.calling) == (3, 1)


def test_without_order_the_first_that_ended_comes_first():
    order = Order(ordered=False)
    a, b, c = stretches(2, 1, 3)
    for each in (a, b, c):
        order.on_sent(each)
    for each in (c, a):
        order.on_over(each)
    assert (order.pop(), order.pop(), order.pop()) == (c, a, None)
    assert (order.items, order.calling, order.head) == (1, 1, b)


@pytest.mark.parametrize("ordered", [True, False])
def test_parts_stand_where_the_whole_stood(ordered):
    order = Order(ordered)
    a, b, c = stretches(1, 3, 1)
    for each in (a, b, c):
        order.on_sent(each)
    parts = [b.part(0, 1), b.part(2, 3)]
    order.on_split(b, parts)
    assert list(order) == [a, *parts, c]
    assert [each.first for each in order] == [0, 1, 3, 4]
    # One item was in no part.
    assert (order.items, order.calling) == (4, 4)
    for each in list(order):
        order.on_over(each)
    assert [order.pop() for _ in range(5)] == [a, *parts, c, None]
    assert (order.items, order.calling) == (0, 0)


# --- inputs


def test_what_is_put_back_comes_next():
    source = Source((range(10),), None)
    first = source.take(4)
    assert [call for (call,) in first.calls] == [0, 1, 2, 3] and source.left == 6
    source.put_back(first.part(2, 4))
    assert source.left == 8
    assert source.take(1).calls == [(2,)]
    assert source.take(5).calls == [(3,)]
    assert source.take(5).first == 4
    assert source.take(5).calls == [(9,)]
    assert source.take(5) is None and source.left == 0


# --- digests

VALUES = """[{'b', 'a', 'c', 'long enough'}, frozenset(range(99)), {'k': {1, 'x'}}, [({'p', 'q'}, 2.5)],
    Fraction(1, 3), OrderedDict(a={'x', 'y'}), abs, lambda x: {x, 'a', 'b'}, None, True, 1, 1.0, '1', b'1',
    10**50]"""
DIGESTS = f"""
from collections import OrderedDict
from fractions import Fraction
from plait._long.digest import digest
print([digest(value).hex() for value in {VALUES}])
"""


def test_digests_are_the_same_in_another_run():
    said = set()
    for seed in "017":
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env={**runs.ENV, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1
    digests = eval(said.pop())
    assert len(set(digests)) == len(digests)


def test_whether_texts_are_one_object_does_not_matter():
    text = "a text"
    twin = "".join(["a ", "text"])
    assert text is not twin

    class Holder:
        def __reduce__(self):
            return tuple, (self.held,)

    one, two = Holder(), Holder()
    one.held, two.held = [text, text], [text, twin]
    assert digest(one) == digest(two)
    assert digest((text, [text])) == digest((twin, [text]))


def test_values_that_look_alike_differ():
    alike = [
        1,
        True,
        1.0,
        "1",
        b"1",
        (1,),
        [1],
        {1},
        {1: 1},
        ((1,),),
        (1, 1),
        ("a", "b"),
        ("ab",),
        ("", "ab"),
        -1,
        0,
    ]
    assert len({digest(value) for value in alike}) == len(alike)


def test_a_function_that_knows_itself():
    def countdown(n):
        return n and countdown(n - 1)

    assert identity(countdown) == identity(countdown)
    assert identity(functools.partial(countdown, 1)) != identity(functools.partial(countdown, 2))


def test_what_plait_task_says_is_no_other_function():
    assert (
        identity(plait.task(abs, shares_state=False)).code
        == identity(plait.task(abs, shares_state=True)).code
    )


# --- the file


class Interrupted:
    """A connection whose next commit is interrupted, before or after it is made."""

    def __init__(self, base, when):
        self._base = base
        self._when = when

    def execute(self, sql, *args):
        if sql != "COMMIT" or self._when is None:
            return self._base.execute(sql, *args)
        when, self._when = self._when, None
        if when == "after":
            self._base.execute(sql)
        raise KeyboardInterrupt

    def __getattr__(self, name):
        return getattr(self._base, name)


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupted_write_is_made_once(when, tmp_path):
    path = str(tmp_path / "results.ckpt")
    ledger = Ledger(path, identity(runs.double))
    for n in range(5):
        ledger.keep(n, digest((n,)), 2 * n)
    ledger._base = Interrupted(ledger._base, when)
    with pytest.raises(KeyboardInterrupt):
        ledger.write()
    ledger.keep(5, digest((5,)), 10)
    ledger.close()
    ledger = Ledger(path, identity(runs.double))
    assert [ledger.find(n, digest((n,))) for n in range(7)] == [*[(2 * n,) for n in range(6)], None]
    with pytest.raises(CheckpointError, match="item 2 is not what it was"):
        ledger.find(2, digest((3,)))
    ledger.close()


def test_a_result_that_is_too_large(tmp_path):
    path = str(tmp_path / "results.ckpt")
    ledger = Ledger(path, identity(runs.double))
    ledger._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    ledger.keep(0, digest((0,)), b"." * 5000)
    with pytest.raises(CheckpointError, match=r"item 1 has 1000\d\d bytes"):
        ledger.keep(1, digest((1,)), b"." * 100_000)
    ledger.close()
    ledger = Ledger(path, identity(runs.double))
    assert ledger.find(0, digest((0,))) == (b"." * 5000,)
    ledger.close()


# --- lanes


def test_calls_that_turn_out_long_are_decided_on_again():
    decided = []

    def decide(run):
        decided.append(run)
        return SerialLanes(runs.sleeping, True, run.arrived, 1e-9)

    options = wishes("skip", True, None, None)
    assert options.any and not PLAIN.any
    run = Run(Source((range(5),), None), options, None, decide, None)
    assert list(iterate(run)) == list(range(5))
    assert len(decided) > 1


class Answered(plait.Future):
    """A future whose result, which is there, is asked for at the moment of a Ctrl-C."""

    asked = 0

    def result(self, timeout=None):
        self.asked += 1
        if self.asked == 1:
            raise KeyboardInterrupt
        return super().result(timeout)


def test_an_interrupt_is_no_result(tmp_path):
    """It is raised at once, whatever comes before in the order; what had arrived is in the file."""
    path = str(tmp_path / "results.ckpt")
    futures = [plait.Future(), Answered()]
    futures[1].set_result(7)

    def decide(run):
        waiting = iter(futures)
        return ThreadLanes(
            lambda fn, x: next(waiting), runs.double, lambda: 2, run.arrived, lambda idle: None
        )

    ledger = Ledger(path, identity(runs.double))
    results = iterate(Run(Source((range(2),), ledger), PLAIN, ledger, decide, None))
    with pytest.raises(KeyboardInterrupt):
        next(results)
    ledger = Ledger(path, identity(runs.double))
    assert ledger.find(1, digest((1,))) == (7,)
    ledger.close()
