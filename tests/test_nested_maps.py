"""Maps within calls of maps, and maps of a task on its own pool."""

import os
import threading
import traceback

import plait
import pytest
from outside import descendants, is_nursery


@pytest.fixture
def make(process_face):
    """A maker of process pools."""
    return process_face


@pytest.fixture
def pool(make):
    """A pool of two workers."""
    with make(2) as pool:
        yield pool


def add(a, b):
    return a + b


def test_map_of_the_own_pool(pool):
    def outer(chunksize):
        return list(pool.map(add, range(50), range(50), chunksize=chunksize))

    for chunksize in (1, 7):
        assert pool.submit(outer, chunksize).result() == [2 * n for n in range(50)]


def test_a_map_that_raises_hands_out_what_came_first(pool):
    def picky(n):
        if n == 13:
            raise ValueError(n)
        return n

    def outer(chunksize):
        got = []
        try:
            got.extend(pool.map(picky, range(30), chunksize=chunksize))
        except ValueError as error:
            trace = "".join(traceback.format_exception(error))
        results = iter(pool.map(picky, range(30), chunksize=chunksize))
        before = []
        try:
            for value in results:
                before.append(value)
        except ValueError as error:
            return before, error.args, "in picky" in trace

    for chunksize in (1, 5, 40):
        assert pool.submit(outer, chunksize).result() == (list(range(13)), (13,), True)


def fib_by_map(n):
    if n < 2:
        return n, {os.getpid()}
    values, pids = zip(*plait.map(fib_by_map, [n - 1, n - 2], backend="processes"))
    return sum(values), set().union(*pids)


def test_nested_maps_stay_within_their_workers():
    processes = set()
    end = threading.Event()

    def watch():
        while not end.is_set():
            mine = [pid for pid in descendants(os.getpid()) if not is_nursery(pid)]
            processes.add(len(mine))

    before = len([pid for pid in descendants(os.getpid()) if not is_nursery(pid)])
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ((value, pids),) = plait.map(fib_by_map, [10], backend="processes", workers=2)
    finally:
        end.set()
        watcher.join()
    assert value == 55
    assert len(pids) <= 2
    assert max(processes, default=0) <= before + 2


def test_a_nested_map_of_many_items_goes_in_chunks():
    def outer(n):
        return sum(plait.map(add, range(n), range(n), backend="processes"))

    assert list(plait.map(outer, [20_000], backend="processes", workers=2)) == [20_000 * 19_999]


def test_a_nested_map_reads_no_further_than_allowed():
    def outer():
        read = []

        def endless():
            n = 0
            while True:
                read.append(n)
                yield n
                n += 1

        results = plait.map(abs, endless(), backend="processes", buffersize=3)
        got = [next(results) for _ in range(5)]
        return got, len(read)

    with plait.ProcessPoolExecutor(2) as pool:
        got, read = pool.submit(outer).result()
    assert got == list(range(5))
    assert read <= 5 + 3


def test_an_input_that_raises_hands_out_what_came_first():
    def outer():
        def inputs():
            yield from range(10)
            raise KeyError("input")

        got = []
        try:
            for value in plait.map(abs, inputs(), backend="processes"):
                got.append(value)
        except KeyError as error:
            return got, error.args

    with plait.ProcessPoolExecutor(2) as pool:
        assert pool.submit(outer).result() == (list(range(10)), ("input",))
