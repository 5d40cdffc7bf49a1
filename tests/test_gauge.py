"""The gauge calls a function as if it were not there, and tells what the calls did: time, CPU, memory.

What is true of each function here is known beforehand: one sleeps, one computes. Figures are compared as
shares, with wide bounds, and the best of several tries counts, for other programs run meanwhile.
"""

import gc
import hashlib
import subprocess
import sys
import threading
import time

import pytest
from gauged import DATA, comes_true, count, in_one_go, measured, share
from outside import until
from plait import _core

# --- calling


def test_a_gauge_calls_as_the_function_would_be_called():
    gauge = _core.Gauge(lambda *args, **kwargs: (args, kwargs))
    assert gauge() == ((), {})
    assert gauge(1, 2, a=3) == ((1, 2), {"a": 3})
    assert gauge(*range(9), **{"é": None}) == (tuple(range(9)), {"é": None})
    assert gauge.figures()["calls"] == 3
    assert gauge.__wrapped__ is not gauge
    assert "lambda" in repr(gauge)


def test_a_generator_function_gives_its_generator():
    def numbers(n):
        yield from range(n)

    gauge = _core.Gauge(numbers)
    assert list(gauge(n=4)) == [0, 1, 2, 3]
    assert gauge.figures()["calls"] == 1


def test_what_a_call_raises_goes_through_and_counts():
    error = KeyError("mine")

    def raises():
        raise error

    gauge = _core.Gauge(raises)
    with pytest.raises(KeyError) as caught:
        gauge()
    assert caught.value is error
    with pytest.raises(TypeError):
        gauge("too many")
    figures = gauge.figures()
    assert (figures["calls"], figures["failed"], figures["running"]) == (2, 2, 0)


def test_before_the_first_call_little_is_known():
    figures = _core.Gauge(abs).figures()
    assert (figures["calls"], figures["running"], figures["wall"], figures["samples"]) == (0, 0, 0.0, 0)
    assert figures["cpu"] is figures["held"] is figures["memory"] is None
    assert figures["unfinished"] is False
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            _core.Gauge(abs, sample=True, sample_for=wrong)
        with pytest.raises(ValueError, match="timeout"):
            _core.Gauge(abs).wait(wrong)


def test_gauges_measure_within_one_another():
    inner = _core.Gauge(count, sample=True)
    outer = _core.Gauge(lambda: [inner(1000) for _ in range(3)], sample=True)
    assert outer() == [count(1000)] * 3
    within, around = inner.figures(), outer.figures()
    assert (within["calls"], around["calls"]) == (3, 1)
    assert within["busy"] <= around["busy"]


def test_a_cycle_through_a_gauge_is_collected():
    gone = []

    class Holder:
        def __del__(self):
            gone.append(True)

    def make():
        holder = Holder()
        holder.gauge = _core.Gauge(lambda: holder)

    make()
    gc.collect()
    assert gone == [True]


# --- calls in a row


def test_call_all_takes_calls_from_the_end():
    gauge = _core.Gauge(pow)
    stack, results = [(2, 3), (3, 2), (5, 1)], []
    assert gauge.call_all(stack, results, 10) == 3
    assert (stack, results) == ([], [5, 9, 8])
    assert gauge.figures()["calls"] == 3
    assert gauge.wait(0)


