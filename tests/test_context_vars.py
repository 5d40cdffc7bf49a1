"""Context variables follow a task: it sees what its submitter saw, and what it sets ends with it."""

import asyncio
import contextvars
import os
import threading

import plait
import pytest
from outside import run_program

pytestmark = pytest.mark.once

user = contextvars.ContextVar("user", default="nobody")
depth = contextvars.ContextVar("depth", default=0)


@pytest.fixture(autouse=True)
def a_context_of_its_own():
    """No test sees what another has set."""
    assert user.get() == "nobody"
    tokens = user.set("the caller"), depth.set(0)
    yield
    # Nothing that a task has set has come back.
    assert user.get() == "the caller" and depth.get() == 0
    user.reset(tokens[0])
    depth.reset(tokens[1])


def look(n=None):
    """What a task finds; and it leaves something else behind."""
    seen = user.get()
    user.set(f"task {n}")
    assert user.get() == f"task {n}"
    return seen


def look_twice(n, folder):
    """Fails at its first try."""
    seen = look(n)
    try:
        os.mkdir(f"{folder}/{n}")
    except FileExistsError:
        return seen
    raise OSError(n)


async def look_later(n):
    seen = look(n)
    await asyncio.sleep(0)
    assert user.get() == f"task {n}"
    return seen


def changed_by(consumer):
    """The results of a map whose consumer has other values than whoever started it."""
    token = user.set("somebody else")
    try:
        return list(consumer)
    finally:
        user.reset(token)


# --- executors


def test_a_task_sees_the_values_of_its_submit(executor):
    def submit(name):
        user.set(name)
        return executor.submit(look, name)

    futures = [contextvars.copy_context().run(submit, f"user {n}") for n in range(20)]
    assert [future.result() for future in futures] == [f"user {n}" for n in range(20)]
    assert executor.submit(look).result() == "the caller"


def test_without_values_there_is_nothing_to_see(executor):
    futures = [contextvars.Context().run(executor.submit, look, n) for n in range(20)]
    assert [future.result() for future in futures] == ["nobody"] * 20


def test_a_map_of_an_executor_has_the_values_of_its_caller(executor):
    assert changed_by(executor.map(look, range(30))) == ["the caller"] * 30
    assert changed_by(executor.map(look, iter(range(30)), buffersize=2)) == ["the caller"] * 30
    assert changed_by(executor.map(look, range(30), chunksize=4)) == ["the caller"] * 30
    assert changed_by(executor.options(retries=1).map(look, range(9), buffersize=2)) == ["the caller"] * 9


def test_each_try_begins_anew(face, tmp_path):
    with face(retries=1) as executor:
        assert executor.submit(look_twice, 1, tmp_path).result() == "the caller"


def test_a_try_after_one_that_goes_on_unheard():
    """A thread cannot be stopped: the first try is still in its context when the second begins."""
    tried = []

    def wait_once():
        seen = look()
        tried.append(seen)
        if len(tried) == 1:
            done.wait(40)
        return seen

    done = threading.Event()
    with plait.ThreadPoolExecutor(2, timeout=0.05, retries=1) as pool:
        try:
            assert pool.submit(wait_once).result() == "the caller"
        finally:
            done.set()
    assert tried == ["the caller"] * 2


def set_both():
    user.set("the initializer")
    depth.set(7)


def user_and_depth():
    seen = user.get(), depth.get()
    depth.set(8)
    return seen


def test_what_an_initializer_sets_is_there_where_the_submitter_sets_nothing(pool_face):
    def submit(name=None):
        if name is not None:
            user.set(name)
        return pool.submit(user_and_depth)

    with pool_face(2, initializer=set_both) as pool:
        futures = [contextvars.Context().run(submit, name) for name in (None, "a user", None, "another")]
        seen = [future.result() for future in futures]
    assert seen == [(name, 7) for name in ("the initializer", "a user", "the initializer", "another")]


def go_down(pool, levels):
    before = depth.get()
    depth.set(before + 1)
    if levels:
        below = pool.submit(go_down, pool, levels - 1).result()
        # Whoever has run it, here or elsewhere, it has left nothing.
        assert depth.get() == before + 1
        return [before, *below]
    return [before, *pool.map(look_deeper, range(20), chunksize=4), *plait.map(look_deeper, range(9))]


