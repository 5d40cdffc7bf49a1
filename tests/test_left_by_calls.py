"""What calls leave behind in their worker: it has a moment to end, and then the worker ends without it."""

import os
import signal
import subprocess
import sys
import threading
import time

import plait
import pytest
import workloads as w
from endings import POOLS, Program
from outside import is_alive, until

pytestmark = pytest.mark.once


def forever():
    threading.Event().wait()


def start_thread(daemon):
    threading.Thread(target=forever, daemon=daemon).start()
    return os.getpid()


def start_pool_thread():
    import concurrent.futures

    pool = concurrent.futures.ThreadPoolExecutor(2)
    pool.submit(forever)
    return os.getpid()


def start_own_pool_thread():
    plait.ThreadPoolExecutor(2).submit(forever)
    return os.getpid()


def start_program():
    code = "import time; time.sleep(600)"
    return os.getpid(), subprocess.Popen([sys.executable, "-c", code]).pid


def start_process(daemon):
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=daemon)
    process.start()
    return os.getpid(), process.pid


LEFT = {
    "thread": lambda: start_thread(False),
    "daemon thread": lambda: start_thread(True),
    "thread of a pool": start_pool_thread,
    "thread of plait's pool": start_own_pool_thread,
}


@pytest.mark.parametrize("left", LEFT)
def test_a_thread_that_never_ends_does_not_hold_up_shutdown(left):
    with plait.ProcessPoolExecutor(1) as pool:
        worker = pool.submit(LEFT[left]).result()
        assert pool.submit(w.add_one, 1).result() == 2
    assert not is_alive(worker)


@pytest.mark.parametrize("start", [start_program, lambda: start_process(False)], ids=["program", "process"])
def test_a_process_that_never_ends_does_not_hold_up_shutdown(start):
    with plait.ProcessPoolExecutor(1) as pool:
        worker, other = pool.submit(start).result()
    try:
        # It is nobody's business but the call's.
        assert not is_alive(worker) and is_alive(other)
    finally:
        os.kill(other, signal.SIGKILL)


def test_a_daemon_process_ends_with_its_worker():
    with plait.ProcessPoolExecutor(1) as pool:
        worker, other = pool.submit(start_process, True).result()
    until(lambda: not is_alive(other), "the end of a daemonic process of a worker that has ended")
    assert not is_alive(worker)


def test_a_worker_with_an_endless_thread_is_replaced_as_any_other():
    with plait.ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
        workers = [pool.submit(LEFT["thread"]).result() for _ in range(3)]
        assert len(set(workers)) == 3
    assert not any(is_alive(worker) for worker in workers)


@pytest.mark.parametrize("left", [None, "thread"])
def test_a_worker_runs_its_atexit_functions(tmp_path, left):
    def register(path):
        import atexit

        atexit.register(w.append, path, "atexit")

    record = tmp_path / "record"
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(register, record).result()
        if left is not None:
            pool.submit(LEFT[left]).result()
    assert record.read_text() == "atexit\n"


def test_threads_of_calls_may_end_in_peace(tmp_path):
    def work_on(path):
        def slowly():
            time.sleep(0.3)
            w.append(path, "done")

        threading.Thread(target=slowly).start()

    record = tmp_path / "record"
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(work_on, record).result()
    assert record.read_text() == "done\n"


def test_pools_of_calls_finish_what_was_submitted(tmp_path):
    def submit(path):
        import plait

        global kept
        kept = plait.ProcessPoolExecutor(1)
        kept.submit(w.sleep, 3)
        kept.submit(w.append, path, "done")

    record = tmp_path / "record"
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(submit, record).result()
    assert record.read_text() == "done\n"


def test_the_interpreter_ends_although_threads_in_workers_do_not(tmp_path):
    script = """
import threading
def leave():
    threading.Thread(target=threading.Event().wait).start()
for _ in range(4):
    executor.submit(leave).result()
"""
    assert Program(tmp_path, POOLS["ProcessPoolExecutor"] + script).finish().lines == []
