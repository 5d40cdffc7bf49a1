"""What executors tell of themselves: exact counts, and workers as they are, at any moment."""

import asyncio
import functools
import json
import os
import signal
import threading
import time

import plait
import pytest
from outside import is_alive, run_program, until
from workloads import pass_gate

pytestmark = pytest.mark.once
PRELOAD = ["pytest"]
# All that is counted.
COUNTS = ("submitted", "queued", "running", "done", "failed", "cancelled", "retried")


def counts(stats):
    """The counts that are not 0."""
    return {name: value for name in COUNTS if (value := getattr(stats, name))}


def rests(pool, **expected):
    """Waits until nothing runs or waits, and these are the counts."""
    until(lambda: not (stats := pool.stats()).running and not stats.queued, lambda: pool.stats())
    assert counts(pool.stats()) == expected


def with_workers(pool, count):
    """The figures once so many workers are known: a task may begin before the news of its worker's birth."""
    return until(lambda: len((stats := pool.stats()).workers) >= count and stats, lambda: pool.stats())


def fail(number=0):
    raise ValueError(number)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def fail_once(path):
    """Raises when it is called for the first time, wherever that is."""
    try:
        open(path, "x").close()
    except FileExistsError:
        return "second"
    raise ValueError("first")


def test_a_new_executor_has_counted_nothing(face):
    with face() as executor:
        stats = executor.stats()
        assert (stats.backend, stats.workers, counts(stats)) == (face.backend, (), {})
        assert (stats.workers_started, stats.workers_died, stats.workers_recycled) == (0, 0, 0)


def test_what_has_ended_is_counted(executor):
    values = [executor.submit(pow, number, 2) for number in range(7)]
    errors = [executor.submit(fail, number) for number in range(3)]
    assert [future.result() for future in values] == [number**2 for number in range(7)]
    assert all(isinstance(future.exception(), ValueError) for future in errors)
    # At once: who has a result finds it counted.
    assert counts(executor.stats()) == {"submitted": 10, "done": 7, "failed": 3}
    if executor.stats().backend != "serial":
        # Workers note it down after they have answered.
        until(lambda: sum(worker.done for worker in executor.stats().workers) == 10, lambda: executor.stats())


def test_what_runs_and_what_waits(pool, gate):
    futures = [pool.submit(pass_gate, gate.folder, name) for name in "abcde"]
    pids = gate.wait_for("a", "b")
    stats = with_workers(pool, 2)
    assert counts(stats) == {"submitted": 5, "running": 2, "queued": 3}
    assert [worker.state for worker in stats.workers] == ["busy", "busy"]
    assert {worker.task for worker in stats.workers} == {"workloads.pass_gate"}
    assert {worker.pid for worker in stats.workers} == set(pids)
    assert stats.workers_started == 2
    before = [worker.seconds for worker in stats.workers]
    assert all(seconds >= 0 for seconds in before)
    # It goes on counting.
    until(lambda: min(worker.seconds for worker in pool.stats().workers) > max(before), "the time to go on")
    assert futures[4].cancel()
    assert counts(pool.stats()) == {"submitted": 5, "running": 2, "queued": 2, "cancelled": 1}
    gate.open()
    for future in futures[:4]:
        future.result()
    rests(pool, submitted=5, done=4, cancelled=1)
    idle = pool.stats().workers
    assert {(worker.state, worker.task, worker.seconds) for worker in idle} == {("idle", None, None)}
    until(lambda: sum(worker.done for worker in pool.stats().workers) == 4, lambda: pool.stats())


