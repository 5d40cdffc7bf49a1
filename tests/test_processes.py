"""What only worker processes do: die, be recycled, be orphaned, and refuse what cannot be sent."""

import os
import signal
import sys

import plait
import pytest
import workloads as w
from outside import is_alive, nurseries, run_program, until

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

    results = plait.map(work, range(20), backend="processes", chunksize=1, workers=2)
    assert [next(results) for _ in range(7)] == list(range(7))
    with pytest.raises(plait.WorkerDied):
        next(results)
    assert list(plait.map(w.add_one, range(5), backend="processes", workers=2)) == [1, 2, 3, 4, 5]


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
        running = pool.submit(w.pass_gate, gate.folder, "a", "lived")
        [worker] = gate.wait_for("a")
        with open(f"/proc/{worker}/stat") as file:
            nursery = int(file.read().rpartition(")")[2].split()[1])
        assert nursery in nurseries(os.getpid())
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
