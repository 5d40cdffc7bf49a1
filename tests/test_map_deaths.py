"""A worker that dies within a chunk of a map: what it had finished is kept, the item it ran is blamed."""

import datetime
import functools
import itertools
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path

import plait
import pytest
import workloads as w

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest"]


@dataclass
class Point:
    x: int
    name: str


class Later:
    """Unpickles, and names a class that is new to the chunk each time."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is type(self) and other.value == self.value

    def __hash__(self):
        return hash(self.value)


CLASSES = [type(f"Class{n}", (Later,), {"__module__": __name__}) for n in range(12)]
globals().update({cls.__name__: cls for cls in CLASSES})


class Deadly:
    """Kills every process but the one it was made in when it is destroyed there."""

    def __init__(self):
        self.home = os.getpid()

    def __del__(self):
        if os.getpid() != self.home:
            w.kill_self()


# What item `n` gives: values for each way in which results travel.
GIVE = {
    "ints": lambda n: n,
    "texts": lambda n: f"item {n}",
    "lists": lambda n: [n, [n, None], {"n": n}],
    "dates": lambda n: (datetime.date(2020, 1, 1) + datetime.timedelta(n), n),
    "objects": lambda n: Point(n, "p" * n),
    "sets": lambda n: {n, n + 1},
    "new classes": lambda n: CLASSES[n % len(CLASSES)](n),
    "classes": lambda n: [n, Point],
    "100 KB": lambda n: bytes([n]) * 100_000,
    "1 MB": lambda n: bytes([n]) * 1_000_000,
    "1 MB, pickled": lambda n: {bytes([n]) * 1_000_000, n},
}
MIXED = [kind for kind in GIVE if not kind.startswith("1 MB")]


def give(n, kind):
    return GIVE[MIXED[n % len(MIXED)] if kind == "mixed" else kind](n)


def work(n, kind, end, last, log=None):
    """Gives what the kind says; item `last` calls `end` instead."""
    if log is not None:
        with open(log, "a") as file:
            file.write(f"{n}\n")
    if n == last:
        end()
    return give(n, kind)


def until_death(results):
    """The results that an iterator gives, and what it raises then; it has ended."""
    values = []
    with pytest.raises(plait.WorkerDied) as caught:
        values.extend(results)
    assert list(results) == []
    return values, caught.value


def lines(path):
    return [int(line) for line in Path(path).read_text().split()]


# --- what is kept, and who is blamed


@pytest.mark.parametrize(
    "last",
    [
        pytest.param("first", marks=pytest.mark.once),
        "in the middle",
        pytest.param("last", marks=pytest.mark.once),
    ],
)
@pytest.mark.parametrize("kind", [*GIVE, "mixed"])
def test_finished_results_of_a_chunk_outlive_its_worker(processes, tmp_path, kind, last):
    count = 8 if kind.startswith("1 MB") else 40
    culprit = {"first": 0, "in the middle": count * 2 // 3, "last": count - 1}[last]
    log = tmp_path / "log"
    call = functools.partial(work, kind=kind, end=w.kill_self, last=culprit, log=log)
    values, error = until_death(processes.map(call, range(count), chunksize=count))
    assert values == [give(n, kind) for n in range(culprit)]
    assert (error.index, error.signal) == (culprit, signal.SIGKILL)
    # Each began once, in order, and none after the culprit.
    assert lines(log) == list(range(culprit + 1))
    assert list(processes.map(w.add_one, range(10), chunksize=5)) == list(range(1, 11))


@pytest.mark.parametrize("chunksize", [1, 2, 3, 7, 50, 1000])
def test_every_chunksize(processes, chunksize):
    call = functools.partial(work, kind="ints", end=w.kill_self, last=31)
    values, error = until_death(processes.map(call, range(50), chunksize=chunksize))
    assert (values, error.index) == (list(range(31)), 31)
    results = plait.map(call, range(50), backend="processes", workers=2, chunksize=chunksize)
    values, error = until_death(results)
    assert (values, error.index) == (list(range(31)), 31)


def test_chunks_of_plaits_own_choice():
    call = functools.partial(work, kind="ints", end=w.kill_self, last=20_011)
    values, error = until_death(plait.map(call, range(40_000), backend="processes", workers=2))
    assert (values, error.index) == (list(range(20_011)), 20_011)
    assert list(plait.map(w.add_one, range(100), backend="processes", workers=2)) == list(range(1, 101))


def test_a_bounded_window_and_an_endless_input(processes):
    call = functools.partial(work, kind="texts", end=w.kill_self, last=33)
    values, error = until_death(processes.map(call, itertools.count(), chunksize=5, buffersize=20))
    assert (values, error.index) == ([f"item {n}" for n in range(33)], 33)


def test_several_arguments(processes):
    items = zip(range(20), ["ints"] * 20, [w.kill_self] * 20, [13] * 20, strict=True)
    values, error = until_death(processes.map(work, *zip(*items, strict=True), chunksize=20))
    assert (values, error.index) == (list(range(13)), 13)


def test_a_callable_that_travels_with_the_chunk(processes):
    log = []

    class Worker:
        def __call__(self, n):
            log.append(n)
            if n == 5:
                w.kill_self()
            return n * 10

    values, error = until_death(processes.map(Worker(), range(9), chunksize=9))
    assert (values, error.index) == ([0, 10, 20, 30, 40], 5)


def test_a_later_chunk_shows_nothing_of_an_earlier_one():
    call = functools.partial(work, kind="texts", end=w.kill_self, last=10)
    with plait.ProcessPoolExecutor(1) as pool:
        values, error = until_death(pool.map(call, range(30), chunksize=10))
        assert (values, error.index) == ([f"item {n}" for n in range(10)], 10)


def test_a_chunk_that_dies_when_all_is_done_is_complete():
    # The arguments of a chunk are let go when all of its results are there, and the answer is not told yet.
    with plait.ProcessPoolExecutor(1) as pool:
        results = pool.map(w.count, ["a", "bc", [Deadly()]], chunksize=3)
        assert list(results) == [1, 2, 1]
        assert pool.submit(w.add_one, 1).result() == 2


# --- how it dies


@pytest.mark.parametrize(
    ("end", "exitcode"),
    [
        (w.kill_self, -signal.SIGKILL),
        (w.terminate_self, -signal.SIGTERM),
        (w.abort_self, -signal.SIGABRT),
        (w.segfault, -signal.SIGSEGV),
        (w.exit_self, 5),
    ],
)
def test_every_kind_of_death(processes, end, exitcode):
    call = functools.partial(work, kind="objects", end=end, last=6)
    values, error = until_death(processes.map(call, range(12), chunksize=12))
    assert values == [Point(n, "p" * n) for n in range(6)]
    assert (error.index, error.exitcode) == (6, exitcode)


def enter(n, folder, stops_at):
    return w.pass_gate(folder, n, n) if n == stops_at else n


def test_a_worker_that_is_killed_from_outside(processes, gate):
    call = functools.partial(enter, folder=gate.folder, stops_at=4)
    results = processes.map(call, range(8), chunksize=8)
    [pid] = gate.wait_for(4)
    os.kill(pid, signal.SIGKILL)
    values, error = until_death(results)
    assert (values, error.index, error.pid) == ([0, 1, 2, 3], 4, pid)


def test_others_are_undisturbed(processes, gate):
    with pytest.raises(plait.WorkerDied):
        held = processes.submit(w.pass_gate, gate.folder, "held", "done")
        gate.wait_for("held")
        call = functools.partial(work, kind="ints", end=w.kill_self, last=3)
        list(processes.map(call, range(9), chunksize=9))
    gate.open()
    assert held.result() == "done"


# --- chunks that end with an exception, which have the same form


@pytest.mark.parametrize("culprit", [0, 5, 11])
@pytest.mark.parametrize("kind", [*(kind for kind in GIVE if not kind.startswith("1 MB")), "mixed"])
def test_results_before_an_item_that_raises(processes, kind, culprit):
    call = functools.partial(work, kind=kind, end=w.fail, last=culprit)
    results = processes.map(call, range(12), chunksize=12)
    assert [next(results) for _ in range(culprit)] == [give(n, kind) for n in range(culprit)]
    with pytest.raises(ValueError, match="on purpose"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("spoil", [w.give_lock, w.give_exploding])
@pytest.mark.parametrize("count", [1, 9])
def test_results_before_one_that_cannot_travel(processes, spoil, count):
    call = functools.partial(spoil_last, spoil=spoil, count=count)
    results = processes.map(call, range(count), chunksize=count)
    assert [next(results) for _ in range(count - 1)] == [Point(n, "") for n in range(count - 1)]
    with pytest.raises(plait.NotPicklable, match="result"):
        next(results)
    assert list(results) == []
    assert processes.submit(w.add_one, 1).result() == 2


def spoil_last(n, spoil, count):
    return spoil() if n == count - 1 else Point(n, "")


def test_one_object_in_several_results_is_what_it_was_each_time(processes):
    states = [[f"{n}" for n in range(k + 1)] for k in range(10)]
    assert list(processes.map(grow, range(10), chunksize=10)) == [(state, Point) for state in states]


_grown = []


def grow(n):
    _grown.append(f"{n}")
    # A class among the results, so that they are pickled.
    return _grown, Point


# --- all of it at once


@pytest.mark.parametrize("seed", range(12))
def test_any_mixture(processes, seed):
    chance = random.Random(seed)
    count = chance.randint(1, 60)
    culprit = chance.randrange(count)
    end = chance.choice([w.kill_self, w.exit_self, w.segfault, w.terminate_self])
    kind = chance.choice([*MIXED, "mixed"])
    call = functools.partial(work, kind=kind, end=end, last=culprit)
    values, error = until_death(processes.map(call, range(count), chunksize=chance.randint(1, 70)))
    assert values == [give(n, kind) for n in range(culprit)]
    assert error.index == culprit


# --- with limits, items go one by one


def die_once(n, folder):
    marker = Path(folder) / f"tried-{n}"
    if n % 3 == 1 and not marker.exists():
        marker.touch()
        w.kill_self()
    return n


def test_an_item_that_kills_its_worker_once_is_tried_again(tmp_path):
    call = functools.partial(die_once, folder=tmp_path)
    results = plait.map(call, range(10), backend="processes", workers=2, chunksize=10, retries=1)
    assert list(results) == list(range(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tried-1", "tried-4", "tried-7"]


def test_an_item_that_always_kills_its_worker_is_blamed_at_last(tmp_path):
    log = tmp_path / "log"
    call = functools.partial(work, kind="ints", end=w.kill_self, last=2, log=log)
    values, error = until_death(plait.map(call, range(5), backend="processes", workers=2, retries=2))
    assert (values, error.index, error.tries) == ([0, 1], 2, 3)
    assert lines(log).count(2) == 3


def test_an_item_that_takes_too_long_is_blamed(gate):
    call = functools.partial(enter, folder=gate.folder, stops_at=3)
    results = plait.map(call, range(6), backend="processes", workers=2, chunksize=6, timeout=0.2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(plait.TaskTimeout) as caught:
        next(results)
    assert caught.value.index == 3
    assert list(results) == []
