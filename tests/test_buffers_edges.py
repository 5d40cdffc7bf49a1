"""Buffers where things go wrong or go far: workers killed over them, senders that resize them,
objects of gigabytes.

Memory is counted in the files that it lies in, each once, so that what other programs do does not matter.
"""

import array
import fcntl
import os
import signal
import threading
from pathlib import Path

import numpy as np
import parcels as p
import plait
import pytest
import workloads as w
from conftest import Gate
from outside import descendants, is_alive, until
from platforms import gives_back, shared_file

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest", "numpy"]

LARGE = 48 << 20
TIMES = 6


@pytest.fixture
def worker():
    """A pool of one worker."""
    with plait.ProcessPoolExecutor(1, preload=PRELOAD) as pool:
        yield pool


# --- memory comes back


def shared_bytes():
    """The pages of all anonymous shared memory that this process and its children have open."""
    found = {}
    for pid in (os.getpid(), *descendants(os.getpid())):
        try:
            entries = list(os.scandir(f"/proc/{pid}/fd"))
        except OSError:
            continue
        for entry in entries:
            try:
                if shared_file(os.readlink(entry.path)):
                    stat = entry.stat()
                    found[stat.st_dev, stat.st_ino] = stat.st_blocks * 512
            except OSError:
                continue
    return sum(found.values())


def stays_flat(pool, once):
    """Does something again and again: from the third time on memory is warm, and not more than it was."""
    once()
    once()
    before = shared_bytes()
    for _ in range(TIMES):
        once()
    enough = before + LARGE * 3 // 2
    until(
        lambda: shared_bytes() <= enough,
        lambda: f"memory to come back: {shared_bytes() >> 20} MiB, {before >> 20} MiB before",
    )
    assert p.is_filled(pool.submit(w.identity, p.filled(LARGE)).result(), 1)


def test_shared_memory_is_counted(worker, gate):
    running = worker.submit(w.pass_gate, gate.folder, "a", p.filled(LARGE))
    assert shared_bytes() >= LARGE
    gate.open()
    assert p.is_filled(running.result(), 1)


@pytest.mark.parametrize("kind", [p.filled, p.sealed], ids=["array", "bytes"])
def test_a_worker_dies_where_it_loads_an_argument(worker, kind):
    def once():
        error = worker.submit(w.arguments, kind(LARGE), p.KillsOnLoading()).exception()
        assert isinstance(error, plait.WorkerDied)

    stays_flat(worker, once)


@pytest.mark.parametrize("kind", [p.filled, p.sealed], ids=["array", "bytes"])
def test_a_worker_dies_where_it_pickles_a_result(worker, kind):
    def once():
        error = worker.submit(p.large_and, kind, LARGE, p.KillsOnPickling).exception()
        assert isinstance(error, plait.WorkerDied)

    stays_flat(worker, once)


@gives_back
def test_a_worker_is_killed_while_it_copies_a_result(worker):
    died = []

    def once():
        pid = worker.submit(w.pid).result()
        before = shared_bytes()
        future = worker.submit(p.filled, 4 * LARGE)
        until(lambda: shared_bytes() > before + LARGE or future.done(), "the copy to begin")
        os.kill(pid, signal.SIGKILL)
        error = future.exception()
        died.append(error is not None)
        if error is None:
            assert p.is_filled(future.result(), 1)
        else:
            assert isinstance(error, plait.WorkerDied)
        until(lambda: not is_alive(pid), "the end of the worker")

    stays_flat(worker, once)
    assert any(died), "no worker was killed in time"


def test_a_worker_is_killed_with_an_argument_in_hand(worker, tmp_path):
    folders = iter(range(100))

    def once():
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        entered = folder / "entered-a"
        future = worker.submit(w.pass_gate, str(folder), "a", p.filled(LARGE))
        until(lambda: entered.exists() and entered.read_text(), "the call")
        os.kill(int(entered.read_text()), signal.SIGKILL)
        assert isinstance(future.exception(), plait.WorkerDied)

    stays_flat(worker, once)


def test_a_worker_is_killed_that_keeps_arguments_and_results(worker):
    def once():
        pid = worker.submit(p.keep, "a", p.filled(LARGE)).result()
        kept = worker.submit(p.kept, "a").result()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), "the end of the worker")
        assert p.is_filled(kept, 1)
        assert worker.submit(w.add_one, 1).result() == 2

    stays_flat(worker, once)


@pytest.mark.parametrize("ending", ["loading an argument", "loading a result"])
def test_values_that_will_not_load(worker, ending):
    def once():
        with pytest.raises(Exception, match="will not load"):
            if ending == "loading an argument":
                worker.submit(w.arguments, p.filled(LARGE), p.FailsOnLoading()).result()
            else:
                worker.submit(p.large_and, p.filled, LARGE, p.FailsOnLoading).result()

    stays_flat(worker, once)


def test_arguments_and_results_that_cannot_be_pickled(worker):
    sent = bytearray(LARGE)

    def once():
        with pytest.raises(plait.NotPicklable):
            worker.submit(w.arguments, p.filled(LARGE), sent, threading.Lock()).result()
        sent.extend(b"nobody holds it any more")
        with pytest.raises(plait.NotPicklable):
            worker.submit(p.large_and, p.filled, LARGE, threading.Lock).result()

    stays_flat(worker, once)