def test_workers_of_each_kind_tell_what_they_have(pool_face):
    with pool_face(1) as pool:
        pool.submit(sum, range(1000)).result()
        [worker] = with_workers(pool, 1).workers
        assert worker.cpu_seconds is None or worker.cpu_seconds >= 0
        if pool_face.backend == "processes":
            assert worker.name == "plait-worker-0" and worker.thread_id is None
            assert worker.pid != os.getpid() and is_alive(worker.pid)
            assert 1_000_000 < worker.memory <= worker.peak_memory
        else:
            assert (worker.pid, worker.memory, worker.peak_memory) == (os.getpid(), None, None)
            [thread] = [it for it in threading.enumerate() if it.native_id == worker.thread_id]
            assert worker.name == thread.name


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: functools.partial(pass_gate), "workloads.pass_gate"),
        (lambda: lambda folder, name: pass_gate(folder, name), "<lambda>"),
    ],
    ids=["partial", "lambda"],
)
def test_tasks_have_names(pool, gate, make, name):
    future = pool.submit(make(), gate.folder, "a")
    gate.wait_for("a")
    [task] = [worker.task for worker in with_workers(pool, 1).workers if worker.state == "busy"]
    assert task.endswith(name)
    gate.open()
    future.result()


def test_further_tries_are_counted(face, tmp_path):
    with face(retries=2) as executor:
        assert executor.submit(fail_once, str(tmp_path / "flag")).result() == "second"
        assert counts(executor.stats()) == {"submitted": 1, "done": 1, "retried": 1}
        assert isinstance(executor.submit(fail).exception(), ValueError)
        assert counts(executor.stats()) == {"submitted": 2, "done": 1, "failed": 1, "retried": 3}


def test_deaths_are_counted(process_face):
    with process_face(1, retries=1) as pool:
        assert isinstance(pool.submit(die).exception(), plait.WorkerDied)
        rests(pool, submitted=1, failed=1, retried=1)
        stats = pool.stats()
        assert (stats.workers_started, stats.workers_died, stats.workers_recycled) == (2, 2, 0)
        # One that dies while it does nothing.
        pid = pool.submit(os.getpid).result()
        os.kill(pid, signal.SIGKILL)
        until(lambda: pool.stats().workers_died == 3, lambda: pool.stats())
        assert pool.submit(os.getpid).result() != pid
        assert counts(pool.stats()) == {"submitted": 3, "done": 2, "failed": 1, "retried": 1}


def test_replaced_workers_are_counted(process_face):
    with process_face(1, max_tasks_per_child=1) as pool:
        assert len({pool.submit(os.getpid).result() for _ in range(3)}) == 3
        until(lambda: pool.stats().workers_recycled >= 2, lambda: pool.stats())
        assert pool.stats().workers_died == 0
        assert counts(pool.stats()) == {"submitted": 3, "done": 3}
    # Those that end with the pool are no recycled ones.
    assert pool.stats().workers_recycled <= 3


def test_calls_that_are_stopped(process_face, gate):
    with process_face(1) as pool:
        running = pool.submit(pass_gate, gate.folder, "a")
        gate.wait_for("a")
        assert running.cancel()
        rests(pool, submitted=1, cancelled=1)
        late = pool.options(timeout=0.05).submit(pass_gate, gate.folder, "b")
        assert isinstance(late.exception(), plait.TaskTimeout)
        rests(pool, submitted=2, cancelled=1, failed=1)
        until(lambda: pool.stats().workers_recycled == 2, lambda: pool.stats())
        assert pool.stats().workers_died == 0


def test_a_call_that_a_thread_goes_on_with(gate):
    with plait.ThreadPoolExecutor(1, timeout=0.05) as pool:
        assert isinstance(pool.submit(pass_gate, gate.folder, "a").exception(), plait.TaskTimeout)
        assert pool.submit(abs, -3).result() == 3
        stats = pool.stats()
        assert counts(stats) == {"submitted": 2, "failed": 1, "done": 1}
        assert sorted(worker.state for worker in stats.workers) == ["abandoned", "idle"]
        [lost] = [worker for worker in stats.workers if worker.state == "abandoned"]
        assert lost.task == "workloads.pass_gate"
        gate.open()
        until(lambda: all(worker.state == "idle" for worker in pool.stats().workers), lambda: pool.stats())


