"""Random numbers of tasks: the same in each run with a seed, never the same twice without one."""

import asyncio
import hashlib
import os
import random
import sys

import plait
import pytest
from outside import run_program

pytestmark = pytest.mark.once

np = pytest.importorskip("numpy")

# What this module imports, which each worker would import anew.
PRELOAD = ["numpy.random", "pytest"]

FACES = {
    "serial": lambda seed, **options: plait.Executor("serial", seed=seed, **options),
    "processes": lambda seed, **options: plait.Executor(
        "processes", 2, seed=seed, preload=PRELOAD, **options
    ),
    "auto": lambda seed, **options: plait.Executor(max_workers=2, seed=seed, preload=PRELOAD, **options),
    "pool": lambda seed, **options: plait.ProcessPoolExecutor(2, seed=seed, preload=PRELOAD, **options),
}


def expected(*numbers, seed=7):
    """What a task with these numbers draws, by the rule of the docs."""
    text = "/".join(map(str, (seed, *numbers)))
    key = hashlib.blake2b(text.encode(), digest_size=32, person=b"plait seed").digest()
    numpy = np.random.RandomState(np.frombuffer(key, "<u4"))
    return random.Random(key).random(), float(numpy.random_sample())


def draw(*_):
    return random.random(), float(np.random.random_sample())


def draw_at_second(n, folder):
    """Fails at its first try, after it has drawn."""
    drawn = draw()
    try:
        os.mkdir(f"{folder}/{n}")
    except FileExistsError:
        return drawn
    random.seed(0)
    raise OSError(n)


def draw_unless_killed(n, folder):
    drawn = draw()
    try:
        os.mkdir(f"{folder}/{n}")
    except FileExistsError:
        return drawn
    os._exit(3)


EXPECTED = [expected(n) for n in range(60)]


@pytest.fixture(autouse=True)
def untouched():
    """The caller's own generators are where they were."""
    before = random.getstate(), np.random.get_state()
    yield
    assert random.getstate() == before[0]
    for mine, now in zip(before[1], np.random.get_state()):
        assert np.array_equal(mine, now)


@pytest.fixture(params=FACES)
def seeded(request):
    return FACES[request.param]


# --- with a seed


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_map_draws_the_same_with_any_number_of_workers(workers):
    with plait.ProcessPoolExecutor(workers, preload=PRELOAD, seed=7) as pool:
        assert list(pool.map(draw, range(60))) == EXPECTED
    if workers < 3:
        assert list(plait.map(draw, range(60), backend="processes", workers=workers, seed=7)) == EXPECTED


@pytest.mark.parametrize("backend", ["serial", "auto", "processes"])
def test_a_map_draws_the_same_on_any_backend(backend):
    assert list(plait.map(draw, range(60), backend=backend, seed=7)) == EXPECTED
    assert (
        list(plait.map(draw, iter(range(60)), range(99), backend=backend, seed=7, buffersize=3)) == EXPECTED
    )
    assert list(plait.map(draw, range(3), backend=backend, seed=8)) == [expected(n, seed=8) for n in range(3)]


@pytest.mark.parametrize("chunksize", [1, 7, 100])
def test_a_map_draws_the_same_in_any_chunks(chunksize):
    assert list(plait.map(draw, range(60), backend="processes", chunksize=chunksize, seed=7)) == EXPECTED


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_a_map_draws_the_same_in_any_order(backend):
    def numbered(n):
        return n, draw()

    results = plait.map(numbered, range(60), backend=backend, ordered=False, seed=7)
    assert sorted(results) == list(enumerate(EXPECTED))
    assert list(plait.map(draw, range(60), backend=backend, errors="return", seed=7)) == EXPECTED


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_a_try_draws_what_the_one_before_drew(backend, tmp_path):
    folders = [tmp_path] * 9
    assert (
        list(plait.map(draw_at_second, range(9), folders, backend=backend, retries=1, seed=7)) == EXPECTED[:9]
    )
    with FACES[backend](7, retries=1) as executor:
        for n in range(9, 12):
            assert executor.submit(draw_at_second, n, tmp_path).result() == EXPECTED[n - 9]


