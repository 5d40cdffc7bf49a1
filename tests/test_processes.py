"""What only worker processes do: die, be recycled, be orphaned, and refuse what cannot be sent."""

import os
import signal
import sys
import threading
import warnings

import plait
import pytest
import workloads as w
from outside import children, finish, is_alive, is_nursery, nurseries, run_program, start_program, until

# --- workers that die


@pytest.mark.parametrize("how", w.DEATHS)
def test_a_dying_worker_fails_its_call_alone(process_face, gate, how):
    from concurrent.futures.process import BrokenProcessPool

    with process_face(2) as pool:
        before = [pool.submit(w.add_one, n) for n in range(100)]
        running = pool.submit(w.pass_gate, gate.folder, "a", "lived")
        gate.wait_for("a")
        doomed = pool.submit(w.DEATHS[how])
        after = [pool.submit(w.add_one, n) for n in range(100)]
        with pytest.raises(plait.WorkerDied, match=how) as caught:
            doomed.result()
        assert isinstance(caught.value, BrokenProcessPool)
        assert isinstance(caught.value, plait.PlaitError)
        assert pool.submit(w.add_one, 1).result() == 2
        gate.open()
        assert running.result() == "lived"
        assert [f.result() for f in before + after] == [*range(1, 101)] * 2


def test_the_error_names_the_process(processes):
    pid = processes.submit(w.pid).result()
    with pytest.raises(plait.WorkerDied) as caught:
        while True:
            # Both workers die in turn; one of them is the one that answered.
            error = processes.submit(w.kill_self).exception()
            if error.pid == pid:
                raise error
    assert str(pid) in str(caught.value)
    assert caught.value.exitcode == -signal.SIGKILL


def test_a_pool_outlives_many_deaths(processes):
    futures = []
    for n in range(60):
        futures.append(
            processes.submit(w.kill_self if n % 3 == 0 else w.add_one, *([] if n % 3 == 0 else [n]))
        )
    for n, future in enumerate(futures):
        if n % 3 == 0:
            assert isinstance(future.exception(), plait.WorkerDied)
        else:
            assert future.result() == n + 1


def test_a_worker_killed_from_outside(processes, gate):
    first = processes.submit(w.pass_gate, gate.folder, "a")
    second = processes.submit(w.pass_gate, gate.folder, "b", "lived")
    pid, _ = gate.wait_for("a", "b")
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(plait.WorkerDied, match=f"{pid} .*SIGKILL"):
        first.result()
    gate.open()
    assert second.result() == "lived"


def test_an_idle_worker_killed_from_outside_costs_nothing(processes):
    for _ in range(5):
        pid = processes.submit(w.pid).result()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), "the end of the worker")
        assert [processes.submit(w.add_one, n).result() for n in range(5)] == [1, 2, 3, 4, 5]


def test_map_reports_the_death_where_its_result_would_be():
    def work(n):
        return w.kill_self() if n == 7 else n

    results = plait.map(work, range(20), chunksize=1, workers=2)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(plait.WorkerDied):
        next(results)
    assert list(plait.map(w.add_one, range(5), workers=2)) == [1, 2, 3, 4, 5]


def test_a_stopped_worker_goes_on(processes, gate):
    future = processes.submit(w.pass_gate, gate.folder, "a", 1)
    [pid] = gate.wait_for("a")
    os.kill(pid, signal.SIGSTOP)
    gate.open()
    assert processes.submit(w.add_one, 1).result() == 2
    os.kill(pid, signal.SIGCONT)
    assert future.result() == 1


# --- the nursery


def test_a_killed_nursery_is_replaced(process_face, gate):
    with process_face(2, preload=["colorsys"]) as pool:
        known = set(nurseries(os.getpid()))
        running = pool.submit(w.pass_gate, gate.folder, "a", "lived")
        [worker] = gate.wait_for("a")
        with open(f"/proc/{worker}/stat") as file:
            nursery = int(file.read().rpartition(")")[2].split()[1])
        assert nursery in known and is_nursery(nursery)
        os.kill(nursery, signal.SIGKILL)
        until(lambda: not is_alive(nursery), "the end of the nursery")
        assert pool.submit(w.add_one, 1).result() == 2
        gate.open()
        # Its own workers may go with it, or stay; a call is lost only with its worker.
        error = running.exception()
        assert error is None or isinstance(error, plait.WorkerDied)
        assert [pool.submit(w.add_one, n).result() for n in range(100)] == list(range(1, 101))
        doomed = pool.submit(w.kill_self)
        assert isinstance(doomed.exception(), plait.WorkerDied)
        assert pool.submit(w.add_one, 1).result() == 2
    with process_face(2, preload=["colorsys"]) as pool:
        assert pool.submit(w.add_one, 1).result() == 2


