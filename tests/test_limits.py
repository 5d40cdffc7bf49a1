"""What calls are held to: time and tries; and the stopping of a call that runs."""

import asyncio
import os
import signal
import time
import weakref
from concurrent.futures import CancelledError, wait

import plait
import pytest
import workloads as w
from outside import is_alive, until

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest"]

# --- time


def loop_for_ever(folder):
    note_pid(folder)
    while True:
        pass


def sleep_for_ever(folder):
    note_pid(folder)
    time.sleep(600)


def hold_the_gil(folder):
    note_pid(folder)
    # One call of C that neither lets go of the interpreter nor looks for signals, as a bad extension does.
    sum(range(10**15))


def refuse_to_end(folder):
    note_pid(folder)
    while True:
        try:
            time.sleep(600)
        except BaseException:
            continue


def wait_for_a_lock(folder):
    import threading

    note_pid(folder)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def note_pid(folder):
    with open(os.path.join(folder, "pid"), "a") as file:
        file.write(f"{os.getpid()}\n")


def noted_pids(folder):
    try:
        with open(os.path.join(folder, "pid")) as file:
            return [int(line) for line in file]
    except FileNotFoundError:
        return []


STUBBORN = [loop_for_ever, sleep_for_ever, hold_the_gil, refuse_to_end, wait_for_a_lock]


@pytest.mark.parametrize("call", STUBBORN)
def test_a_call_outlives_its_timeout(process_face, gate, tmp_path, call):
    with process_face(2, timeout=0.2) as pool, gate:
        untimed = pool.options(timeout=None)
        running = untimed.submit(w.pass_gate, gate.folder, "a", "lived")
        [other] = gate.wait_for("a")
        late = pool.submit(call, tmp_path)
        after = [pool.submit(w.add_one, n) for n in range(50)]
        with pytest.raises(
            plait.TaskTimeout, match=rf"{call.__name__} took longer than its timeout of 0.2 s"
        ):
            late.result()
        error = late.exception()
        assert isinstance(error, TimeoutError) and isinstance(error, plait.PlaitError)
        [pid] = noted_pids(tmp_path)
        assert (error.timeout, error.pid, error.tries) == (0.2, pid, 1)
        assert error.task.endswith(call.__name__)
        until(lambda: not is_alive(pid), "the end of the worker whose call took too long")
        assert [future.result() for future in after] == list(range(1, 51))
        gate.open()
        assert running.result() == "lived"
        # The other worker was not touched.
        assert other != pid


def test_the_error_shows_where_a_call_was_stopped(tmp_path):
    import traceback

    # Loading this module is part of the first call.
    with plait.ProcessPoolExecutor(1, timeout=0.5) as pool:
        error = pool.submit(loop_for_ever, tmp_path).exception()
        assert "in loop_for_ever" in "".join(traceback.format_exception(error))
        error = pool.submit(hold_the_gil, tmp_path).exception()
        assert "in hold_the_gil" in error.stack
        assert "in hold_the_gil" in "".join(traceback.format_exception(error))


def tidy_up(folder):
    note_pid(folder)
    try:
        while True:
            pass
    finally:
        w.append(os.path.join(folder, "tidy"), "done")


def test_a_stopped_call_can_tidy_up(tmp_path):
    with plait.ProcessPoolExecutor(1, timeout=0.1, grace=30) as pool:
        assert isinstance(pool.submit(tidy_up, tmp_path).exception(), plait.TaskTimeout)
    assert (tmp_path / "tidy").read_text() == "done\n"


class Node:
    pass


def sleep_in_a_callback(folder):
    # An error in a weak reference's callback goes to `sys.unraisablehook`, and no further.
    node = Node()
    ref = weakref.ref(node, lambda _: sleep_for_ever(folder))
    del node
    w.append(os.path.join(folder, "went-on"), ref())
    time.sleep(600)


