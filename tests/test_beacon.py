"""Which task each thread of plait's runs, as observers see it in the process's memory."""

import functools
import os
import textwrap
import threading
import time

import beacons
import plait
import pytest
from outside import children, is_nursery, run_program, until

PRELOAD = ["pytest"]


class Gate:
    """Calls that say who they are and then wait; they are let go at the end of the test."""

    def __init__(self, folder):
        self.folder = str(folder)

    def begun(self, count):
        """Waits until so many calls have begun; gives process and thread of each, by the call's name."""
        names = until(
            lambda: (found := os.listdir(self.folder)) and len(found) >= count and found, "calls to begin"
        )
        return {name.split("-")[0]: tuple(map(int, name.split("-")[1:])) for name in names if "-" in name}

    def open(self):
        """Lets them go."""
        open(os.path.join(self.folder, "open"), "x").close()


def stay(folder, name):
    """Waits in a call until the gate is open."""
    open(os.path.join(folder, f"{name}-{os.getpid()}-{threading.get_native_id()}"), "x").close()
    until(lambda: os.path.exists(os.path.join(folder, "open")), "the gate to open")


class Job:
    def run(self, folder, name):
        stay(folder, name)

    def __call__(self, folder, name):
        stay(folder, name)


class Built:
    def __init__(self, folder, name):
        stay(folder, name)


@pytest.fixture
def gate(tmp_path):
    gate = Gate(tmp_path)
    yield gate
    if not os.path.exists(tmp_path / "open"):
        gate.open()


@pytest.fixture(params=["processes", "threads"])
def pool(request, process_face):
    """A pool of each kind with three workers."""
    with process_face(3) if request.param == "processes" else plait.ThreadPoolExecutor(3) as pool:
        yield pool


def doing_in(pid):
    return {doing.tid: doing for doing in beacons.read(pid).doing}


def names_by_call(gate, count):
    """What is seen of each call that waits at the gate."""
    begun = gate.begun(count)
    return {name: doing_in(pid).get(tid) for name, (pid, tid) in begun.items()}


def test_each_thread_tells_its_task(pool, gate):
    before = time.monotonic_ns()
    futures = [pool.submit(stay, gate.folder, name) for name in "abc"]
    seen = names_by_call(gate, 3)
    assert all(doing and doing.name == "test_beacon.stay" and doing.depth == 1 for doing in seen.values()), (
        seen
    )
    assert len({doing.task for doing in seen.values()}) == 3
    for doing in seen.values():
        assert doing.since == 0 or before <= doing.since <= time.monotonic_ns()
    places = set(gate.begun(3).values())
    gate.open()
    for future in futures:
        future.result()
    for pid, tid in places:
        until(lambda pid=pid, tid=tid: tid not in doing_in(pid), "the task to be over")


def test_workers_note_when_a_task_began(process_face, gate):
    with process_face(1) as pool:
        pool.submit(os.getpid).result()
        before = time.monotonic_ns()
        pool.submit(stay, gate.folder, "a")
        assert before <= names_by_call(gate, 1)["a"].since <= time.monotonic_ns()
        gate.open()


def test_names_of_all_kinds_of_callables(pool, gate):
    def inner(folder, name):
        stay(folder, name)

    callables = {
        "closure": (inner, "test_beacon.test_names_of_all_kinds_of_callables.<locals>.inner"),
        "lambda": (
            lambda folder, name: stay(folder, name),
            "test_beacon.test_names_of_all_kinds_of_callables.<locals>.<lambda>",
        ),
        "partial": (functools.partial(functools.partial(stay), gate.folder), "test_beacon.stay"),
        "method": (Job().run, "test_beacon.Job.run"),
        "instance": (Job(), "Job"),
        "class": (Built, "Built"),
        "builtin": (exec, "exec"),
    }
    for name, (function, expected) in callables.items():
        match name:
            case "partial":
                args = (name,)
            case "builtin":
                args = (
                    "from test_beacon import stay; stay(folder, name)",
                    {"folder": gate.folder, "name": name},
                )
            case _:
                args = (gate.folder, name)
        future = pool.submit(function, *args)
        assert names_by_call(gate, 1)[name].name == expected
        gate.open()
        future.result()
        for left in os.listdir(gate.folder):
            os.remove(os.path.join(gate.folder, left))


def test_a_name_of_many_letters_and_a_long_one(pool, gate):
    def work(folder, name):
        stay(folder, name)

    for name, qualname in [("umlauts", "größe.日本語"), ("long", "n" * 5000), ("half", "\ud800")]:
        work.__qualname__ = qualname
        future = pool.submit(work, gate.folder, name)
        seen = names_by_call(gate, 1)[name].name
        assert seen == ("test_beacon" if name == "half" else f"test_beacon.{qualname}")
        gate.open()
        future.result()
        for left in os.listdir(gate.folder):
            os.remove(os.path.join(gate.folder, left))