def test_a_task_within_a_task_of_threads(gate):
    with plait.ThreadPoolExecutor(1) as pool:
        outer = pool.submit(lambda: pool.submit(pass_gate, gate.folder, "inner").result())
        gate.wait_for("inner")
        stats = pool.stats()
        assert counts(stats) == {"submitted": 2, "running": 2}
        assert [worker.task for worker in stats.workers] == ["workloads.pass_gate"]
        gate.open()
        outer.result()
        assert counts(pool.stats()) == {"submitted": 2, "done": 2}


def test_while_it_is_closed_and_after(pool_face, gate):
    pool = pool_face(1)
    running, waiting = (pool.submit(pass_gate, gate.folder, name) for name in "ab")
    gate.wait_for("a")
    pool.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    assert counts(pool.stats()) == {"submitted": 2, "running": 1, "cancelled": 1}
    gate.open()
    running.result()
    pool.shutdown()
    stats = pool.stats()
    assert (stats.workers, counts(stats)) == ((), {"submitted": 2, "done": 1, "cancelled": 1})
    assert stats.workers_died == stats.workers_recycled == 0
    assert pool.stats() == stats


def test_workers_that_are_killed_with_the_pool_have_not_died(gate):
    pool = plait.ProcessPoolExecutor(1, preload=PRELOAD)
    future = pool.submit(pass_gate, gate.folder, "a")
    gate.wait_for("a")
    pool.kill_workers()
    assert isinstance(future.exception(), plait.WorkerDied)
    pool.shutdown()
    assert (pool.stats().workers_died, counts(pool.stats())) == (0, {"submitted": 1, "failed": 1})


def test_a_broken_pool_tells_its_last_figures(pool_face):
    with pool_face(1, initializer=fail) as pool:
        future = pool.submit(abs, -1)
        assert isinstance(future.exception(), pool_face.broken)
        assert counts(pool.stats()) == {"submitted": 1, "failed": 1}


def test_what_is_refused_is_not_counted(face):
    executor = face(1)
    executor.shutdown()
    with pytest.raises(RuntimeError):
        executor.submit(abs, 1)
    assert counts(executor.stats()) == {}


def test_views_tell_the_same(executor):
    executor.submit(abs, 1).result()
    assert executor.options(retries=1).stats().submitted == 1


async def wait_for(event):
    await event.wait()


async def fail_soon():
    raise ValueError


def test_coroutines(tmp_path):
    events = []

    async def meet(number):
        events.append((asyncio.get_running_loop(), event := asyncio.Event()))
        await event.wait()
        return number

    with plait.Executor("asyncio", 2) as executor:
        futures = [executor.submit(meet, number) for number in range(5)]
        until(lambda: len(events) == 2, "two to begin")
        assert counts(executor.stats()) == {"submitted": 5, "running": 2, "queued": 3}
        assert futures[4].cancel() and futures[4].cancel()
        assert futures[0].cancel()
        until(lambda: futures[0].done(), "its end")
        assert counts(executor.stats())["cancelled"] == 2
        until(lambda: len(events) == 3, "the next to begin")
        while not all(future.done() for future in futures):
            for loop, event in list(events):
                loop.call_soon_threadsafe(event.set)
            time.sleep(0.001)
        rests(executor, submitted=5, done=3, cancelled=2)
        again = executor.options(retries=1).submit(fail_soon)
        assert isinstance(again.exception(), ValueError)
        assert counts(executor.stats()) == {
            "submitted": 6,
            "done": 3,
            "cancelled": 2,
            "failed": 1,
            "retried": 1,
        }
    assert executor.stats().backend == "asyncio" and executor.stats().workers == ()