def test_a_try_after_a_death_too(tmp_path):
    drawn = plait.map(draw_unless_killed, range(3), [tmp_path] * 3, backend="processes", retries=1, seed=7)
    assert list(drawn) == EXPECTED[:3]


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_a_map_that_goes_on_from_a_checkpoint(backend, tmp_path):
    def fragile(n):
        if n == 20 and not (tmp_path / "again").exists():
            raise OSError("the power is gone")
        return draw()

    path = tmp_path / "kept.plait"
    with pytest.raises(OSError, match="power"):
        list(plait.map(fragile, range(60), backend=backend, checkpoint=path, seed=7))
    (tmp_path / "again").touch()
    assert list(plait.map(fragile, range(60), backend=backend, checkpoint=path, seed=7)) == EXPECTED
    with pytest.raises(plait.CheckpointError):
        list(plait.map(fragile, range(60), backend=backend, checkpoint=path, seed=8))


@pytest.mark.parametrize("backend", ["serial", "auto", "processes"])
@pytest.mark.parametrize("chunksize", [None, 7])
def test_an_asynchronous_map(backend, chunksize):
    async def items():
        for n in range(60):
            yield n

    async def main(source):
        results = plait.amap(draw, source, backend=backend, chunksize=chunksize, seed=7)
        return [drawn async for drawn in results]

    assert asyncio.run(main(range(60))) == EXPECTED
    assert asyncio.run(main(items())) == EXPECTED


def test_tasks_of_an_executor_are_numbered(seeded):
    with seeded(7) as executor:
        assert [future.result() for future in [executor.submit(draw) for _ in range(20)]] == EXPECTED[:20]
        assert list(executor.map(draw, range(20), chunksize=3)) == EXPECTED[20:40]
        assert list(executor.map(draw, range(10), buffersize=2)) == EXPECTED[40:50]
        assert executor.options(retries=1).submit(draw).result() == EXPECTED[50]
        assert list(executor.options(retries=1).map(draw, range(5))) == EXPECTED[51:56]


def test_other_ways_to_submit_are_numbered_too():
    class Counting(plait.ProcessPoolExecutor):
        submitted = 0

        def submit(self, fn, /, *args, **kwargs):
            self.submitted += 1
            return super().submit(fn, *args, **kwargs)

    with plait.ProcessPoolExecutor(2, max_pending=3, seed=7, preload=PRELOAD) as executor:
        assert executor.submit(draw).result() == EXPECTED[0]
        assert list(executor.map(draw, range(20), chunksize=3)) == EXPECTED[1:21]
    with Counting(2, seed=7, preload=PRELOAD) as executor:
        assert executor.submit(draw).result() == EXPECTED[0]
        assert list(executor.map(draw, range(20), chunksize=3)) == EXPECTED[1:21]


def test_each_task_begins_anew_and_leaves_nothing():
    def draw_some(n):
        for _ in range(n % 7):
            draw()
            np.random.standard_normal()
        random.seed(3) if n % 2 else np.random.seed(3)
        return n

    def drawn(n):
        return draw() if n % 2 else draw_some(n)

    for backend in ("serial", "processes"):
        results = list(plait.map(drawn, range(60), backend=backend, seed=7))
        assert results[1::2] == EXPECTED[1::2]


def draw_below(executor):
    """A task that submits tasks and maps, and draws before and after."""
    before = draw()
    tasks = [future.result() for future in [executor.submit(draw, 0) for _ in range(3)]]
    mapped = list(executor.map(draw, range(9), chunksize=4)), list(plait.map(draw, range(9)))
    return before, tasks, mapped, draw()