def fail(folder, name):
    stay(folder, name)
    raise LookupError(name)


def test_a_task_that_fails_is_over(pool, gate):
    future = pool.submit(fail, gate.folder, "a")
    ((pid, tid),) = gate.begun(1).values()
    assert doing_in(pid)[tid].name == "test_beacon.fail"
    gate.open()
    assert isinstance(future.exception(), LookupError)
    until(lambda: tid not in doing_in(pid), "the task to be over")


def test_a_map_is_seen_by_the_function_it_maps(gate):
    with plait.ProcessPoolExecutor(1) as pool:
        results = pool.map(functools.partial(stay, gate.folder), "ab", chunksize=2)
        assert names_by_call(gate, 1)["a"].name == "test_beacon.stay"
        gate.open()
        list(results)


def test_a_task_within_a_task(gate):
    with plait.ThreadPoolExecutor(1) as pool:

        def outer():
            pool.submit(stay, gate.folder, "inner").result()
            os.remove(os.path.join(gate.folder, "open"))
            stay(gate.folder, "outer")

        future = pool.submit(outer)
        inner = names_by_call(gate, 1)["inner"]
        gate.open()
        seen = until(lambda: names_by_call(gate, 1).get("outer"), "the outer one to go on")
        gate.open()
        future.result()
    assert (inner.name, inner.depth, seen.depth) == ("test_beacon.stay", 2, 1)
    assert seen.name == "test_beacon.test_a_task_within_a_task.<locals>.outer"
    assert seen.tid == inner.tid and seen.task != inner.task


def test_what_a_worker_runs_in_place_is_a_task(process_face, gate):
    with process_face(1) as pool:
        future = pool.submit(ask, pool, stay, gate.folder, "a")
        seen = names_by_call(gate, 1)["a"]
        assert (seen.name, seen.depth) == ("test_beacon.stay", 2)
        gate.open()
        future.result()


def ask(pool, fn, *args):
    return pool.submit(fn, *args).result()


@pytest.mark.parametrize("kind", ["map", "executor"])
def test_what_plait_puts_between_is_not_shown(kind, gate):
    """Calls that are measured and calls on threads whose number follows what they take."""
    if kind == "map":
        results = plait.map(functools.partial(stay, gate.folder), ["a", "b", "c"], backend="auto")
        thread = threading.Thread(target=list, args=(results,))
        thread.start()
        seen = names_by_call(gate, 1)
        gate.open()
        thread.join()
    else:
        with plait.Executor(backend="auto") as executor:
            executor.submit(stay, gate.folder, "a")
            seen = names_by_call(gate, 1)
            gate.open()
    assert seen["a"].name == "test_beacon.stay", seen


def test_roles(process_face, gate):
    assert beacons.read(os.getpid()).role == ""
    with process_face(2) as pool:
        for name in "ab":
            pool.submit(stay, gate.folder, name)
        workers = {pid for pid, _ in gate.begun(2).values()}
        assert {beacons.read(pid).role for pid in workers} == {"plait worker 0", "plait worker 1"}
        (nursery,) = (
            pid for pid in children(os.getpid()) if is_nursery(pid) and workers <= set(children(pid))
        )
        seen = beacons.read(nursery)
        assert (seen.role, seen.doing, seen.used) == ("plait nursery", [], 0)
        gate.open()


def fork(folder):
    """Leaves a child behind until the gate is open."""
    if (child := os.fork()) == 0:
        try:
            stay(folder, "child")
        finally:
            os._exit(0)
    stay(folder, "parent")
    os.waitpid(child, 0)


def test_a_fork_of_a_worker_is_none(pool, gate):
    future = pool.submit(fork, gate.folder)
    begun = gate.begun(2)
    (child, _), (parent, tid) = begun["child"], begun["parent"]
    seen = beacons.read(child)
    assert child != parent and (seen.role, seen.doing) == ("", [])
    assert doing_in(parent)[tid].name == "test_beacon.fork"
    gate.open()
    future.result()


def test_slots_are_used_again():
    def pools():
        for _ in range(20):
            with plait.ThreadPoolExecutor(4) as pool:
                list(pool.map(time.sleep, [0.001] * 8))
        return beacons.read(os.getpid())

    first, second = pools(), pools()
    # Threads of other pools may end, or be kept, meanwhile.
    assert second.used <= first.used + 8


def test_threads_beyond_the_table_work_as_ever():
    source = textwrap.dedent("""
        import beacons, os, outside, plait, threading
        count = 1100
        together = threading.Barrier(count + 1)
        threading.stack_size(64 << 10)
        with plait.ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(together.wait) for _ in range(count)]
            outside.until(lambda: together.n_waiting == count, "all threads to wait")
            seen = beacons.read(os.getpid())
            together.wait()
            print(len({future.result() for future in futures}), len(seen.doing), seen.unseated)
    """)
    assert run_program("-c", source).lines == ["1100 1024 76"]
