"""What is sent by value stays apart: nothing written to it on one side is seen on another, and what was kept
lives on, whatever becomes of tasks, workers, pools and the sender's own.

Blocks of shared memory are used again and again, so each test sends more after what it looks at.
"""

import functools
import gc
import os
import random
import signal
import threading

import numpy as np
import parcels as p
import plait
import pytest
import workloads as w
from outside import is_alive, until

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest", "numpy"]

# Below the size from which buffers go their own way, just above it, and well above it: with that the way is
# the same, and only the room is found elsewhere.
SIZES = [1_000, 70_000, pytest.param(3_000_000, marks=pytest.mark.once)]
MANY = 30


@pytest.fixture(params=SIZES)
def size(request):
    return request.param


@pytest.fixture
def worker():
    """A pool of one worker."""
    with plait.ProcessPoolExecutor(1, preload=PRELOAD) as pool:
        yield pool


def churn(pool, size, times=MANY):
    """Uses memory of that size up and down, both ways, with other contents."""
    for result in [pool.submit(w.identity, p.filled(size, 0xBB)) for _ in range(times)]:
        assert p.is_filled(result.result(), 0xBB)
    for result in pool.map(p.filled, [size] * times, [0xCC] * times, chunksize=4):
        assert p.is_filled(result, 0xCC)


# --- what a task writes


@pytest.mark.parametrize("make", [p.filled, lambda n: bytearray(b"\1" * n)], ids=["array", "bytearray"])
def test_a_task_writes_to_its_argument(processes, size, make):
    sent = make(size)
    futures = [processes.submit(p.overwrite, sent) for _ in range(20)]
    assert [future.result() for future in futures] == [(1, 0xEE)] * 20
    assert list(processes.map(p.overwrite, [sent] * 20)) == [(1, 0xEE)] * 20
    seen = plait.map(p.overwrite, [sent] * 20, backend="processes", workers=2, chunksize=1)
    assert list(seen) == [(1, 0xEE)] * 20
    assert bytes(sent) == b"\1" * size


def test_tasks_of_one_chunk_write_to_arrays_of_their_own(processes, size):
    sent = p.filled(100 * size).reshape(100, size)
    assert list(processes.map(p.overwrite, list(sent[:20]), chunksize=5)) == [(1, 0xEE)] * 20
    assert list(plait.map(p.overwrite, list(sent), backend="processes", workers=2)) == [(1, 0xEE)] * 100
    assert p.is_filled(sent, 1)


def check_chunks(seen):
    """Within a chunk one object is one object, as in the stdlib; the next chunk has one of its own."""
    assert set(seen) <= {(1, 0xEE), (0xEE, 0xEE)}
    assert seen[0] == (1, 0xEE)


def test_items_of_one_chunk_that_are_one_object_are_one_there(processes, size):
    sent = p.filled(size)
    seen = list(processes.map(p.overwrite, [sent] * 20, chunksize=5))
    assert seen == [(1, 0xEE), *[(0xEE, 0xEE)] * 4] * 4
    check_chunks(list(plait.map(p.overwrite, [sent] * 100, backend="processes", workers=2)))
    assert p.is_filled(sent, 1)


def overwrite_first(array, *_):
    return p.overwrite(array)


def test_what_is_bound_to_a_function_is_fresh_for_each_call(processes, size):
    sent = p.filled(size)
    call = functools.partial(overwrite_first, sent)
    futures = [processes.submit(call) for _ in range(20)]
    assert [future.result() for future in futures] == [(1, 0xEE)] * 20
    assert list(processes.map(call, range(20))) == [(1, 0xEE)] * 20
    assert p.is_filled(sent, 1)


def test_what_is_bound_to_a_function_is_fresh_for_each_chunk(processes, size):
    sent = p.filled(size)
    call = functools.partial(overwrite_first, sent)
    seen = list(processes.map(call, range(20), chunksize=5))
    assert seen == [(1, 0xEE), *[(0xEE, 0xEE)] * 4] * 4
    check_chunks(list(plait.map(call, range(100), backend="processes", workers=2)))
    assert p.is_filled(sent, 1)


