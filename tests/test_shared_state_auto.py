"""A function that shares state stays in this process when plait chooses, and what it does there is done."""

import functools
import os

import plait
import pytest


def busy():
    """Long enough that processes would be worth it for many calls."""
    return sum(i * i for i in range(10_000))


def mapped(fn, items):
    return list(plait.map(fn, items, backend="auto"))


def submitted(fn, items):
    with plait.Executor("auto") as executor:
        return [future.result() for future in [executor.submit(fn, item) for item in items]]


@pytest.fixture(params=[mapped, submitted])
def run(request):
    return request.param


def test_what_is_appended_is_there(run):
    seen = []

    def append(n):
        busy()
        seen.append(n)
        return n

    assert run(append, range(200)) == list(range(200))
    assert sorted(seen) == list(range(200))


def test_arguments_are_changed(run):
    def change(item):
        busy()
        item["done"] = True

    items = [{"number": n} for n in range(200)]
    run(change, items)
    assert all(item["done"] for item in items)


def test_methods_change_their_objects(run):
    class Count:
        def __init__(self):
            self.calls = []

        def call(self, n):
            busy()
            self.calls.append(n)

    count = Count()
    run(count.call, range(200))
    assert len(count.calls) == 200


def test_what_was_said_counts(run):
    def where(n):
        busy()
        return os.getpid()

    said = plait.task(functools.partial(where), shares_state=True)
    assert set(run(said, range(200))) == {os.getpid()}


def test_the_choice_says_why():
    seen = []

    def append(n):
        busy()
        seen.append(n)

    choice = plait.explain(append, range(200))
    assert choice.backend != "processes"
    assert choice.figures["shares_state"] == "it appends to the list `seen` of its closure"
    assert "it appends to the list `seen` of its closure" in str(choice)
