"""Maps of coroutine functions with errors, order, progress and a checkpoint of their own."""

import asyncio
import itertools
import threading

import long_runs as runs
import plait
import pytest
from outside import until


async def odd_fails(x):
    await asyncio.sleep(0)
    return runs.odd_fails(x)


async def double(x):
    await asyncio.sleep(0)
    return 2 * x


def shown(results):
    return [str(each) if isinstance(each, Exception) else each for each in results]


@pytest.mark.parametrize("backend", ["asyncio", "auto", "processes"])
@pytest.mark.parametrize(
    "options", [{}, {"concurrency": 3}, {"buffersize": 5}, {"timeout": 30, "retries": 1}], ids=str
)
def test_errors_are_returned_or_skipped(backend, options):
    returned = plait.map(odd_fails, range(60), backend=backend, errors="return", **options)
    assert shown(returned) == [f"item {n}" if n % 2 else n * 10 for n in range(60)]
    skipped = plait.map(odd_fails, iter(range(60)), backend=backend, errors="skip", ordered=False, **options)
    assert sorted(skipped) == [n * 10 for n in range(0, 60, 2)]
    assert skipped.failed == 30


def test_results_as_they_come():
    async def wait_or_open(n):
        # The first waits for the last.
        if n == 0:
            while not opened.is_set():
                await asyncio.sleep(0.001)
        elif n == 9:
            opened.set()
        return n

    opened = threading.Event()
    results = list(plait.map(wait_or_open, range(10), ordered=False, concurrency=10))
    assert sorted(results) == list(range(10)) and results[0] != 0


@pytest.mark.parametrize("backend", ["asyncio", "processes"])
def test_progress_and_a_checkpoint(backend, tmp_path):
    told = []
    path = tmp_path / "kept"
    first = plait.map(
        double, range(50), checkpoint=path, progress=told.append, concurrency=8, backend=backend
    )
    assert list(itertools.islice(first, 20)) == [2 * n for n in range(20)]
    first.close()
    assert list(plait.map(double, range(50), checkpoint=path, progress=told.append, backend=backend)) == [
        2 * n for n in range(50)
    ]
    assert told[-1].done == told[-1].total == 50
    with pytest.raises(plait.CheckpointError):
        list(plait.map(odd_fails, range(50), checkpoint=path, backend=backend))


@pytest.mark.parametrize("chunksize", [None, 1, 5])
def test_a_worker_that_dies_costs_one_item(chunksize, tmp_path):
    async def dies(folder, x):
        await asyncio.sleep(0)
        return runs.dies_on(folder, x, 7)

    results = list(
        plait.map(
            dies,
            [str(tmp_path)] * 20,
            range(20),
            backend="processes",
            workers=2,
            chunksize=chunksize,
            concurrency=3,
            errors="return",
        )
    )
    assert isinstance(results.pop(7), plait.WorkerDied)
    assert results == [n for n in range(20) if n != 7]


def test_results_of_workers_as_they_come(tmp_path):
    async def wait_or_open(folder, n):
        opened = folder / "opened"
        if n == 0:
            while not opened.exists():
                await asyncio.sleep(0.001)
        elif n == 9:
            opened.touch()
        return n

    results = plait.map(
        wait_or_open,
        itertools.repeat(tmp_path),
        range(10),
        backend="processes",
        workers=2,
        chunksize=1,
        ordered=False,
    )
    assert sorted(got := list(results)) == list(range(10)) and got[0] != 0


def test_within_a_worker():
    def work(n):
        return list(plait.map(double, range(n), backend="processes", errors="return"))

    assert list(plait.map(work, [3, 4], backend="processes", workers=2)) == [[0, 2, 4], [0, 2, 4, 6]]


@pytest.mark.parametrize("end", ["close", "drop"])
def test_nothing_is_left_running(end):
    inside, left = [], []

    async def linger(n):
        inside.append(n)
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            left.append(n)

    results = plait.map(linger, itertools.count(), ordered=False, concurrency=5)
    until(lambda: len(inside) == 5, "five at a time")
    if end == "close":
        results.close()
        assert sorted(left) == sorted(inside)
    else:
        del results
        until(lambda: sorted(left) == sorted(inside), "their ends")
    assert len(inside) == 5


def test_what_cannot_be_meant():
    async def items():
        yield 1

    with pytest.raises(TypeError, match="plain for loop"):
        plait.map(double, items(), backend="processes", errors="skip")
    with pytest.raises(TypeError, match="coroutine function"):
        plait.map(double, [1], backend="threads", errors="skip")
    with pytest.raises(TypeError, match="no coroutine function"):
        plait.map(abs, [1], backend="asyncio", errors="skip")
    with pytest.raises(ValueError, match="concurrency says how many"):
        plait.map(double, [1], errors="skip", workers=3)
    with pytest.raises(TypeError, match="plain for loop"):
        plait.map(double, items(), errors="skip")