def look_deeper(_):
    seen = depth.get()
    depth.set(99)
    return seen


def test_a_task_is_a_submitter_too(pool_face):
    with pool_face(2) as pool:
        assert pool.submit(go_down, pool, 3).result() == [0, 1, 2, 3, *[4] * 29]


# --- maps

BACKENDS = ["serial", "threads", "processes", "auto"]
WAYS = {
    "plain": {},
    "lazy": {"buffersize": 2},
    "retries": {"retries": 1},
    "errors": {"errors": "return"},
    "unordered": {"ordered": False, "buffersize": 3},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_has_the_values_of_its_caller(backend, way):
    items = (n for n in range(60))
    assert changed_by(plait.map(look, items, backend=backend, **WAYS[way])) == ["the caller"] * 60


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_map_with_several_inputs_and_chunks(backend):
    def look_at_two(a, b):
        assert a == b
        return look(a)

    assert (
        changed_by(plait.map(look_at_two, range(40), range(40), backend=backend, chunksize=8))
        == ["the caller"] * 40
    )


def test_a_serial_map_is_as_the_builtin_otherwise():
    def to_the_end(n):
        if n == 2:
            raise StopIteration
        return n

    assert list(plait.map(to_the_end, range(5), backend="serial")) == [0, 1]
    results = plait.map(divmod, [7, 8], [0, 3, 5], backend="serial")
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [(2, 2)]


@pytest.mark.parametrize("backend", ["asyncio", "processes"])
@pytest.mark.parametrize("buffersize", [None, 4])
def test_coroutines_on_a_loop_of_plaits(backend, buffersize):
    items = (n for n in range(60))
    results = plait.map(look_later, items, backend=backend, concurrency=5, buffersize=buffersize)
    assert changed_by(results) == ["the caller"] * 60


ASYNCHRONOUS = [
    *[(look, backend) for backend in BACKENDS],
    (look_later, "processes"),
    (look_later, "asyncio"),
]


@pytest.mark.parametrize(("function", "backend"), ASYNCHRONOUS)
@pytest.mark.parametrize("chunksize", [None, 5])
def test_an_asynchronous_map_has_the_values_of_its_caller(backend, function, chunksize):
    async def main():
        items = (n for n in range(30))
        results = plait.amap(function, items, backend=backend, chunksize=chunksize, buffersize=9)
        user.set("somebody else")
        return [seen async for seen in results]

    assert asyncio.run(main()) == ["the caller"] * 30


# --- the other faces


@pytest.mark.parametrize("kind", [plait.Pool, plait.ThreadPool])
def test_pools(kind):
    with kind(2) as pool:
        assert pool.apply(look) == "the caller"
        assert pool.apply_async(look).get() == "the caller"
        assert pool.map(look, range(30), chunksize=5) == ["the caller"] * 30
        assert pool.starmap(look, [(n,) for n in range(9)], chunksize=4) == ["the caller"] * 9
        assert changed_by(pool.imap(look, (n for n in range(30)), chunksize=2)) == ["the caller"] * 30
        assert changed_by(pool.imap_unordered(look, (n for n in range(3000)))) == ["the caller"] * 3000


def test_joblib():
    joblib = pytest.importorskip("joblib")
    from plait._joblib import pools

    for batch_size in (1, 4, "auto"):
        run = joblib.Parallel(n_jobs=2, backend="plait", batch_size=batch_size, pre_dispatch=2)
        assert run(joblib.delayed(look)(n) for n in range(40)) == ["the caller"] * 40
    pools.clear(kept=True)


PATCHED = """
import contextvars
import plait

plait.patch()

from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import Pool

user = contextvars.ContextVar("user", default="nobody")
user.set("before the pool")

def look(n=None):
    seen = user.get()
    user.set("a task")
    return seen

if __name__ == "__main__":
    for make in (ThreadPoolExecutor, ProcessPoolExecutor, Pool):
        with make(1) as pool:
            before = list(pool.map(look, range(3)))
            token = user.set("the caller")
            print(before, list(pool.map(look, range(3))))
            user.reset(token)
"""


@pytest.mark.once
def test_patched_pools(tmp_path):
    script = tmp_path / "patched.py"
    script.write_text(PATCHED)
    line = f"{['before the pool'] * 3} {['the caller'] * 3}"
    assert [told for told in run_program(script).lines if told.startswith("[")] == [line] * 3
