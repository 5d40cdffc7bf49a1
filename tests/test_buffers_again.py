"""Mappings are used again for what comes to lie in the same place: the receiver sees that, never what was."""

import gc

import numpy as np
import parcels as p
import plait
import pytest
import sharing as s
import workloads as w

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest", "numpy"]

SIZE = 1_000_000
TIMES = 40


@pytest.fixture
def worker():
    """A pool of one worker that need not import NumPy first."""
    with plait.ProcessPoolExecutor(1, preload=PRELOAD) as pool:
        yield pool


def look(array, byte):
    """Where it is, and whether all of it is what it should be."""
    return s.address(array), p.is_filled(array, byte)


def look_and_write(array, byte, at):
    """The same, and writes a byte of it."""
    found = look(array, byte)
    array[at] ^= 0xFF
    return found


def test_what_is_only_read_lies_where_it_lay(worker):
    places = set()
    for byte in range(TIMES):
        place, right = worker.submit(look, p.filled(SIZE, byte), byte).result()
        assert right
        places.add(place)
    # Of a few blocks that take turns.
    assert len(places) < TIMES // 4


@pytest.mark.parametrize("at", [0, 4095, 4096, SIZE // 2, SIZE - 1])
def test_what_was_written_to_is_mapped_anew(worker, at):
    for byte in range(TIMES):
        _, right = worker.submit(look_and_write, p.filled(SIZE, byte), byte, at).result()
        assert right


def test_results_are_fresh(worker):
    places = set()
    for byte in range(TIMES):
        result = worker.submit(p.filled, SIZE, byte).result()
        place, right = look_and_write(result, byte, 77) if byte % 3 == 0 else look(result, byte)
        assert right
        places.add(place)
        del result
    assert len(places) < TIMES // 2


def test_what_is_kept_is_nobody_elses(worker):
    kept = []
    for byte in range(TIMES):
        result = worker.submit(w.identity, p.filled(SIZE, byte)).result()
        if byte % 4 == 0:
            kept.append((byte, result))
        assert p.is_filled(result, byte)
        del result
    gc.collect()
    assert all(p.is_filled(array, byte) for byte, array in kept)
    assert len({s.address(array) for _, array in kept}) == len(kept)


def test_views_keep_the_whole_of_it(worker):
    views = [worker.submit(p.filled, SIZE, byte).result()[5_000:6_000] for byte in range(1, TIMES)]
    for byte, view in enumerate(views, 1):
        assert (view == byte).all()


def test_sizes_that_take_turns(worker):
    rng = np.random.default_rng(3)
    for byte, size in enumerate(rng.integers(300_000, 2_000_000, 3 * TIMES)):
        _, right = worker.submit(look_and_write, p.filled(size, byte % 256), byte % 256, byte).result()
        assert right
        assert p.is_filled(worker.submit(p.filled, size, byte % 256).result(), byte % 256)
