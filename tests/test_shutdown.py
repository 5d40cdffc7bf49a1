"""How executors end, on every backend: by `shutdown`, by garbage, with the program."""

import asyncio
import concurrent.futures as cf
import gc
import weakref

import pytest
import workloads as w
from outside import run_program, until


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


def test_submit_after_shutdown_says_what_the_stdlib_says(face):
    executor = face()
    executor.shutdown()
    with pytest.raises(RuntimeError, match=r"^cannot schedule new futures after shutdown$"):
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
