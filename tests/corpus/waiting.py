"""Programs that wait: for the network, for files, for time, for locks, for children."""

import os
import queue
import socket
import subprocess
import threading
import time

from corpus import answer
from corpus.clock import count_up, on_threads, until_over
from corpus.servers import ask, slow_server

WAITING = ("io-bound", "idle")


@answer("io-bound")
def asks_a_server(seconds):
    with slow_server(0.01) as address, socket.create_connection(address) as connection:
        until_over(seconds, lambda: ask(connection))


@answer("io-bound")
def asks_a_server_on_ten_threads(seconds):
    with slow_server(0.01) as address:

        def work():
            with socket.create_connection(address) as connection:
                until_over(seconds, lambda: ask(connection))

        on_threads(10, 0.001, work)


@answer("io-bound")
def asks_and_computes_a_little(seconds):
    with slow_server(0.02) as address, socket.create_connection(address) as connection:

        def work():
            ask(connection)
            count_up(5000)

        until_over(seconds, work)


@answer("io-bound", "idle")
def reads_a_slow_pipe(seconds):
    read, write = os.pipe()

    def feed():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
            os.write(write, b"line\n")
        os.close(write)

    threading.Thread(target=feed).start()
    while os.read(read, 100):
        pass


@answer(*WAITING)
def sleeps(seconds):
    time.sleep(seconds)


@answer(*WAITING)
def sleeps_now_and_then(seconds):
    until_over(seconds, lambda: time.sleep(0.05))


@answer(*WAITING)
def sleeps_on_threads(seconds):
    on_threads(5, seconds, lambda: time.sleep(0.01))


@answer("idle", "io-bound", "mixed")
def waits_for_children(seconds):
    subprocess.run(["sleep", str(seconds)], check=True)


@answer("idle", "lock-bound")
def waits_for_work(seconds):
    jobs = queue.Queue()
    workers = [threading.Thread(target=lambda: jobs.get(), name=f"w{n}") for n in range(4)]
    for worker in workers:
        worker.start()
    time.sleep(seconds)
    for _ in workers:
        jobs.put(None)


@answer("lock-bound", also=("io-bound",))
def fights_for_a_lock(seconds):
    lock = threading.Lock()

    def work():
        with lock:
            time.sleep(0.01)

    on_threads(4, seconds, work)


@answer("lock-bound", also=("io-bound", "python-cpu-bound", "mixed"))
def works_under_a_lock(seconds):
    lock = threading.Lock()

    def work():
        with lock:
            count_up(40_000)
            time.sleep(0.001)

    on_threads(3, seconds, work)


@answer("mixed", "python-cpu-bound", "io-bound")
def half_computing_half_sleeping(seconds):
    def work():
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            count_up(1000)
        time.sleep(0.02)

    until_over(seconds, work)


@answer("mixed", "python-cpu-bound", also=("io-bound",))
def one_computes_and_one_asks(seconds):
    with slow_server(0.01) as address, socket.create_connection(address) as connection:
        thread = threading.Thread(target=until_over, args=(seconds, lambda: ask(connection)))
        thread.start()
        until_over(seconds, count_up)
        thread.join()