def test_pools_share_a_nursery():
    with plait.ProcessPoolExecutor(1) as first, plait.ProcessPoolExecutor(2) as second:
        parents = {first.submit(w.sees).result()["ppid"], second.submit(w.sees).result()["ppid"]}
    assert len(parents) == 1
    assert parents <= set(nurseries(os.getpid()))


# --- recycling and preparing


def test_workers_are_replaced_after_so_many_calls(process_face):
    with process_face(1, max_tasks_per_child=3) as pool:
        pids = [pool.submit(w.pid).result() for _ in range(12)]
        assert len(set(pids)) == 4
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 3, 3]


def test_nothing_is_lost_when_workers_are_replaced(process_face):
    with process_face(2, max_tasks_per_child=7) as pool:
        futures = [pool.submit(w.add_one, n) for n in range(500)]
        assert [future.result() for future in futures] == list(range(1, 501))
        assert len({pid for pid in pool.map(w.pid, range(50))}) >= 7


@pytest.mark.parametrize(
    "bad, error", [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("2", TypeError)]
)
def test_bad_max_tasks_per_child(process_face, bad, error):
    with pytest.raises(error, match="max_tasks_per_child must be"):
        process_face(1, max_tasks_per_child=bad)


def test_too_many_workers(process_face):
    with pytest.raises(ValueError, match="max_workers must be at most"):
        process_face(100_000)


def test_the_stdlibs_arguments_are_taken():
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    with plait.ProcessPoolExecutor(1, context, w.set_state, ("key", 5), max_tasks_per_child=10) as pool:
        assert pool.submit(w.get_state, "key").result()[0] == 5
    with plait.ProcessPoolExecutor(mp_context=None) as pool:
        assert pool.submit(w.add_one, 1).result() == 2


def test_replacements_run_the_initializer_too(process_face):
    with process_face(1, initializer=w.set_state, initargs=("key", 5)) as pool:
        assert pool.submit(w.get_state, "key").result()[0] == 5
        assert isinstance(pool.submit(w.kill_self).exception(), plait.WorkerDied)
        assert pool.submit(w.get_state, "key").result()[0] == 5


def test_an_initializer_that_dies_breaks_the_pool(process_face):
    from concurrent.futures.process import BrokenProcessPool

    pool = process_face(2, initializer=w.exit_self)
    futures = []
    with pytest.raises(BrokenProcessPool):
        for _ in range(10):
            futures.append(pool.submit(w.add_one, 1))
        futures[-1].result()
    for future in futures:
        assert isinstance(future.exception(), BrokenProcessPool)
    pool.shutdown()


def test_preloaded_modules_are_there(process_face):
    with process_face(1, preload=["colorsys", "wave"]) as pool:
        assert pool.submit(w.loaded, "wave").result()
    with process_face(1) as pool:
        assert not pool.submit(w.loaded, "wave").result()


def test_a_module_that_cannot_be_preloaded_is_told_and_skipped():
    script = (
        "import plait, workloads\nwith plait.ProcessPoolExecutor(1, preload=['no_such', 'wave']) as pool:\n"
    )
    ended = run_program("-c", script + "    print(pool.submit(workloads.loaded, 'wave').result())")
    assert (ended.code, ended.out) == (0, "True\n")
    assert ended.err == "plait: cannot preload no_such: ModuleNotFoundError: No module named 'no_such'\n"


def test_workers_see_what_the_parent_sees(process_face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["me", "and", "mine"])
    monkeypatch.syspath_prepend(str(tmp_path / "extra"))
    with process_face(1) as pool:
        seen = pool.submit(w.sees).result()
    assert seen["argv"] == ["me", "and", "mine"]
    assert seen["cwd"] == str(tmp_path)
    assert seen["path"] == sys.path


