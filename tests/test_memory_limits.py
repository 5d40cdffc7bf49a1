"""What workers are held to: memory."""

import os
import time

import plait
import pytest
import workloads as w

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest"]


def allocate(mib):
    data = bytearray(mib << 20)
    for at in range(0, len(data), 4096):
        data[at] = 1
    return len(data)


def allocate_for_ever(folder):
    print("about to allocate")
    data = []
    while True:
        data.append(allocate_block())


def allocate_block():
    return bytearray(os.urandom(1 << 20))


def test_a_worker_over_its_memory_limit(process_face, gate):
    with process_face(2, memory_limit="200MiB") as pool, gate:
        running = pool.submit(w.pass_gate, gate.folder, "a", "lived")
        gate.wait_for("a")
        greedy = pool.submit(allocate_for_ever, "x")
        others = [pool.submit(allocate, 20) for _ in range(5)]
        with pytest.raises(
            plait.WorkerDied, match=r"it used 2\d\d\.\d MiB of memory, over the limit of 200.0 MiB"
        ):
            greedy.result()
        error = greedy.exception()
        assert error.out_of_memory and error.memory_limit == 200 << 20
        assert error.peak_memory > 200 << 20
        assert "allocate_for_ever" in error.stack
        assert error.output == "about to allocate"
        assert [future.result() for future in others] == [20 << 20] * 5
        gate.open()
        assert running.result() == "lived"


_leak = []


def leak(mib):
    _leak.append(b"x" * (mib << 20))
    # Long enough that somebody can look.
    time.sleep(0.1)
    return os.getpid()


def test_a_worker_that_grows_is_replaced(process_face):
    with process_face(1, max_memory_growth="30MiB") as pool:
        pids = [pool.submit(leak, 8).result() for _ in range(20)]
        assert 2 <= len(set(pids)) <= 10
        # Each worker's calls are one run: it left once, between two calls.
        runs = [pid for pid, before in zip(pids, [None, *pids]) if pid != before]
        assert len(runs) == len(set(runs))


def test_a_worker_that_does_not_grow_stays(processes):
    with plait.ProcessPoolExecutor(1, max_memory_growth="100MiB") as pool:
        assert len({pool.submit(w.pid).result() for _ in range(20)}) == 1
        # What a call uses and gives back is no growth.
        pids = set()
        for _ in range(5):
            assert pool.submit(allocate, 150).result() == 150 << 20
            pids.add(pool.submit(w.pid).result())
        assert len(pids) == 1
