"""A worker that dies within a chunk of a long map: the item it ran is blamed, and none is called twice."""

import functools

import long_runs as runs
import plait
import pytest
from long_maps import path as path

pytestmark = pytest.mark.once

# Items of 40 that kill their worker, and bytes of the others' results: in messages, in arenas, in the heap.
KILLERS = [(0,), (13,), (39,), (3, 4, 11, 30, 39), tuple(range(10, 20))]
SIZES = [*[(bad, 1) for bad in KILLERS], ((13,), 10_000), ((13,), 200_000), ((13,), 2_000_000)]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
@pytest.mark.parametrize("bad, size", SIZES, ids=str)
def test_a_death_within_a_chunk_blames_one_item_and_repeats_none(tmp_path, ordered, bad, size):
    call = functools.partial(runs.gives_until, str(tmp_path), bad, size)
    got = list(
        plait.map(call, range(40), backend="processes", workers=1, ordered=ordered, errors="return",
                  chunksize=20)
    )  # fmt: skip
    died = [each for each in got if isinstance(each, Exception)]
    assert {type(each) for each in died} == {plait.WorkerDied}
    assert sorted(each.index for each in died) == list(bad)
    values = [bytes([n]) * size for n in range(40) if n not in bad]
    if ordered:
        assert [got.index(each) for each in died] == [each.index for each in died]
        assert [each for each in got if isinstance(each, bytes)] == values
    else:
        assert sorted(each for each in got if isinstance(each, bytes)) == values
    assert sorted(runs.noted(tmp_path)) == list(range(40))


@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_what_a_chunk_had_finished_is_kept_when_its_worker_dies(tmp_path, path, errors):
    options = {"backend": "processes", "workers": 1, "chunksize": 10, "checkpoint": path}
    call = functools.partial(runs.gives_until, str(tmp_path), (4,), 1)
    got = []
    try:
        for result in plait.map(call, range(10), errors=errors, **options):
            got.append(result)
    except plait.WorkerDied as died:
        assert errors == "raise" and died.index == 4
        begun = range(5)
    else:
        assert errors == "skip"
        begun = range(10)
    assert got == [bytes([n]) for n in begun if n != 4]
    assert sorted(runs.noted(tmp_path)) == list(begun)
    # The next run calls the culprit, and what no worker had begun.
    list(plait.map(call, range(10), errors="skip", **options))
    assert sorted(runs.noted(tmp_path)) == sorted([*range(10), 4])


@pytest.mark.parametrize("retries", [1, 2])
def test_a_killer_is_tried_again_if_that_was_asked_for(tmp_path, retries):
    call = functools.partial(runs.gives_until, str(tmp_path), (3,), 1)
    got = list(plait.map(call, range(8), backend="processes", workers=1, errors="return", retries=retries))
    assert [type(each) for each in got] == [*[bytes] * 3, plait.WorkerDied, *[bytes] * 4]
    assert got[3].tries == retries + 1
    assert sorted(runs.noted(tmp_path)) == sorted([*range(8), *[3] * retries])


def test_progress_counts_each_item_of_a_dead_chunk_once(tmp_path):
    told = []
    call = functools.partial(runs.gives_until, str(tmp_path), (2, 7), 1)
    options = {"backend": "processes", "workers": 1, "chunksize": 10, "errors": "skip"}
    assert len(list(plait.map(call, range(30), progress=told.append, **options))) == 28
    assert (told[-1].done, told[-1].failed, told[-1].total) == (30, 2, 30)
    assert [counts.done for counts in told] == sorted(counts.done for counts in told)


def test_a_result_that_cannot_be_sent_repeats_no_item(tmp_path):
    call = functools.partial(runs.lock_once, str(tmp_path), 4)
    got = list(plait.map(call, range(10), backend="processes", workers=1, errors="return", chunksize=10))
    assert type(got.pop(4)) is plait.NotPicklable
    assert got == [n for n in range(10) if n != 4]
    assert sorted(runs.noted(tmp_path)) == list(range(10))
