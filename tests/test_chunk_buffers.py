"""Buffers in the results of a chunk of several items: they leave the pickle, as those of a single result do.

What is shared is live, what was sent is a reference, and what was noted before the worker died is whole.
"""

import gc
from dataclasses import dataclass

import numpy as np
import parcels as p
import plait
import pytest
import sharing as s
import workloads as w
from outside import until
from plait import _core
from platforms import page_maps

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest", "numpy"]

ITEMS = 12
LARGE = 300_000


@dataclass
class Record:
    n: int
    data: object
    rest: tuple = ()


@pytest.fixture
def pool():
    with plait.ProcessPoolExecutor(2, preload=PRELOAD) as pool:
        yield pool


def in_one_chunk(pool, fn, *columns):
    return pool.map(fn, *columns, chunksize=ITEMS)


# --- what workers do


def a_record(n, size=LARGE):
    # The last are small, and of the large ones some have two.
    if n % 4 == 3:
        return Record(n, None, (n, "small"))
    return Record(n, p.filled(size, n), (p.filled(size, n + 100),) if n % 2 else ())


def record_or_death(n, last):
    if n == last:
        w.kill_self()
    return a_record(n)


def row_or_death(table, n, last):
    if n == last:
        w.kill_self()
    table[n] = n + 0.5
    return table[n, ::3]


def part_or_death(array, n, last):
    if n == last:
        w.kill_self()
    return array[n * 10_000 : n * 10_000 + 100_000]


def own_or_death(n, last):
    """A row of shared memory of this worker's own."""
    if n == last:
        w.kill_self()
    return plait.full((3, LARGE), n, "u1")[1]


def raise_at(n, last):
    if n == last:
        raise ValueError(f"item {n}")
    return a_record(n)


def check(records, count=ITEMS):
    records = list(records)
    assert [record.n for record in records] == list(range(count))
    for record in records:
        if record.n % 4 == 3:
            assert record == Record(record.n, None, (record.n, "small"))
            continue
        assert p.is_filled(record.data, record.n)
        assert len(record.rest) == record.n % 2
        assert all(p.is_filled(array, record.n + 100) for array in record.rest)
        # It is the receiver's own.
        record.data[:] = 0


def test_objects_with_and_without_buffers(pool):
    check(in_one_chunk(pool, a_record, range(ITEMS)))
    check(plait.map(a_record, range(ITEMS), backend="processes", workers=2, chunksize=5))


@pytest.mark.parametrize("last", range(ITEMS))
def test_what_was_noted_outlives_the_worker(pool, last):
    records = in_one_chunk(pool, record_or_death, range(ITEMS), [last] * ITEMS)
    arrived = [next(records) for _ in range(last)]
    with pytest.raises(plait.WorkerDied) as caught:
        next(records)
    assert caught.value.index == last
    for _ in range(3):
        check(in_one_chunk(pool, a_record, range(ITEMS)))
    check(arrived, last)


def test_what_was_noted_before_an_exception_is_there(pool):
    records = in_one_chunk(pool, raise_at, range(ITEMS), [7] * ITEMS)
    check([next(records) for _ in range(7)], 7)
    with pytest.raises(ValueError, match="item 7"):
        next(records)


@pytest.mark.parametrize("last", [3, ITEMS])
def test_views_of_shared_memory_are_live(pool, last):
    table = plait.zeros((ITEMS, 60))
    rows = in_one_chunk(pool, row_or_death, [table] * ITEMS, range(ITEMS), [last] * ITEMS)
    arrived = [next(rows) for _ in range(last)]
    if last < ITEMS:
        with pytest.raises(plait.WorkerDied):
            next(rows)
    for n, row in enumerate(arrived):
        assert s.is_live(row) and (row == n + 0.5).all()
        row[:] = -n
        assert (table[n, ::3] == -n).all()


def test_shared_memory_that_a_worker_made_is_live_after_its_death(pool):
    rows = in_one_chunk(pool, own_or_death, range(ITEMS), [9] * ITEMS)
    arrived = [next(rows) for _ in range(9)]
    with pytest.raises(plait.WorkerDied):
        next(rows)
    check(in_one_chunk(pool, a_record, range(ITEMS)))
    for n, row in enumerate(arrived):
        assert s.is_live(row) and p.is_filled(row, n)
        assert pool.submit(s.write, row, 77).result()
        assert (row == 77).all()


@page_maps
@pytest.mark.parametrize("last", [6, ITEMS])
def test_parts_of_arguments_are_references(pool, last):
    array = np.arange(300_000, dtype="u4")
    parts = in_one_chunk(pool, part_or_death, [array] * ITEMS, range(ITEMS), [last] * ITEMS)
    arrived = [next(parts) for _ in range(last)]
    if last < ITEMS:
        with pytest.raises(plait.WorkerDied):
            next(parts)
    array[:] = 0
    for n, part in enumerate(arrived):
        assert (part == np.arange(n * 10_000, n * 10_000 + 100_000)).all()
    before = _core.bytes_copied()
    assert all(pool.map(np.array_equal, arrived, arrived))
    # They lie where they were sent to.
    assert _core.bytes_copied() == before


@pytest.mark.once
def test_the_memory_comes_back(pool):
    def once():
        check(in_one_chunk(pool, a_record, range(ITEMS)))
        with pytest.raises(plait.WorkerDied):
            list(in_one_chunk(pool, record_or_death, range(ITEMS), [8] * ITEMS))
        gc.collect()

    for _ in range(3):
        once()
    before = s.commons()
    for _ in range(10):
        once()
    until(lambda: s.commons() <= before + 24 * LARGE, lambda: f"{s.commons()} bytes, {before} before")
