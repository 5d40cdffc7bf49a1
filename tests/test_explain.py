"""`plait.explain`: the decision of a map, made on a few real calls, and nothing more."""

import itertools
import json
import time

import plait
import pytest
import workloads as w
from outside import until
from plait import ThreadPoolExecutor

pytestmark = pytest.mark.once


def test_a_few_calls_are_made_and_the_rest_is_left():
    made = []

    def count(n):
        made.append(n)
        time.sleep(0.005)
        return n

    choice = plait.explain(count, range(10_000))
    assert isinstance(choice, plait.Choice)
    assert made == list(range(len(made)))
    assert 1 <= len(made) < 100
    assert choice.backend == "threads"


def test_what_it_says():
    choice = plait.explain(time.sleep, [0.01] * 200)
    assert choice.workers > 10
    assert "threads" in str(choice).splitlines()[0]
    # On a busy machine the first call may not be over when enough was seen.
    assert choice.figures["wall"] >= 0.01 or choice.figures["unfinished"]
    assert choice.machine["cpus"] == plait.cpu_count()
    told = json.loads(choice.to_json())
    assert told["backend"] == "threads"
    assert {each["backend"] for each in told["candidates"]} == {"serial", "threads", "processes"}
    assert choice.runner_up is not None and choice.margin > 1
    assert "<table" in choice._repr_html_()


def test_an_endless_input_is_asked_for_a_few():
    read = []

    def items():
        for n in itertools.count():
            read.append(n)
            yield n

    assert plait.explain(w.add_one, items()).backend in ("serial", "processes")
    assert len(read) < 1_000_000


def test_several_iterables_and_workers():
    assert plait.explain(w.add, [1, 2, 3], [4, 5, 6]).backend == "serial"
    assert plait.explain(time.sleep, [0.01] * 50, workers=3).workers <= 3


def test_a_long_call_is_not_waited_for():
    before = time.perf_counter()
    choice = plait.explain(time.sleep, [3, 3, 3, 3])
    assert choice.backend == "threads"
    # Three seconds are what waiting would take.
    assert time.perf_counter() - before < 2.5


def test_what_is_raised_is_raised():
    with pytest.raises(ZeroDivisionError):
        plait.explain(lambda n: 1 / n, [0])

    def broken():
        yield from ()
        raise LookupError("no input")

    with pytest.raises(LookupError, match="no input"):
        plait.explain(w.add_one, broken())


def test_a_thread_that_comes_late_is_waited_for(monkeypatch):
    """On a busy machine it may get no processor for longer than the measuring takes."""
    late = ThreadPoolExecutor.submit

    def submit(pool, fn, *args):
        def come_late(*args):
            time.sleep(0.1)
            return fn(*args)

        return late(pool, come_late, *args)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
    choice = plait.explain(w.add_one, range(100))
    assert choice.figures["calls"] > 0


def test_what_cannot_be_sent_is_found_behind_much_that_can():
    def count(item):
        numbers, _lines = item
        for _ in range(20_000):
            pass
        return len(numbers)

    def is_found():
        # The trial is given up after some milliseconds, which others may need for themselves.
        choice = plait.explain(count, [(list(range(100_000)), (line for line in ()))] * 50)
        return choice.figures["sendable"] is False and choice.backend != "processes"

    until(is_found, "what cannot be sent")


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="there are no items"):
        plait.explain(w.add_one, [])
    with pytest.raises(TypeError, match="at least one iterable"):
        plait.explain(w.add_one)
    with pytest.raises(ValueError, match="workers must be an integer of at least 1"):
        plait.explain(w.add_one, [1], workers=0)
