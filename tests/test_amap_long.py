"""`plait.amap` with errors, order, progress and a checkpoint of its own, on each backend."""

import asyncio
import contextlib
import gc
import itertools
import random
import threading

import long_runs as runs
import plait
import pytest
from crowds import Crowd, listed, passed

pytestmark = pytest.mark.once

# The coroutine functions' own, and where plain functions go.
WAYS = [
    ("asyncio", True),
    ("auto", True),
    ("processes", True),
    ("auto", False),
    ("serial", False),
    ("threads", False),
    ("processes", False),
]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{'coroutine' if way[1] else 'plain'}")
def way(request):
    """A backend, and whether coroutine functions go there."""
    return request.param


class Asking:
    """`plait.amap` on one backend, of the same function in its two forms."""

    def __init__(self, way):
        self.backend, self.is_coroutine = way

    def __call__(self, plain, *iterables, **options):
        fn = plain
        if self.is_coroutine:

            async def fn(*args):
                await asyncio.sleep(0)
                return plain(*args)

        return plait.amap(fn, *iterables, backend=self.backend, **options)


@pytest.fixture
def amap(way):
    return Asking(way)


async def numbers(count):
    for n in range(count):
        await asyncio.sleep(0)
        yield n


def shown(results):
    return [str(each) if isinstance(each, Exception) else each for each in results]


@pytest.mark.parametrize("options", [{}, {"chunksize": 7}, {"buffersize": 4}, {"retries": 1}], ids=str)
@pytest.mark.parametrize("make", [range, numbers], ids=["plain", "asynchronous"])
def test_errors_are_returned_or_skipped(amap, make, options):
    async def main():
        returned = [x async for x in amap(runs.odd_fails, make(60), errors="return", **options)]
        assert shown(returned) == [f"item {n}" if n % 2 else n * 10 for n in range(60)]
        skipped = amap(runs.odd_fails, make(60), errors="skip", ordered=False, **options)
        assert sorted([x async for x in skipped]) == [n * 10 for n in range(0, 60, 2)]

    asyncio.run(main())


def test_what_came_before_an_error_is_handed_out(amap):
    async def main():
        got = []
        with pytest.raises(ValueError, match="item 7"):
            async for each in amap(runs.fails_on, range(50), itertools.repeat(7), progress=lambda told: None):
                got.append(each)
        assert got == [n * 10 for n in range(7)]

    asyncio.run(main())


@pytest.mark.parametrize("at", [0, 5])
def test_an_input_that_raises_comes_after_the_results_before_it(amap, at):
    async def broken():
        for n in range(at):
            yield n
        raise OSError("no more")

    async def main():
        got = []
        with pytest.raises(OSError, match="no more"):
            async for each in amap(runs.double, broken(), errors="return"):
                got.append(each)
        assert got == [2 * n for n in range(at)]

    asyncio.run(main())


def test_results_as_they_come():
    async def main():
        last = asyncio.Event()

        async def wait_or_open(n):
            if n == 0:
                await last.wait()
            elif n == 9:
                last.set()
            return n

        got = await listed(plait.amap(wait_or_open, numbers(10), ordered=False, concurrency=10))
        assert sorted(got) == list(range(10)) and got[0] != 0

    asyncio.run(main())


def test_progress(amap):
    async def main():
        told = []
        got = await listed(amap(runs.odd_fails, range(40), errors="skip", progress=told.append))
        assert got == [n * 10 for n in range(0, 40, 2)]
        assert (told[0].done, told[0].total) == (0, 40)
        assert (told[-1].done, told[-1].failed, told[-1].running) == (40, 20, 0)
        assert [each.done for each in told] == sorted(each.done for each in told)
        told.clear()
        await listed(amap(runs.double, numbers(40), progress=told.append))
        assert (told[-1].done, told[-1].total) == (40, None)

    asyncio.run(main())


def test_it_is_told_while_nothing_ends():
    async def main():
        told = []
        crowd = Crowd()
        results = plait.amap(crowd.enter, range(3), progress=told.append)
        first = asyncio.ensure_future(anext(results))
        await passed(lambda: len(told) > 3 and told[-1].running == 3, "news of what runs")
        crowd.opened = True
        await first
        await results.aclose()

    asyncio.run(main())


def test_a_callable_that_raises_loses_nothing(amap):
    def tell(told):
        raise OSError("no screen")

    async def main():
        with pytest.warns(RuntimeWarning, match="no screen"):
            assert await listed(amap(runs.double, range(20), progress=tell)) == [2 * n for n in range(20)]

    asyncio.run(main())