def test_results_that_nobody_reads_and_calls_that_are_cancelled(worker, tmp_path):
    folders = iter(range(100))

    def once():
        folder = tmp_path / str(next(folders))
        folder.mkdir()
        with Gate(folder) as gate:
            blocked = worker.submit(w.pass_gate, gate.folder, "a")
            gate.wait_for("a")
            futures = [worker.submit(w.identity, p.filled(LARGE)) for _ in range(3)]
            assert all(future.cancel() for future in futures[1:])
        blocked.result()
        until(futures[0].done, "the one call that was not cancelled")

    stays_flat(worker, once)


def test_arguments_that_are_kept_and_forgotten(worker):
    def once():
        worker.submit(p.keep, "a", p.filled(LARGE)).result()
        worker.submit(p.forget).result()

    stays_flat(worker, once)


def test_pools_that_come_and_go(worker):
    def once():
        with plait.ProcessPoolExecutor(1, preload=PRELOAD) as pool:
            kept = pool.submit(w.identity, p.filled(LARGE)).result()
        assert p.is_filled(kept, 1)

    stays_flat(worker, once)


# --- senders that resize what is sent


class Resizes:
    """Resizes the buffer that goes before it while it is pickled itself, if it may."""

    def __init__(self, buffer):
        self.buffer = buffer
        self.refused = None

    def __reduce__(self):
        try:
            self.buffer.extend(self.buffer[:100_000])
            self.refused = False
        except BufferError:
            self.refused = True
        return str, ("resized",)


@pytest.mark.parametrize(
    "make",
    [lambda: bytearray(b"\1" * 300_000), lambda: array.array("b", b"\1" * 300_000)],
    ids=["bytearray", "array.array"],
)
def test_a_buffer_is_resized_while_it_is_sent(worker, make):
    sent = make()
    resizes = Resizes(sent)
    (arrived, text), _ = worker.submit(w.arguments, sent, resizes).result()
    assert text == "resized" and set(bytes(arrived)) == {1}
    # Refused while it is held; else the copy was made before. Either way it is what it was.
    assert len(arrived) == 300_000 and resizes.refused is not None
    assert len(sent) == (300_000 if resizes.refused else 400_000)
    sent.extend(sent)
    assert len(sent) in (600_000, 800_000)


def test_a_view_of_what_is_resized_while_it_is_sent(worker):
    """The exporter of a view refuses to be resized as long as the view is there."""
    sent = bytearray(b"\1" * 300_000)
    resizes = Resizes(sent)
    (arrived, _), _ = worker.submit(w.arguments, np.frombuffer(sent, "u1"), resizes).result()
    assert resizes.refused and p.is_filled(arrived, 1) and len(arrived) == 300_000
    sent.extend(b"\1")


def test_threads_that_resize_what_is_sent(worker):
    """Who resizes may be refused; who sends gets one of the lengths that there were, whole."""
    sent = bytearray(b"\1" * 200_000)
    stop = threading.Event()
    wrong = []

    def resize():
        while not stop.is_set():
            try:
                sent.extend(b"\2" * 100_000)
                del sent[200_000:]
            except BufferError:
                continue
            except BaseException as error:
                wrong.append(error)
                raise

    thread = threading.Thread(target=resize)
    thread.start()
    try:
        for _ in range(200):
            arrived = worker.submit(w.identity, sent).result()
            assert bytes(arrived) in (b"\1" * 200_000, b"\1" * 200_000 + b"\2" * 100_000)
    finally:
        stop.set()
        thread.join()
    assert not wrong
    sent.clear()


# --- objects beyond 2 and 4 GiB

BEYOND = {"bytes": 2**31 + 4097, "array": 2**32 + 2**20 + 8}


def available():
    """The memory that is free, in bytes."""
    [line] = [x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemAvailable")]
    return int(line.split()[1]) << 10


def huge(kind, size):
    """An object of that size, zero but for marks; the system gives pages for what is written alone."""
    if kind == "bytes":
        return bytes(size)
    made = np.zeros(size, "u1")
    for place in marked(size):
        made[place] = place % 251 + 1
    return made


def marked(size):
    """Places before and after each power of two, and at both ends."""
    return [0, size - 1, *(at + aside for at in (2**12, 2**30, 2**31, 2**32) for aside in (-1, 0, 1))]


def marks(value):
    """The length, and what stands at the marks."""
    return type(value).__name__, len(value), [int(value[at]) for at in marked(len(value)) if at < len(value)]


@pytest.fixture
def alone():
    """The only test that has much memory, also where the suites of several Pythons run at the same time."""
    with open(__file__) as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        yield


@pytest.mark.timeout(250, method="signal")
@pytest.mark.usefixtures("alone")
def test_objects_beyond_2_and_4_gib():
    if available() < 3 * BEYOND["array"]:
        pytest.skip("takes 12 GiB of memory")
    with plait.ProcessPoolExecutor(1, preload=PRELOAD) as pool:
        for kind, size in BEYOND.items():
            sent = huge(kind, size)
            expected = marks(sent)
            assert pool.submit(marks, sent).result() == expected
            del sent
            assert marks(pool.submit(huge, kind, size).result()) == expected