def overwrite_in_threads(array):
    threads = [threading.Thread(target=p.overwrite, args=(part,)) for part in np.array_split(array, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return array


def test_a_task_gives_back_the_argument_that_it_wrote_to(processes, size):
    sent = p.filled(size)
    for result in processes.map(overwrite_in_threads, [sent] * 10):
        assert p.is_filled(result, 0xEE)
    assert p.is_filled(sent, 1)


def write_and_call_again(array):
    """Writes to its argument after it gave it to a pool within, whose task writes to it too."""
    with plait.ProcessPoolExecutor(1) as pool:
        inner = pool.submit(p.overwrite, array)
        array[:] = 7
        return inner.result(), p.is_filled(array, 7)


def test_arguments_given_on_by_a_task(processes, size):
    sent = p.filled(size)
    assert processes.submit(write_and_call_again, sent).result() == ((1, 0xEE), True)
    assert p.is_filled(sent, 1)


# --- what the sender does afterwards


def test_arguments_are_as_they_were_at_submit(worker, size, gate):
    blocked = worker.submit(w.pass_gate, gate.folder, "a")
    gate.wait_for("a")
    sent = p.filled(size)
    futures = []
    for byte in range(1, 20):
        sent[:] = byte
        futures.append(worker.submit(p.is_filled, sent, byte))
    sent[:] = 0xFF
    del sent
    gate.open()
    blocked.result()
    assert all(future.result() for future in futures)


def test_a_bound_array_that_is_changed_between_calls(worker, size):
    sent = p.filled(size)
    call = functools.partial(p.is_filled, sent)
    for byte in range(1, 20):
        sent[:] = byte
        assert worker.submit(call, byte).result()
    # In one place only, by another way in.
    memoryview(sent)[size // 2] = 0
    assert not worker.submit(call, 19).result()


def test_what_a_worker_keeps(worker, size):
    sent = p.filled(size)
    pid = worker.submit(p.keep, "all", sent).result()
    worker.submit(p.keep, "part", sent[size // 3 : size // 2]).result()
    worker.submit(p.keep, "same", sent).result()
    sent[:] = 9
    churn(worker, size)
    del sent
    gc.collect()
    churn(worker, size)
    for name in ("all", "part", "same"):
        assert worker.submit(p.kept_is_filled, name, 1).result()
    assert len(worker.submit(p.kept, "part").result()) == size // 2 - size // 3
    assert worker.submit(w.pid).result() == pid


def keep_parts(array):
    """Keeps what hangs on an argument by one thread each: a view, a memoryview, a loop over it, a method."""
    view = memoryview(array)
    p.keep("view", array[5:])
    p.keep("memoryview", view[5:])
    p.keep("iterator", iter(array))
    p.keep("method", array.sum)


def kept_parts():
    view, window, iterator, method = (p.kept(n) for n in ("view", "memoryview", "iterator", "method"))
    return p.is_filled(view, 1), set(bytes(window)), set(map(int, iterator)), int(method())


def test_what_a_worker_keeps_of_an_argument(worker, size):
    sent = p.filled(size)
    worker.submit(keep_parts, sent).result()
    sent[:] = 9
    churn(worker, size)
    assert worker.submit(kept_parts).result() == (True, {1}, {1}, size)
    worker.submit(p.forget).result()
    churn(worker, size)


def test_what_a_worker_keeps_and_writes_to(worker, size):
    sent = p.filled(size)
    worker.submit(p.keep, "all", sent).result()
    assert worker.submit(p.overwrite, sent).result() == (1, 0xEE)
    worker.submit(write_to_kept, "all").result()
    churn(worker, size)
    assert worker.submit(p.kept_is_filled, "all", 0xEE).result()
    assert p.is_filled(sent, 1)


def write_to_kept(name):
    p.overwrite(p.kept(name))


def keep_in_cycle(array):
    loop = [array]
    loop.append(loop)


def test_arguments_in_cycles_go_in_their_time(worker, size):
    for _ in range(MANY):
        worker.submit(keep_in_cycle, p.filled(size)).result()
    assert worker.submit(gc.collect).result() >= 0
    churn(worker, size)


# --- results


def test_results_are_writable_and_ones_own(worker, size):
    results = [worker.submit(p.filled, size, byte).result() for byte in range(1, 40)]
    for array in results[::2]:
        assert array.flags.writeable
        assert p.overwrite(array)[1] == 0xEE
    churn(worker, size)
    for byte, array in enumerate(results, 1):
        assert p.is_filled(array, byte if byte % 2 == 0 else 0xEE)


def test_a_result_of_what_the_worker_keeps(worker, size):
    worker.submit(p.keep, "table", p.filled(size)).result()
    for _ in range(5):
        first, second = worker.submit(p.kept, "table").result(), worker.submit(p.kept, "table").result()
        p.overwrite(first)
        assert p.is_filled(second, 1)
        assert worker.submit(p.kept_is_filled, "table", 1).result()
    worker.submit(write_to_kept, "table").result()
    assert p.is_filled(second, 1)
    assert p.is_filled(worker.submit(p.kept, "table").result(), 0xEE)


def test_a_result_is_sent_and_written_to_by_turns(processes, size):
    array = processes.submit(p.filled, size, 1).result()
    for byte in range(2, 20):
        # Sent before it is written to, after, and in part.
        before = processes.submit(p.is_filled, array, byte - 1)
        array[:] = byte
        after = processes.submit(p.is_filled, array, byte)
        part = processes.submit(p.is_filled, array[11:-11:3], byte)
        assert before.result() and after.result() and part.result()
        assert processes.submit(p.overwrite, array).result() == (byte, 0xEE)
        assert p.is_filled(array, byte)


def test_a_result_written_to_in_one_place(processes, size):
    array = processes.submit(p.filled, size, 1).result()
    for place in random.Random(size).sample(range(size), 20):
        array[place] = 2
        assert np.array_equal(processes.submit(w.identity, array).result(), array)
    assert int((array == 2).sum()) == 20


def test_one_result_asked_for_twice(processes, size):
    future = processes.submit(p.filled, size, 1)
    p.overwrite(future.result())
    assert p.is_filled(future.result(), 0xEE)
    assert future.result() is future.result()


# --- what results outlive


def test_results_outlive_their_pool(size):
    with plait.ProcessPoolExecutor(2, preload=PRELOAD) as pool:
        results = [pool.submit(p.filled, size, byte).result() for byte in range(1, 20)]
        unread = [pool.submit(p.filled, size, byte) for byte in range(20, 40)]
    del pool
    gc.collect()
    with plait.ProcessPoolExecutor(2, preload=PRELOAD) as pool:
        churn(pool, size)
    results += [future.result() for future in unread]
    for byte, array in enumerate(results, 1):
        assert p.is_filled(array, byte)
        array[:] = 0
    # Their memory was given by a pool that is gone, and is sent all the same.
    with plait.ProcessPoolExecutor(1) as pool:
        assert all(pool.map(p.is_filled, results, [0] * len(results)))


def test_results_outlive_the_worker_that_was_killed(worker, size):
    results = [worker.submit(p.filled, size, byte).result() for byte in range(1, 20)]
    unread = [worker.submit(p.filled, size, byte) for byte in range(20, 40)]
    until(lambda: all(future.done() for future in unread), "the results")
    pid = worker.submit(w.pid).result()
    os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), "the end of the worker")
    churn(worker, size)
    assert worker.submit(w.pid).result() != pid
    results += [future.result() for future in unread]
    for byte, array in enumerate(results, 1):
        assert p.is_filled(array, byte)
        assert p.overwrite(array) == (byte, 0xEE)
    churn(worker, size)


def test_results_of_a_chunk_outlive_the_worker_that_dies_in_it(worker, size):
    results = worker.map(filled_or_dead, [size] * 8, range(1, 9), chunksize=8)
    arrived = [next(results) for _ in range(5)]
    with pytest.raises(plait.WorkerDied):
        next(results)
    churn(worker, size)
    for byte, array in enumerate(arrived, 1):
        assert p.is_filled(array, byte)


def filled_or_dead(size, byte):
    if byte == 6:
        w.kill_self()
    return p.filled(size, byte)


def test_results_outlive_workers_that_are_replaced(size):
    with plait.ProcessPoolExecutor(2, max_tasks_per_child=3, preload=PRELOAD) as pool:
        results = list(pool.map(p.filled, [size] * 40, range(1, 41)))
    for byte, array in enumerate(results, 1):
        assert p.is_filled(array, byte)


def test_arguments_outlive_the_worker_that_had_them(size):
    # Each try gets them whole, whatever the one before it has done to them.
    with plait.ProcessPoolExecutor(1, retries=2, preload=PRELOAD) as pool:
        sent = p.filled(size)
        assert isinstance(pool.submit(write_and_die, sent).exception(), plait.WorkerDied)
        assert pool.submit(p.overwrite, sent).result() == (1, 0xEE)
        assert p.is_filled(sent, 1)


def write_and_die(array):
    # Another end than this one's would show that the try before was seen.
    if p.overwrite(array)[0] == 1:
        w.kill_self()
    return "seen"


def test_a_few_of_many_results_are_kept(processes, size):
    lot = random.Random(size)
    held = {}
    for step in range(200):
        byte = step % 250 + 1
        result = processes.submit(p.filled, lot.randrange(size, size * 2), byte).result()
        held[lot.randrange(12)] = (byte, result)
        assert all(p.is_filled(array, b) for b, array in held.values())


def test_results_in_threads(processes, size):
    """Threads that send, hold and drop at the same time each see their own."""
    wrong = []

    def go(seed):
        lot = random.Random(seed)
        held = []
        for step in range(40):
            byte = lot.randrange(1, 250)
            array = processes.submit(w.identity, p.filled(size, byte)).result()
            held.append((byte, array))
            if len(held) > 4:
                held.pop(lot.randrange(5))
            wrong.extend((seed, step, b) for b, array in held if not p.is_filled(array, b))

    threads = [threading.Thread(target=go, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
