"""The process that workers are forked from, killed at one moment after another of a pool's youth."""

import os
import signal
import time

import plait
import pytest
import workloads as w
from outside import is_alive, nurseries, until


@pytest.fixture
def no_nursery():
    """None of this program's nurseries lives: the next pool starts one."""
    for nursery in nurseries(os.getpid()):
        os.kill(nursery, signal.SIGKILL)
    until(lambda: not nurseries(os.getpid()), "the end of the nurseries")


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