def test_call_all_stops_at_an_exception_and_leaves_the_rest():
    gauge = _core.Gauge(lambda number: 1 // number)
    stack, results = [(4,), (0,), (1,)], []
    with pytest.raises(ZeroDivisionError):
        gauge.call_all(stack, results, 10)
    assert (stack, results) == ([(4,)], [1])
    assert gauge.figures()["failed"] == 1
    assert gauge.wait(0)
    with pytest.raises(TypeError):
        gauge.call_all([5], results, 10)


def test_call_all_makes_one_call_at_least_and_stops_when_time_is_over():
    gauge = _core.Gauge(time.sleep)
    stack, results = [(0.01,)] * 1000, []
    assert gauge.call_all(stack, results, 0) == 1
    made = gauge.call_all(stack, results, 0.02)
    assert 1 <= made <= 3
    assert len(stack) == 999 - made


def test_what_has_not_begun_can_be_taken_back():
    gate, stack, results = threading.Event(), [(number,) for number in range(100)], []

    def waits(number):
        gate.wait(60)
        return number

    gauge = _core.Gauge(waits)
    thread = threading.Thread(target=gauge.call_all, args=(stack, results, 60))
    thread.start()
    until(lambda: gauge.figures()["running"], "the first call")
    taken = [stack.pop() for _ in range(99)]
    assert not gauge.wait(0.01)
    gate.set()
    assert gauge.wait(60)
    thread.join()
    assert results == [99]
    assert len(taken) == 99


def test_tiny_calls_are_measured_as_tiny():
    per_call = min(measured(abs, (-1,))["wall"] for _ in range(5))
    assert 0 < per_call < 2e-6


# --- waiting


def test_waiting_leaves_the_gil_to_others_and_ends_with_the_calls():
    gauge = _core.Gauge(count)
    begun = []

    def late():
        begun.append(gauge.wait(60))

    waits = threading.Thread(target=late)
    waits.start()
    assert not gauge.wait(0.001), "nothing has begun"
    assert gauge.call_all([(10,)] * 3, [], 10) == 3
    waits.join(60)
    assert begun == [True]


def test_ctrl_c_ends_a_wait():
    script = """
import os, signal, threading, time
from plait import _core
gauge = _core.Gauge(time.sleep)
threading.Thread(target=gauge.call_all, args=([(60,)], [], 60), daemon=True).start()
while not gauge.figures()["running"]:
    time.sleep(0.001)
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    gauge.wait(50)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    os._exit(0)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=45)
    assert ended.stdout == "interrupted\n", ended.stderr


# --- time and CPU


def test_a_sleep_takes_time_and_no_cpu():
    figures = comes_true(lambda figures: share(figures, "cpu") < 0.3, time.sleep, (0.004,))
    assert figures["wall"] >= 0.004
    assert figures["longest"] >= figures["wall"]
    assert figures["switches"] > 0.9
    assert figures["seconds"] >= figures["busy"] > 0.015


def test_computing_takes_cpu():
    def whole(figures):
        # What it had to wait for a processor is not its own.
        return figures["cpu"] + (figures["delay"] or 0.0) > 0.7 * figures["wall"]

    for fn in (count, in_one_go, lambda: hashlib.sha256(DATA).digest()):
        figures = comes_true(whole, fn)
        assert figures["cpu"] <= figures["wall"]


def test_a_call_in_flight_counts_so_far():
    gate = threading.Event()

    def works_and_waits():
        begun = time.thread_time()
        while time.thread_time() - begun < 0.02:
            pass
        gate.wait(60)

    gauge = _core.Gauge(works_and_waits, sample=True)
    thread = threading.Thread(target=gauge)
    thread.start()
    figures = until(lambda: (now := gauge.figures())["cpu"] and now["cpu"] >= 0.02 and now, "CPU time")
    assert (figures["calls"], figures["running"], figures["unfinished"]) == (0, 1, True)
    assert figures["wall"] >= figures["cpu"]
    gate.set()
    thread.join()
    figures = gauge.figures()
    assert (figures["calls"], figures["running"], figures["unfinished"]) == (1, 0, False)


def test_many_threads_may_be_in_one_gauge():
    gauge = _core.Gauge(count, sample=True)
    threads = [threading.Thread(target=lambda: [gauge(n=500) for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert gauge.figures()["running"] <= 8
    figures = gauge.figures()
    assert (figures["calls"], figures["running"], figures["failed"]) == (400, 0, 0)


def test_memory_that_stays_is_growth():
    kept = []
    gauge = _core.Gauge(lambda: kept.append(b"x" * (64 << 20)))
    gauge()
    gauge()
    # Of what the process had before, some may have gone meanwhile.
    assert gauge.figures()["memory"] > 64 << 20


def test_native_threads_beside_the_calls_are_seen():
    def crowd():
        def work():
            begun = time.thread_time()
            while time.thread_time() - begun < 0.02:
                hashlib.sha256(DATA).digest()

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    figures = measured(crowd)
    assert figures["native"] * figures["wall"] > 0.03
    alone = comes_true(lambda figures: figures["native"] < 0.2, count)
    assert alone["native"] >= 0


def test_a_threaded_blas_is_seen():
    numpy = pytest.importorskip("numpy")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    square = numpy.random.default_rng(1).random((700, 700))
    if max((pool["num_threads"] for pool in threadpoolctl.threadpool_info()), default=1) < 2:
        pytest.skip("this BLAS has one thread")
    square @ square

    def others_work_as_well(figures):
        # On a busy machine all of them get little.
        return figures["native"] > 0.3 * share(figures, "cpu")

    comes_true(others_work_as_well, lambda: square @ square, seconds=0.05)
