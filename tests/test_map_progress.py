"""`plait.map(progress=)` on every backend: counts, the bar, and callables that raise."""

import io
import itertools
import sys
import warnings

import long_runs as runs
import plait
import pytest
import workloads as w
from long_maps import BACKENDS
from long_maps import pmap as pmap
from outside import finish, start_program

pytestmark = pytest.mark.once


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
@pytest.mark.parametrize("chunksize", [None, 7])
def test_counts(pmap, ordered, chunksize):
    seen = []
    results = pmap(
        runs.odd_fails, range(101), errors="skip", ordered=ordered, chunksize=chunksize, progress=seen.append
    )
    assert len(list(results)) == 51
    assert all(type(counts) is plait.Progress for counts in seen)
    assert seen[0][:3] == (0, 0, 101)
    assert seen[-1][:4] == (101, 50, 101, 0)
    for before, after in itertools.pairwise(seen):
        assert before.done <= after.done <= 101 and before.elapsed <= after.elapsed


def test_the_shortest_input_tells_the_total(pmap):
    seen = []
    assert len(list(pmap(w.add, range(20), [1] * 7, progress=seen.append))) == 7
    assert seen[-1].total == 7
    seen.clear()
    assert len(list(pmap(w.add, range(20), iter([1] * 7), progress=seen.append))) == 7
    assert seen[-1].total is None and seen[-1].done == 7


def test_a_map_that_is_closed_tells_for_the_last_time(pmap):
    seen = []
    results = pmap(runs.double, itertools.count(), progress=seen.append)
    next(results)
    results.close()
    told = len(seen)
    assert seen[-1].done >= 1
    results.close()
    assert len(seen) == told


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_it_is_told_while_nothing_ends(backend, gate):
    """Both workers are busy, and the callable hears so though no result comes."""
    seen = []

    def tell(counts):
        seen.append(counts)
        if counts.running == 2 and counts.done == 3:
            gate.open()

    names = [None, None, None, "a", "b"]
    results = plait.map(
        runs.open_gate, [gate.folder] * 5, names, range(5), backend=backend, workers=2, progress=tell
    )
    assert list(results) == [0, 1, 2, 3, 4]


def test_a_callable_that_raises_loses_nothing(pmap):
    told = []

    def tell(counts):
        told.append(counts)
        raise OSError("no room to tell")

    with pytest.warns(RuntimeWarning, match="OSError: no room to tell"):
        results = list(pmap(runs.double, range(50), progress=tell))
    assert results == list(range(0, 100, 2))
    assert len(told) == 1


BAR = """
import sys, plait, long_runs
print(len(list(plait.map(long_runs.odd_fails, range(40), backend=sys.argv[1], workers=2, errors="skip",
                         progress=True, chunksize=3))))
import threading
print([thread.name for thread in threading.enumerate() if "monitor" in thread.name.lower()])
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bar(backend):
    ended = finish(start_program("-c", BAR, backend, env=runs.ENV))
    assert (ended.code, ended.out) == (0, "20\n[]\n"), ended
    last = ended.err.replace("\r", "\n").strip().split("\n")[-1]
    assert "40/40" in last and "100%" in last and "failed=20" in last and "busy=0" in last, ended


def test_a_bar_that_cannot_be_drawn_loses_nothing(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError("nobody reads")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monkeypatch.setattr(sys, "stderr", Closed())
        results = list(plait.map(runs.double, range(9), backend="serial", progress=True))
        monkeypatch.undo()
    assert results == list(range(0, 18, 2))
    assert [each.category for each in caught] == [RuntimeWarning]