def test_workers_start_as_work_comes_in(process_face):
    pool = process_face(8)
    engine = pool if isinstance(pool, plait.ProcessPoolExecutor) else pool._inner
    with pool:
        assert engine._stats()["pids"] == []
        assert pool.submit(w.add_one, 1).result() == 2
        assert 1 <= len(engine._stats()["pids"]) < 8


# --- pools within calls


def test_a_call_may_have_a_pool_of_its_own(processes):
    assert processes.submit(w.sum_in_own_pool, 10).result() == 55
    assert list(processes.map(w.sum_in_own_pool, [10] * 3)) == [55] * 3


@pytest.mark.parametrize("inner", ["threads", "processes", "serial"])
def test_a_call_may_map(pool, inner):
    assert pool.submit(w.sum_by_map, 100, inner).result() == 5050


# --- the parent's fate

PARENT = """
import os, sys, time
import plait, workloads

with plait.ProcessPoolExecutor(2) as pool:
    {work}
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("work", [
    "futures = [pool.submit(workloads.pass_gate, sys.argv[1], n) for n in range(2)]",
    "futures = [pool.submit(pow, 7, 10**9) for n in range(2)]; pool.submit(workloads.add_one, 1)",
    "print(pool.submit(workloads.add_one, 1).result())",
], ids=["busy", "holding the GIL", "idle"])  # fmt: skip
def test_a_killed_parent_leaves_nothing(tmp_path, work):
    program = start_program("-c", PARENT.format(work=work), tmp_path, stdin=None)
    try:
        until(lambda: program.stdout.readline().strip() == str(program.pid), "the parent's readiness")
        [nursery] = nurseries(program.pid)
        workers = until(lambda: children(nursery), "a worker")
    finally:
        program.kill()
        program.stdout.close(), program.stderr.close()
        program.wait()
    for pid in [nursery, *workers]:
        until(lambda: not is_alive(pid), "the end of nursery and workers of a killed parent")


def test_ctrl_c_ends_parent_and_workers_quietly(tmp_path):
    script = """
import plait, workloads, sys
try:
    with plait.ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(workloads.pass_gate, sys.argv[1], n) for n in range(50)]
        futures[0].result()
except KeyboardInterrupt:
    print("interrupted")
"""
    program = start_program("-c", script, tmp_path)
    until(lambda: len(list(tmp_path.iterdir())) == 2, "two running calls")
    os.killpg(program.pid, signal.SIGINT)
    assert finish(program).lines == ["interrupted"]


def test_workers_print_whole_lines(tmp_path):
    script = """
import plait
def work(n):
    for _ in range(50):
        print(f"{n:03d}" * 20)
with plait.ProcessPoolExecutor(4) as pool:
    list(pool.map(work, range(20)))
"""
    lines = run_program("-c", script).lines
    assert sorted(lines) == sorted(f"{n:03d}" * 20 for n in range(20) for _ in range(50))


# --- os.fork() in the parent

FORKING = """
import os, warnings
# Of the fork in a program with threads, which this one has on purpose.
warnings.simplefilter("ignore", DeprecationWarning)
import plait, workloads

pool = plait.ProcessPoolExecutor(2)
assert pool.submit(workloads.add_one, 1).result() == 2
pending = pool.submit(workloads.sleep, 0.2)
kept = list(plait.map(workloads.add_one, range(3)))

child = os.fork()
if child == 0:
    try:
        pool.submit(workloads.add_one, 1)
    except RuntimeError as error:
        print("submit:", error)
    try:
        pending.result()
    except RuntimeError as error:
        print("result:", error)
    print("cancel:", pending.cancel(), pending.done())
    pool.shutdown()
    with plait.ProcessPoolExecutor(2) as own:
        print("own:", own.submit(workloads.add_one, 5).result())
    print("map:", list(plait.map(workloads.add_one, range(3))))
    del pool, pending
    END
assert os.waitpid(child, 0)[1] == 0
print("parent:", pool.submit(workloads.add_one, 7).result(), pending.result())
print("map:", list(plait.map(workloads.add_one, range(3))))
pool.shutdown()
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "raise SystemExit"], ids=["_exit", "exit"])
def test_a_forked_child_has_pools_of_its_own(end):
    ended = run_program("-c", FORKING.replace("END", end))
    assert ended.lines == [
        "submit: this pool belongs to the parent process; make a new one after os.fork()",
        "result: this pool belongs to the parent process; make a new one after os.fork()",
        "cancel: False False",
        "own: 6",
        "map: [1, 2, 3]",
        "parent: 8 0.2",
        "map: [1, 2, 3]",
    ]