def test_backend_auto(gate):
    with plait.Executor("auto") as executor:
        assert counts(executor.stats()) == {}
        futures = [executor.submit(pass_gate, gate.folder, name) for name in range(40)]
        gate.wait_for(0)
        stats = executor.stats()
        assert stats.submitted == 40 and stats.running + stats.queued == 40 and stats.running > 0
        cancelled = sum(future.cancel() for future in futures)
        gate.open()
        for future in futures:
            if not future.cancelled():
                future.result()
        rests(executor, submitted=40, done=40 - cancelled, cancelled=cancelled)
        assert executor.stats().backend == "auto"
    assert counts(executor.stats()) == {"submitted": 40, "done": 40 - cancelled, "cancelled": cancelled}


@pytest.mark.parametrize("kind", [plait.Pool, plait.ThreadPool])
def test_pools(kind):
    with kind(2, initializer=time.time) as pool:
        assert pool.map(abs, range(6), chunksize=2) == list(range(6))
        with pytest.raises(ValueError):
            pool.apply(fail)
        until(lambda: not pool.stats().running and not pool.stats().queued, lambda: pool.stats())
        assert counts(pool.stats()) == {"submitted": 4, "done": 3, "failed": 1}
        pool.close()
        pool.join()
        assert counts(pool.stats()) == {"submitted": 4, "done": 3, "failed": 1}


def ask(executor):
    try:
        return executor.stats()
    except RuntimeError as error:
        return str(error)


def test_a_worker_is_told_to_ask_elsewhere(process_face):
    with process_face(1) as pool:
        assert "ask the program that made it" in pool.submit(ask, pool).result()


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_forked_child_is_told_that_the_pool_is_its_parents(backend):
    program = f"""
import os, plait, warnings
warnings.simplefilter("ignore")
with plait.Executor({backend!r}, 1) as executor:
    executor.submit(abs, -1).result()
    if (child := os.fork()) == 0:
        try:
            executor.stats()
        except RuntimeError as error:
            print(error, flush=True)
        with plait.ThreadPoolExecutor(1) as own:
            own.submit(abs, -1).result()
            print(own.stats().done, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print(executor.stats().done)
"""
    ended = run_program("-c", program)
    assert ended.lines == [
        "this pool belongs to the parent process; make a new one after os.fork()",
        "1",
        "1",
    ], ended


def test_figures_as_text_and_as_dict(pool, gate):
    pool.submit(pass_gate, gate.folder, "a")
    gate.wait_for("a")
    stats = with_workers(pool, 1)
    lines = str(stats).splitlines()
    assert lines[0] == f"{stats.backend}: 1 running, 0 queued, 0 done; 1 of {len(stats.workers)} workers busy"
    assert any("busy with workloads.pass_gate, for " in line for line in lines[1:])
    told = json.loads(json.dumps(stats.as_dict()))
    assert (told["submitted"], told["backend"]) == (1, stats.backend)
    assert {worker["state"] for worker in told["workers"]} <= {"busy", "idle"}
    with pytest.raises(AttributeError):
        stats.done = 5
    gate.open()


def test_asking_all_the_time_does_no_harm(pool):
    """Many threads ask while tasks come, fail and are cancelled."""
    over = threading.Event()
    wrong = []

    def watch():
        while not over.is_set():
            stats = pool.stats()
            ended = stats.done + stats.failed + stats.cancelled
            if ended > stats.submitted or stats.running > stats.submitted:
                wrong.append(stats)

    askers = [threading.Thread(target=watch) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        futures = [pool.submit(fail if number % 3 == 0 else abs, number) for number in range(600)]
        cancelled = sum(future.cancel() for future in futures[::7])
        failed = sum(isinstance(f.exception(), ValueError) for f in futures if not f.cancelled())
    finally:
        over.set()
        for asker in askers:
            asker.join()
    assert wrong == []
    # A call that ends at the moment at which it is stopped is counted as what it did.
    until(lambda: (now := pool.stats()).done + now.failed + now.cancelled == 600, lambda: pool.stats())
    stats = pool.stats()
    ended = cancelled - stats.cancelled
    assert 0 <= stats.failed - failed <= ended and 0 <= stats.done - (600 - cancelled - failed) <= ended
