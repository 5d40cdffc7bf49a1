"""How executors end, on every backend: by `shutdown`, by garbage, with the program."""

import asyncio
import concurrent.futures as cf
import gc
import threading
import weakref

import pytest
import workloads as w
from conftest import Gate
from outside import PATIENCE, run_program, until

pytestmark = pytest.mark.once


def test_shutdown_finishes_what_is_pending(pool_face):
    pool = pool_face()
    futures = [pool.submit(w.add_one, n) for n in range(500)]
    pool.shutdown()
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == list(range(1, 501))


def test_shutdown_without_waiting_finishes_too(pool_face, gate):
    pool = pool_face(1)
    first = pool.submit(w.pass_gate, gate.folder, "a", 1)
    gate.wait_for("a")
    second = pool.submit(w.add_one, 1)
    pool.shutdown(wait=False)
    assert not first.done() and not second.done()
    gate.open()
    assert (first.result(), second.result()) == (1, 2)
    pool.shutdown()


def test_shutdown_may_cancel_what_has_not_begun(pool_face, gate):
    pool = pool_face(1)
    running = pool.submit(w.pass_gate, gate.folder, "a", "ran")
    gate.wait_for("a")
    queued = [pool.submit(w.add_one, n) for n in range(100)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    assert cf.wait(queued, timeout=0).not_done == set()
    gate.open()
    pool.shutdown()
    assert running.result() == "ran"


@pytest.mark.parametrize("cancel", [False, True], ids=["finish", "cancel"])
@pytest.mark.parametrize("wait", [False, True], ids=["go on", "wait"])
def test_every_shutdown_leaves_futures_as_the_stdlib_does(pool_face, wait, cancel, tmp_path):
    def states(pool, folder):
        """What becomes of a running and four pending calls: at once, and in the end."""
        folder.mkdir()
        gate = Gate(folder)
        running = pool.submit(w.pass_gate, gate.folder, "a", "ran")
        gate.wait_for("a")
        pending = [pool.submit(w.add_one, n) for n in range(4)]
        shutting = threading.Thread(target=pool.shutdown, args=(wait,), kwargs={"cancel_futures": cancel})
        shutting.start()
        if not wait:
            shutting.join()
        if cancel:
            until(lambda: all(future.done() for future in pending), "the cancelling of what has not begun")
        first = [future.done() for future in (running, *pending)], shutting.is_alive()
        gate.open()
        shutting.join()
        ended = [future.cancelled() or future.result() for future in (running, *pending)]
        pool.shutdown()
        return first, ended

    stdlib = states(cf.ThreadPoolExecutor(1), tmp_path / "stdlib")
    assert stdlib == (([False, *[cancel] * 4], wait), ["ran", *([True] * 4 if cancel else [1, 2, 3, 4])])
    assert states(pool_face(1), tmp_path / "plait") == stdlib


def test_shutdown_again_waits_again(pool_face, gate):
    pool = pool_face(1)
    future = pool.submit(w.pass_gate, gate.folder, "a")
    gate.wait_for("a")
    pool.shutdown(wait=False)
    others = [threading.Thread(target=pool.shutdown) for _ in range(3)]
    for thread in others:
        thread.start()
    assert not future.done() and all(thread.is_alive() for thread in others)
    gate.open()
    for thread in others:
        thread.join()
    assert future.done()
    pool.shutdown()


@pytest.mark.parametrize("wait", [False, True], ids=["go on", "wait"])
def test_a_callback_may_shut_its_pool_down(process_face, wait):
    pool = process_face(2)
    ended = threading.Event()

    def end(_):
        pool.shutdown(wait=wait)
        ended.set()

    first = pool.submit(w.add_one, 1)
    first.add_done_callback(end)
    assert ended.wait(PATIENCE) and first.result() == 2
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(w.add_one, 1)
    pool.shutdown()


def test_a_finalizer_may_shut_a_pool_down(pool_face):
    class Owner:
        def __init__(self):
            self.pool = pool_face(2)
            self.futures = [self.pool.submit(w.add_one, n) for n in range(100)]
            self.itself = self

        def __del__(self):
            self.pool.shutdown(wait=True)

    owner = Owner()
    pool, futures = weakref.ref(owner.pool), owner.futures
    del owner
    gc.collect()
    assert all(future.done() for future in futures)
    del futures
    until(lambda: gc.collect() is not None and pool() is None, "the end of the executor")


def test_an_executor_in_a_cycle_is_collected(pool_face):
    pool = pool_face(2)
    reference = weakref.ref(pool)
    futures = [pool.submit(w.add_one, n) for n in range(50)]
    pool.futures, pool.itself = futures, pool
    del pool
    gc.collect()
    assert [future.result() for future in futures] == list(range(1, 51))
    del futures
    until(lambda: gc.collect() is not None and reference() is None, "the end of the executor")


def test_an_executor_outlives_the_thread_that_made_it(pool_face):
    made = []

    def make():
        made.append(pool_face(2))
        made.append(made[0].submit(w.add_one, 1))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    pool, first = made
    with pool:
        assert (first.result(), pool.submit(w.add_one, 2).result()) == (2, 3)


def test_submit_after_shutdown_says_what_the_stdlib_says(face):
    with cf.ThreadPoolExecutor(1) as stdlib:
        pass
    with pytest.raises(RuntimeError) as said:
        stdlib.submit(w.add_one, 1)
    executor = face()
    executor.shutdown()
    with pytest.raises(RuntimeError, match=f"^{said.value}$"):
        executor.submit(w.add_one, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        list(executor.map(w.add_one, [1]))
    executor.shutdown()
    executor.shutdown(wait=False, cancel_futures=True)


def test_an_unused_executor_closes(face):
    face().shutdown()
    with face(1):
        pass


def test_the_with_statement_waits_also_when_its_body_raises(pool_face):
    with pytest.raises(ZeroDivisionError), pool_face() as pool:
        futures = [pool.submit(w.add_one, n) for n in range(100)]
        raise ZeroDivisionError
    assert all(future.done() for future in futures)


def test_async_with_does_not_block_the_loop(pool_face, gate):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while ticks < 20:
                await asyncio.sleep(0)
                ticks += 1
            gate.open()

        async with pool_face() as pool:
            future = pool.submit(w.pass_gate, gate.folder, "a", "through")
            ticking = asyncio.create_task(tick())
        # Leaving the block waits for the call, which waits for the loop to go on.
        await ticking
        return future.result(0)

    assert asyncio.run(main()) == "through"


def test_a_forgotten_executor_finishes_its_work_and_goes(pool_face, gate):
    pool = pool_face(2)
    reference = weakref.ref(pool)
    futures = [pool.submit(w.pass_gate, gate.folder, n, n) for n in range(2)]
    futures += [pool.submit(w.add_one, n) for n in range(100)]
    gate.wait_for(0, 1)
    del pool
    gc.collect()
    gate.open()
    assert [future.result() for future in futures] == [0, 1, *range(1, 101)]
    del futures
    until(lambda: gc.collect() is not None and reference() is None, "the end of the executor")


def test_a_forgotten_executor_ends_without_collecting_garbage(pool_face):
    gc.collect()
    gc.disable()
    try:
        pool = pool_face(1)
        reference = weakref.ref(pool)
        assert pool.submit(w.add_one, 1).result() == 2
        del pool
        until(lambda: reference() is None, "the end of the executor, which is in no cycle")
    finally:
        gc.enable()


FORGOTTEN = """
import sys
import plait, workloads

def note(*_):
    workloads.append(sys.argv[1], "done")

def submit():
    return executor.submit(workloads.append, sys.argv[1], "done")

executor = {make}
{work}
print("main has ended")
"""

MAKE = {
    "ThreadPoolExecutor": "plait.ThreadPoolExecutor(2)",
    "ProcessPoolExecutor": "plait.ProcessPoolExecutor(2)",
    "Executor-threads": "plait.Executor('threads', 2)",
    "Executor-processes": "plait.Executor('processes', 2)",
}

LEFT = {
    "unused": ("", 0),
    "used": ("submit().result()", 1),
    "pending": ("for _ in range(50): submit()", 50),
    "shut down": ("submit(); executor.shutdown(wait=False)", 1),
    "deleted": ("future = submit(); del executor", 1),
    "deleted with its future": ("submit(); del executor", 1),
    "callback": ("submit().add_done_callback(note)", 2),
}


@pytest.mark.parametrize("left", LEFT)
def test_the_interpreter_ends_without_shutdown(pool_face, tmp_path, left):
    work, expected = LEFT[left]
    record = tmp_path / "record"
    record.touch()
    ended = run_program("-c", FORGOTTEN.format(make=MAKE[pool_face.name], work=work), record)
    assert ended.lines == ["main has ended"]
    assert record.read_text().splitlines() == ["done"] * expected