def test_the_order_to_end_is_not_lost_where_errors_are(tmp_path, capfd):
    with plait.ProcessPoolExecutor(1, grace=600) as pool:
        future = pool.submit(sleep_in_a_callback, tmp_path)
        [pid] = until(lambda: noted_pids(tmp_path), "the call")
        assert future.cancel()
        until(lambda: not is_alive(pid), "the end of the worker")
    assert capfd.readouterr().err == ""


def test_calls_in_time_are_left_alone(process_face):
    with process_face(2, timeout=30) as pool:
        assert [pool.submit(w.add_one, n).result() for n in range(100)] == list(range(1, 101))
        pids = {pool.submit(w.pid).result() for _ in range(50)}
    assert len(pids) <= 2


def sleep_and_tell(n, seconds):
    time.sleep(seconds)
    return n


def test_no_other_call_is_hit(processes):
    # Calls that end about when their time is over: each has its value or its timeout, none dies of another's.
    limited = processes.options(timeout=0.02)
    futures = [limited.submit(sleep_and_tell, n, 0.016 + n % 8 * 0.001) for n in range(60)]
    bystanders = [processes.submit(w.add_one, n) for n in range(60)]
    for n, future in enumerate(futures):
        error = future.exception()
        assert isinstance(error, plait.TaskTimeout) or (error is None and future.result() == n), error
    assert [future.result() for future in bystanders] == list(range(1, 61))


def test_time_counts_from_the_start_of_a_call(tmp_path):
    with plait.ProcessPoolExecutor(1, timeout=5) as pool:
        futures = [pool.submit(sleep_and_tell, n, 0.3) for n in range(3)]
        late = pool.options(timeout=0.6).submit(sleep_and_tell, 3, 0.05)
        assert [future.result() for future in futures] == [0, 1, 2]
        assert late.result() == 3


def test_a_stopped_worker_process_is_killed_when_its_time_is_over(gate):
    # Stopped by a signal it can do nothing, not even end when asked to.
    with plait.ProcessPoolExecutor(1, timeout=0.3) as pool:
        future = pool.submit(w.pass_gate, gate.folder, "a")
        [pid] = gate.wait_for("a")
        os.kill(pid, signal.SIGSTOP)
        assert isinstance(future.exception(), plait.TaskTimeout)
        assert pool.submit(w.add_one, 1).result() == 2


