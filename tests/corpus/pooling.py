"""Several processes."""

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

from corpus import answer
from corpus.clock import count_up, until_over

FORK = multiprocessing.get_context("fork")
CORES = len(os.sched_getaffinity(0))


def compute(seconds):
    until_over(seconds, count_up)


@answer("saturated", "oversubscribed", also=("python-cpu-bound",))
def a_pool_on_all_cores(seconds):
    with ProcessPoolExecutor(CORES, mp_context=FORK) as pool:
        list(pool.map(compute, [seconds] * CORES))


@answer("oversubscribed", also=("saturated", "python-cpu-bound"))
def eight_processes_per_core(seconds):
    workers = [FORK.Process(target=compute, args=(seconds,)) for _ in range(8 * CORES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


@answer("idle", "io-bound")
def a_pool_that_sleeps(seconds):
    with ProcessPoolExecutor(2, mp_context=FORK) as pool:
        list(pool.map(time.sleep, [seconds] * 2))


@answer("python-cpu-bound", also=("saturated",))
def one_worker_computes(seconds):
    worker = FORK.Process(target=compute, args=(seconds,))
    worker.start()
    worker.join()
