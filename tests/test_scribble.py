"""Workers that write over the memory they share with their parent and with each other.

Whatever stands there then: the parent lives, every call ends, the calls of other workers give what they
returned or an error that says why not, and a new pool works.
"""

import asyncio
import contextlib
import os
from concurrent.futures.process import BrokenProcessPool

import plait
import pytest
import scribbler as s
from outside import PATIENCE

pytestmark = pytest.mark.once

WHOLE = ["zeros", "ones", "noise", "halves"]
THEN = ["return", "kill", "exit"]


class Pool:
    """A pool with calls under way, and what became of them."""

    def __init__(self, workers=3):
        self.executor = plait.ProcessPoolExecutor(workers)
        self.calls = []
        self.errors = []
        self.right = 0
        list(self.executor.map(s.square, range(20)))

    def submit(self, function, *args):
        """A future; None where the pool has broken already."""
        try:
            return self.executor.submit(function, *args)
        except BrokenProcessPool as error:
            self.errors.append(error)
            return None

    def call(self, count):
        for n in range(count):
            future = self.submit(s.slow_square if n % 3 else s.square, n)
            if future is not None:
                self.calls.append((n, future))

    def gather(self):
        """Waits for all calls; each is right or ends in an error that says that something broke."""
        for n, future in self.calls:
            error = future.exception(PATIENCE)
            if error is None:
                assert future.result() == n * n
                self.right += 1
            else:
                assert isinstance(error, BrokenProcessPool), repr(error)
                self.errors.append(error)
        self.calls.clear()

    def gather_beside(self, bad):
        """The same, where all that fails was run by the process that ran `bad`. Its error, if any."""
        error = ended(bad)
        self.gather()
        culprits = [error] * (error is not None) + self.errors
        assert all(isinstance(each, plait.WorkerDied) for each in culprits), culprits
        assert len({each.pid for each in culprits}) <= 1, culprits
        return error

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self.executor.shutdown()


def ended(future):
    """The error of a future, None if it has a value."""
    return None if future is None else future.exception(PATIENCE)


def works():
    """A new pool of this program does what it should."""
    with plait.ProcessPoolExecutor(2) as executor:
        assert list(executor.map(s.square, range(30))) == [n * n for n in range(30)]


@pytest.mark.parametrize("kind", s.KINDS)
@pytest.mark.parametrize("name", ["plait-worker", "plait-commons"])
def test_what_is_its_own_harms_no_other(name, kind):
    then = THEN[s.KINDS.index(kind) % 3]
    with Pool() as pool:
        pool.call(30)
        # What it has told and nobody has read is its own: a flipped bit there may make another value of it.
        pool.gather()
        bad = pool.submit(s.scribble, name, kind, 7, then)
        pool.call(40)
        error = pool.gather_beside(bad)
        if name == "plait-worker" and kind in WHOLE and error is not None:
            assert "it wrote over its shared memory" in str(error)
        before = pool.right
        pool.call(20)
        pool.gather_beside(bad)
        assert pool.right > before
    works()


@pytest.mark.parametrize("kind", s.KINDS)
def test_what_all_share_breaks_the_pool_and_no_other(kind):
    then = THEN[s.KINDS.index(kind) % 3]
    with Pool(2) as other, Pool() as pool:
        other.call(20)
        pool.call(30)
        bad = pool.submit(s.scribble, "plait-pool", kind, 7, then)
        pool.call(60)
        other.call(20)
        error = ended(bad)
        pool.gather()
        assert error is None or isinstance(error, BrokenProcessPool)
        broken = [each for each in pool.errors if not isinstance(each, plait.WorkerDied)]
        assert broken, "calls had to be given up"
        assert all(
            "a worker wrote over the memory that the processes of this pool share" in str(e) for e in broken
        )
        with pytest.raises(BrokenProcessPool, match="a worker wrote over"):
            pool.executor.submit(s.square, 1)
        other.gather()
        assert other.right == 40 and not other.errors
    works()


def test_each_part_of_its_memory():
    parts = 8
    for part in range(parts):
        with Pool(2) as pool:
            pool.call(8)
            bad = pool.submit(s.scribble, "plait-worker", "noise", part, THEN[part % 3], part, parts)
            pool.call(8)
            pool.gather_beside(bad)


def test_tasks_cannot_be_written_over_by_workers():
    """What a worker is to run lies where all of them only read."""
    with plait.ProcessPoolExecutor(1) as executor:
        [(_, length)] = executor.submit(s.writable, "plait-pool").result()
        [line] = executor.submit(s.read_only, "plait-pool").result()
    assert line >= 1024 * 256 and length < 1024 * 256


@pytest.mark.parametrize(
    "name, kind", [("plait-worker", "noise"), ("plait-commons", "words"), ("plait-pool", "words")]
)
def test_while_it_goes_on_scribbling(name, kind):
    with Pool() as pool:
        bad = pool.submit(s.scribble_for_long, name, kind, 3)
        pool.call(120)
        assert isinstance(ended(bad), BrokenProcessPool | None)
        pool.gather()
        if name != "plait-pool":
            assert all(isinstance(error, plait.WorkerDied) for error in pool.errors)
    works()


def test_a_worker_that_needs_what_it_wrote_over():
    with Pool(2) as pool:
        for seed in range(3):
            future = pool.submit(s.scribble_and_map, seed)
            # Where the calls had gone out before anybody looked at the words, they are as they should be.
            assert ended(future) or future.result() == [n * n for n in range(20)]
        pool.call(10)
        pool.gather()
        assert pool.right > 0


def test_chunks_of_a_map_and_a_loop_hear_of_it():
    with plait.ProcessPoolExecutor(2) as executor:
        results = executor.map(s.slow_square, range(400), chunksize=7)
        executor.submit(s.scribble, "plait-pool", "noise", 5)
        with contextlib.suppress(BrokenProcessPool):
            for n, value in enumerate(results):
                assert value == n * n

    async def gather():
        with plait.ProcessPoolExecutor(2) as executor:
            futures = [executor.submit(s.slow_square, n) for n in range(60)]
            futures.append(executor.submit(s.scribble, "plait-pool", "zeros", 5))
            return await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), PATIENCE)

    ends = asyncio.run(gather())[:60]
    assert all(end == n * n or isinstance(end, BrokenProcessPool) for n, end in enumerate(ends))
    works()


def test_results_that_wait_in_its_memory():
    """They are its own: its own calls give errors or wrong values then, and the parent lives."""
    for seed, kind in enumerate(s.KINDS):
        with plait.ProcessPoolExecutor(1) as executor:
            futures = [executor.submit(s.made, which) for which in range(5)]
            assert not any(ended(executor.submit(os.getpid)) for _ in range(2))
            ended(executor.submit(s.scribble, "plait-commons", kind, seed))
            for future in futures:
                # Whether there is a value or an error: the parent is there to look at it.
                with contextlib.suppress(Exception):
                    future.result(PATIENCE)
        works()