@pytest.mark.parametrize("make", [range, numbers], ids=["plain", "asynchronous"])
def test_a_checkpoint_is_gone_on_with(amap, make, tmp_path):
    path, folder = tmp_path / "kept", str(tmp_path)

    async def main():
        async with contextlib.aclosing(
            amap(runs.noting, itertools.repeat(folder), make(80), checkpoint=path)
        ) as results:
            first = [await anext(results) for _ in range(10)]
        assert first == [[n, "result"] for n in range(10)]
        before = runs.noted(tmp_path)
        again = await listed(amap(runs.noting, itertools.repeat(folder), make(80), checkpoint=path))
        assert again == [[n, "result"] for n in range(80)]
        assert not set(runs.noted(tmp_path)[len(before) :]) & set(range(10))

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_cancelled_at_any_moment(amap, seed, tmp_path):
    """Whatever the consumer had is in the file; each run goes on where the one before was cancelled."""
    path, folder = tmp_path / "kept", str(tmp_path)
    chance = random.Random(seed)
    had = set()

    async def consume():
        results = amap(runs.noting, itertools.repeat(folder), numbers(200), checkpoint=path, ordered=False)
        async with contextlib.aclosing(results):
            async for n, _ in results:
                had.add(n)
                await asyncio.sleep(0)

    async def cancelled(run, calls):
        known = set(runs.kept(path)) if path.exists() else set()
        runs.RUN.set(run)
        task = asyncio.ensure_future(consume())
        await passed(lambda: len(runs.noted(tmp_path, run)) >= calls or task.done(), "some calls")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert had | known <= set(runs.kept(path))
        again = runs.noted(tmp_path, run)
        assert not known & set(again), "called again, though the result was in the file"

    async def main():
        for run in range(4):
            await cancelled(run, chance.randrange(1, 60))
        had.clear()
        await consume()
        assert had == set(range(200)) == set(runs.kept(path))

    asyncio.run(main())


def test_bad_checkpoints_are_refused(amap, tmp_path):
    path = tmp_path / "kept"

    async def main():
        await listed(amap(runs.double, range(5), checkpoint=path))
        with pytest.raises(plait.CheckpointError, match="item 2 is not what it was"):
            await listed(amap(runs.double, [0, 1, 7, 3], checkpoint=path))
        with pytest.raises(plait.CheckpointError, match="it holds results of"):
            await listed(plait.amap(runs.odd_fails, range(5), backend="threads", checkpoint=path))
        async with contextlib.aclosing(amap(runs.double, range(9), checkpoint=path)) as results:
            await anext(results)
            with pytest.raises(plait.CheckpointError, match="another run is using it"):
                await listed(amap(runs.double, range(9), checkpoint=path))
        assert await listed(amap(runs.double, range(9), checkpoint=path)) == [2 * n for n in range(9)]

    asyncio.run(main())


def test_one_that_was_never_begun_touches_no_file(amap, tmp_path):
    amap(runs.double, range(5), checkpoint=tmp_path / "kept")
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("errors", ["raise", "return"])
def test_a_worker_that_dies(errors, tmp_path):
    async def main():
        results = plait.amap(
            runs.dies_on,
            itertools.repeat(str(tmp_path)),
            range(12),
            itertools.repeat(5),
            backend="processes",
            workers=2,
            errors=errors,
            progress=lambda told: None,
        )
        got = []
        try:
            async for each in results:
                got.append(each)
        except plait.WorkerDied as error:
            got.append(error)
        assert got[:5] == list(range(5)) and isinstance(got[5], plait.WorkerDied)
        assert got[6:] == ([] if errors == "raise" else list(range(6, 12)))

    asyncio.run(main())


def test_a_function_that_cannot_be_sent_ends_it():
    lock = threading.Lock()

    async def main():
        with pytest.raises(plait.NotPicklable):
            await listed(plait.amap(lambda n: lock, itertools.count(), backend="processes", errors="skip"))

    asyncio.run(main())


def test_others_have_their_turn_while_results_are_there(tmp_path):
    path = tmp_path / "kept"

    async def main():
        await listed(plait.amap(runs.double, range(5000), backend="threads", checkpoint=path))
        turns = 0

        async def other():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        known = plait.amap(runs.double, range(5000), backend="threads", checkpoint=path)
        assert await listed(known) == [2 * n for n in range(5000)]
        task.cancel()
        assert turns > 3

    asyncio.run(main())


def test_what_cannot_be_meant():
    for options, error in [
        ({"errors": "ignore"}, ValueError),
        ({"ordered": 1}, TypeError),
        ({"progress": 3}, TypeError),
        ({"checkpoint": ""}, ValueError),
    ]:
        with pytest.raises(error):
            plait.amap(runs.double, range(3), **options)
