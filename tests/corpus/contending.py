"""Several threads that compute in Python."""

import threading
from concurrent.futures import ThreadPoolExecutor

from corpus import answer
from corpus.clock import count_up, on_threads, until_over


@answer("gil-contention")
def two_threads_count(seconds):
    on_threads(2, seconds, count_up)


@answer("gil-contention")
def four_threads_count(seconds):
    on_threads(4, seconds, count_up)


@answer("gil-contention")
def ten_threads_count(seconds):
    on_threads(10, seconds, count_up)


@answer("gil-contention")
def a_pool_of_threads_counts(seconds):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: until_over(seconds, count_up), range(4)))


@answer("gil-contention")
def main_and_a_thread_count(seconds):
    thread = threading.Thread(target=until_over, args=(seconds, count_up))
    thread.start()
    until_over(seconds, count_up)
    thread.join()


@answer("gil-contention")
def threads_share_a_dictionary(seconds):
    shared = {}

    def work():
        for n in range(500):
            shared[n] = shared.get(n, 0) + 1

    on_threads(3, seconds, work)


@answer("gil-contention", also=("lock-bound",))
def threads_share_a_lock_for_moments(seconds):
    lock = threading.Lock()

    def work():
        count_up(2000)
        with lock:
            pass

    on_threads(3, seconds, work)