def test_map_has_a_timeout_for_each_call():
    results = plait.map(sleep_and_tell, range(4), [0, 0, 600, 0], backend="processes", timeout=0.3, workers=2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(plait.TaskTimeout):
        next(results)
    results = plait.map(sleep_and_tell, range(4), [0.2] * 4, backend="processes", timeout=0.5, workers=1)
    assert list(results) == [0, 1, 2, 3]


def test_a_map_of_a_pool_with_a_timeout(processes):
    with plait.ProcessPoolExecutor(2, timeout=0.3) as pool:
        results = pool.map(sleep_and_tell, range(3), [0, 600, 0], chunksize=3)
        assert next(results) == 0
        with pytest.raises(plait.TaskTimeout):
            next(results)
    results = processes.options(timeout=0.3).map(sleep_and_tell, range(3), [0, 600, 0])
    assert next(results) == 0
    with pytest.raises(plait.TaskTimeout):
        next(results)


# --- cancelling


@pytest.mark.parametrize("call", STUBBORN)
def test_a_running_call_is_cancelled(process_face, gate, tmp_path, call):
    with process_face(2) as pool, gate:
        running = pool.submit(w.pass_gate, gate.folder, "a", "lived")
        gate.wait_for("a")
        future = pool.submit(call, tmp_path)
        after = [pool.submit(w.add_one, n) for n in range(50)]
        [pid] = until(lambda: noted_pids(tmp_path), "the call's start")
        told = []
        future.add_done_callback(told.append)
        assert future.cancel()
        assert future.cancelled() and future.done() and not future.running()
        with pytest.raises(CancelledError):
            future.result()
        until(lambda: not is_alive(pid), "the end of the worker whose call was cancelled")
        assert [f.result() for f in after] == list(range(1, 51))
        until(lambda: told == [future], "the callback")
        assert future.cancel()
        gate.open()
        assert running.result() == "lived"


def test_an_ended_call_is_not_cancelled(processes):
    future = processes.submit(w.add_one, 1)
    until(future.done, "the result")
    assert not future.cancel()
    assert future.result() == 2


def test_a_cancelled_call_is_not_tried_again(tmp_path):
    with plait.ProcessPoolExecutor(1, retries=5) as pool:
        future = pool.submit(sleep_for_ever, tmp_path)
        until(lambda: noted_pids(tmp_path), "the call's start")
        assert future.cancel()
        assert pool.submit(w.add_one, 1).result() == 2
    assert len(noted_pids(tmp_path)) == 1


def test_cancels_at_any_moment_hit_nobody_else(processes):
    for _ in range(10):
        futures = [processes.submit(sleep_and_tell, n, n % 3 * 0.001) for n in range(40)]
        cancelled = {n for n in range(0, 40, 3) if futures[n].cancel()}
        for n, future in enumerate(futures):
            if n in cancelled:
                assert future.cancelled()
            else:
                assert future.result() == n


def test_cancelling_in_asyncio_stops_the_call(processes, tmp_path):
    async def main():
        task = asyncio.ensure_future(asyncio.wrap_future(processes.submit(sleep_for_ever, tmp_path)))
        while not noted_pids(tmp_path):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    [pid] = noted_pids(tmp_path)
    until(lambda: not is_alive(pid), "the end of the worker")
    assert processes.submit(w.add_one, 1).result() == 2


def test_waiters_hear_of_a_cancelled_call(processes, tmp_path):
    future = processes.submit(sleep_for_ever, tmp_path)
    until(lambda: noted_pids(tmp_path), "the call's start")
    assert wait([future], timeout=0)[1] == {future}
    assert future.cancel()
    assert wait([future]).done == {future}


# --- tries


def tries_so_far(folder, name):
    path = os.path.join(folder, name)
    w.append(path, "x")
    with open(path) as file:
        return len(file.readlines())


def fail_until(folder, name, tries):
    if tries_so_far(folder, name) < tries:
        raise ValueError("not yet")
    return name


def die_until(folder, name, tries):
    if tries_so_far(folder, name) < tries:
        w.kill_self()
    return name


def linger_until(folder, name, tries):
    if tries_so_far(folder, name) < tries:
        time.sleep(600)
    return name


@pytest.mark.parametrize("call", [fail_until, die_until, linger_until])
def test_a_call_is_tried_again(process_face, tmp_path, call):
    with process_face(2, retries=2, timeout=1) as pool:
        futures = [pool.submit(call, tmp_path, f"{n}", 1 + n % 3) for n in range(6)]
        assert [future.result() for future in futures] == [f"{n}" for n in range(6)]
        assert sorted(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == [1, 1, 2, 2, 3, 3]


def test_a_task_that_kills_its_worker_again_and_again_is_blamed_at_last(process_face):
    with process_face(2) as pool:
        poison = pool.options(retries=3).submit(w.kill_self)
        others = [pool.submit(w.add_one, n) for n in range(200)]
        error = poison.exception()
        assert isinstance(error, plait.WorkerDied)
        assert error.tries == 4
        assert "in each of 4 tries" in str(error)
        assert [future.result() for future in others] == list(range(1, 201))


def test_the_last_exception_is_the_outcome(tmp_path):
    with plait.ProcessPoolExecutor(1, retries=2) as pool:
        with pytest.raises(ValueError, match="not yet"):
            pool.submit(fail_until, tmp_path, "a", 9).result()
        assert len((tmp_path / "a").read_text().splitlines()) == 3


def test_map_tries_again(tmp_path):
    names = [f"{n}" for n in range(5)]
    folders = [tmp_path] * 5
    tries = [1, 2, 1, 3, 1]
    results = plait.map(die_until, folders, names, tries, backend="processes", retries=2, workers=2)
    assert list(results) == names