def test_workers_are_never_forked_from_a_threaded_program():
    # Python 3.12 and later warn of a fork in a program with threads.
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with plait.ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
                assert list(pool.map(w.add_one, range(20))) == list(range(1, 21))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


# --- what cannot be sent


@pytest.mark.parametrize(
    "call, path",
    [
        (lambda submit: submit(w.identity, threading.Lock()), "args[0]"),
        (lambda submit: submit(w.arguments, 1, [2, {"key": threading.Lock()}]), "args[1][1]['key']"),
        (
            lambda submit: submit(w.arguments, stream=w.Holder(w.Holder(threading.Lock()))),
            "kwargs['stream'].inner.inner",
        ),
        (lambda submit: submit(w.identity, (x for x in "abc")), "args[0]"),
        (lambda submit: submit(w.identity, sys._getframe()), "args[0]"),
    ],
    ids=["lock", "nested lock", "attribute", "generator", "frame"],
)
def test_arguments_that_cannot_be_sent_are_named(process_face, call, path):
    import pickle

    with process_face(1) as pool:
        with pytest.raises(plait.NotPicklable) as caught:
            call(pool.submit).result()
        assert isinstance(caught.value, pickle.PicklingError)
        assert caught.value.path == path
        assert str(caught.value).startswith(f"{path}: ")
        assert pool.submit(w.add_one, 1).result() == 2


def test_functions_that_cannot_be_sent_are_named(process_face):
    lock = threading.Lock()
    with process_face(1) as pool:
        with pytest.raises(plait.NotPicklable) as caught:
            pool.submit(lambda: lock).result()
        assert caught.value.path == "fn.<closure>.lock"
        with pytest.raises(plait.NotPicklable) as caught:
            pool.submit(w.Holder(lock).peek).result()
        assert "inner" in caught.value.path
        assert pool.submit(w.add_one, 1).result() == 2


@pytest.mark.parametrize(
    "function, path",
    [
        (w.give_lock, "result"),
        (w.give_nested_lock, "result['handlers'][1]['lock']"),
        (w.give_generator, "result"),
    ],
    ids=["lock", "nested lock", "generator"],
)
def test_results_that_cannot_be_sent_are_named(process_face, function, path):
    with process_face(1) as pool:
        pid = pool.submit(w.pid).result()
        error = pool.submit(function).exception()
        assert isinstance(error, plait.NotPicklable)
        assert str(error).startswith(f"{path}: ")
        assert error.path == path
        assert pool.submit(w.pid).result() == pid


def test_a_lambda_is_a_fine_result(processes):
    assert processes.submit(w.give_lambda).result()(5) == 15


def test_a_result_that_does_not_load_fails_its_future_alone(processes):
    future = processes.submit(w.give_exploding)
    for _ in range(2):
        error = future.exception()
        assert "a value that will not load" in str(error)
    assert processes.submit(w.add_one, 1).result() == 2


def test_an_argument_that_does_not_load_fails_its_future_alone(processes):
    pid_before = set(processes.map(w.pid, range(20)))
    error = processes.submit(w.identity, w.Exploding()).exception()
    assert "a value that will not load" in str(error)
    assert processes.submit(w.add_one, 1).result() == 2
    assert processes.submit(w.pid).result() in pid_before | set(processes._stats()["pids"])
    assert processes._stats()["deaths"] == 0


@pytest.mark.parametrize(
    "function, name, text",
    [
        (w.raise_locked, "workloads.LockedError", "holds a lock"),
        (w.raise_no_text, "workloads.NoTextError", ""),
        (w.raise_unreadable, "workloads.UnreadableError", "cannot come back"),
    ],
    ids=["a lock within", "no text", "does not load"],
)
def test_exceptions_that_cannot_be_sent_leave_name_text_and_traceback(processes, function, name, text):
    error = processes.submit(function).exception()
    if isinstance(error, plait.RemoteError):
        assert error.type_name == name
        assert text in error.message
        assert function.__name__ in error.traceback
    else:
        # Nothing was in the way after all.
        assert f"{type(error).__module__}.{type(error).__qualname__}" == name
    assert processes.submit(w.add_one, 1).result() == 2