@pytest.mark.parametrize("workers", [1, 3])
def test_tasks_of_tasks(workers):
    with plait.ProcessPoolExecutor(workers, seed=7, preload=PRELOAD) as executor:
        found = [future.result() for future in [executor.submit(draw_below, executor) for _ in range(3)]]
    for n, (before, tasks, (mapped, again), after) in enumerate(found):
        assert before == EXPECTED[n]
        assert tasks == [expected(n, k) for k in range(3)]
        assert mapped == [expected(n, 3, k) for k in range(9)]
        assert again == [expected(n, 4, k) for k in range(9)]
        # The stream goes on where it was, whoever has run the tasks.
        own = random.Random(hashlib.blake2b(f"7/{n}".encode(), digest_size=32, person=b"plait seed").digest())
        assert [own.random(), own.random()] == [before[0], after[0]]


LATE = """
import random, sys
import plait

def late(n):
    assert n or "numpy" not in sys.modules
    import numpy
    return float(numpy.random.random_sample())

random.seed(1)
before = random.getstate()
print(*plait.map(late, [0, 1, 2], backend=sys.argv[1], workers=1, seed=7))
assert random.getstate() == before
if sys.argv[1] == "serial":
    import numpy
    print(float(numpy.random.random_sample()))
"""


@pytest.mark.parametrize("backend", ["serial", "processes"])
def test_numpy_that_comes_with_a_task(backend):
    programs = [run_program("-c", LATE, backend).lines for _ in range(2)]
    drawn = " ".join(str(numpy) for _, numpy in EXPECTED[:3])
    assert [lines[0] for lines in programs] == [drawn, drawn]
    if backend == "serial":
        # The program's own numbers are as if no task had been seeded.
        assert programs[0][1] != programs[1][1]
        assert programs[0][1] not in map(str, [numpy for _, numpy in EXPECTED])


def test_what_cannot_be_seeded_is_refused():
    async def later(n):
        return n

    for backend in ("threads", "asyncio"):
        with pytest.raises(ValueError, match=r"share.*processes"):
            plait.Executor(backend, seed=7)
    with pytest.raises(ValueError, match="which all threads of a process share"):
        plait.map(draw, [1], backend="threads", seed=7)
    with pytest.raises(ValueError, match="which all coroutines of a process share"):
        plait.map(later, [1], seed=7)
    with pytest.raises(ValueError, match="which all coroutines"):
        plait.amap(later, [1], backend="processes", seed=7)
    for seed in (True, "7", 7.0):
        for make in (plait.Executor, plait.ProcessPoolExecutor):
            with pytest.raises(TypeError, match="seed must be an integer or None"):
                make(seed=seed)
        with pytest.raises(TypeError, match="seed must be an integer or None"):
            plait.map(draw, [1], seed=seed)
    with pytest.raises(ValueError, match="seed must be 0 or more"):
        plait.map(draw, [1], seed=-1)


# --- without one


def drawing():
    """What a worker draws; it goes by value, so that no worker need load this module."""

    def draw_for_worker(_):
        import numpy

        return os.getpid(), random.random(), float(numpy.random.random_sample())

    return draw_for_worker


def all_differ(drawn):
    """None of the workers has drawn what another has."""
    for column in (1, 2):
        numbers = [row[column] for row in drawn]
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize(("preload", "tasks"), [(["numpy.random"], 48), ([], 16)])
def test_no_two_workers_draw_the_same(preload, tasks):
    """Eight at a time, and those that take their places."""
    with plait.ProcessPoolExecutor(8, preload=preload, max_tasks_per_child=2) as pool:
        assert pool.submit(lambda: "numpy.random" in sys.modules).result() is bool(preload)
        drawn = list(pool.map(drawing(), range(tasks)))
    assert len({pid for pid, *_ in drawn}) >= tasks / 2
    all_differ(drawn)


def test_a_pool_in_a_worker_draws_other_numbers():
    draw_for_worker = drawing()

    def below():
        with plait.ProcessPoolExecutor(2, preload=["numpy.random"]) as pool:
            return list(pool.map(draw_for_worker, range(4)))

    with plait.ProcessPoolExecutor(2, preload=["numpy.random"]) as pool:
        drawn = [row for future in [pool.submit(below) for _ in range(2)] for row in future.result()]
        drawn += pool.map(draw_for_worker, range(4))
    all_differ(drawn)
