"""The process that workers are forked from, killed at one moment after another of a pool's youth."""

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool

import plait
import pytest
import workloads as w
from outside import is_alive, nurseries, until


@pytest.fixture
def no_nursery():
    """None of this program's nurseries lives: the next pool starts one."""
    found = nurseries(os.getpid())
    for nursery in found:
        os.kill(nursery, signal.SIGKILL)
    # One that is ending has no name any more, and still takes orders.
    until(lambda: not any(map(is_alive, found)), "the end of the nurseries")


@pytest.mark.parametrize("delay", range(0, 120, 6))
def test_a_nursery_killed_while_it_forks_costs_nothing(no_nursery, delay):
    with plait.ProcessPoolExecutor(6) as pool:
        futures = [pool.submit(w.add_one, n) for n in range(100)]
        [nursery] = until(lambda: nurseries(os.getpid()), "the nursery")
        # Not to wait for anything: to hit another moment each time.
        time.sleep(delay / 1000)
        os.kill(nursery, signal.SIGKILL)
        assert [future.result() for future in futures] == list(range(1, 101))
        until(lambda: not is_alive(nursery), "the end of the nursery")
        assert [pool.submit(w.add_one, n).result() for n in range(10)] == list(range(1, 11))


# A module whose import kills the nursery, so many times; workers are ordered meanwhile.
DEADLY = """
import os, pathlib, signal, time
folder = pathlib.Path(__file__).parent
while not (folder / "ordered").exists() and os.getppid() == {parent}:
    time.sleep(0.005)
(folder / f"nursery-{{os.getpid()}}").touch()
if len(list(folder.glob("nursery-*"))) <= {times}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Makes a pool of six workers whose first nurseries die, and gives it and a hundred calls on it."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(times):
        # A name of its own: a nursery that was started for the same modules would be used again.
        name = f"deadly_{times}"
        (tmp_path / f"{name}.py").write_text(DEADLY.format(parent=os.getpid(), times=times))
        pool = plait.ProcessPoolExecutor(6, preload=[name])
        futures = [pool.submit(w.add_one, n) for n in range(100)]
        (tmp_path / "ordered").touch()
        return pool, futures

    return make


def test_two_nurseries_that_die_before_they_fork_cost_nothing(deadly):
    pool, futures = deadly(2)
    with pool:
        assert [future.result() for future in futures] == list(range(1, 101))


def test_nurseries_that_die_before_they_fork_break_the_pool_after_the_second(deadly, tmp_path):
    pool, futures = deadly(100)
    with pool:
        for future in futures:
            with pytest.raises(BrokenProcessPool, match="the process that starts workers was killed"):
                future.result()
    assert len(list(tmp_path.glob("nursery-*"))) >= 3


def test_workers_of_a_killed_nursery_are_still_in_reach(gate):
    with plait.ProcessPoolExecutor(2) as pool:
        orphaned = pool.submit(w.pass_gate, gate.folder, "a")
        [worker] = gate.wait_for("a")
        for nursery in nurseries(os.getpid()):
            os.kill(nursery, signal.SIGKILL)
            until(lambda nursery=nursery: not is_alive(nursery), "the end of the nursery")
        later = pool.submit(w.pass_gate, gate.folder, "b")
        gate.wait_for("b")
        pool.kill_workers()
        assert isinstance(orphaned.exception(), plait.WorkerDied)
        assert isinstance(later.exception(), plait.WorkerDied)
        until(lambda: not is_alive(worker), "the end of the orphaned worker")
