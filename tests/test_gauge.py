"""The gauge calls a function as if it were not there, and tells what the calls did.

What is true of each function here is known beforehand: one holds the GIL, one sleeps, one computes without
the GIL. Figures are compared as shares, with wide bounds, and the best of several tries counts, for other
programs run meanwhile.
"""

import ctypes
import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zlib

import pytest
from outside import until
from plait import _core

TRIES = 12
DATA = bytes(range(256)) * 4096
GIL = _core.Gauge(abs).figures()["gil_reason"] is None
reads_gil = pytest.mark.skipif(not GIL, reason="the GIL of this Python cannot be read")


def count(n=20_000):
    total = 0
    for number in range(n):
        total += number * number
    return total


def in_one_go():
    return sum(range(150_000))


def holding_sleep():
    ctypes.PyDLL(None).usleep(3000)


def half():
    begun = time.thread_time()
    while time.thread_time() - begun < 0.002:
        count(200)
    time.sleep(0.002)


def measured(fn, args=(), seconds=0.02, **options):
    """What a gauge says of `fn` after `seconds` of calls on a thread, while this one waits."""
    gauge = _core.Gauge(fn, sample=True, sample_for=10 * seconds, **options)
    stack, results = [args] * 10_000, []
    thread = threading.Thread(target=gauge.call_all, args=(stack, results, seconds))
    thread.start()
    assert gauge.wait(60)
    figures = gauge.figures()
    thread.join()
    assert figures["calls"] == len(results) > 0
    return figures


def share(figures, name):
    return figures[name] / figures["wall"]


def comes_true(holds, fn, *args, **options):
    """Measures until the figures are as they should be, for a busy machine may hide the truth a few times."""
    for _ in range(TRIES):
        figures = measured(fn, *args, **options)
        if holds(figures):
            return figures
    raise AssertionError(figures)


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
    gauge = _core.Gauge(lambda: kept.append(b"x" * (32 << 20)))
    gauge()
    gauge()
    assert gauge.figures()["memory"] > 48 << 20


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
    comes_true(lambda figures: figures["native"] > 0.1, lambda: square @ square, seconds=0.05)


# --- the GIL


@reads_gil
def test_who_holds_the_gil_is_seen():
    for fn in (count, in_one_go, holding_sleep):
        figures = comes_true(lambda figures: figures["samples"] >= 5 and share(figures, "held") > 0.8, fn)
        assert figures["gil_held_by_any"] > 0.8
    assert share(figures, "cpu") < 0.5, "it slept with the GIL in its hands"


@reads_gil
def test_who_has_not_the_gil_is_seen():
    for fn, args in [(time.sleep, (0.004,)), (zlib.compress, (DATA,)), (ctypes.CDLL(None).usleep, (3000,))]:
        comes_true(lambda figures: figures["samples"] >= 5 and share(figures, "held") < 0.2, fn, args)


@reads_gil
def test_a_share_of_holding_is_seen_as_such():
    comes_true(
        lambda figures: figures["samples"] >= 20 and 0.25 < share(figures, "held") < 0.75, half, seconds=0.1
    )


@reads_gil
def test_waiting_for_the_gil_is_seen():
    over = threading.Event()

    def competes():
        while not over.is_set():
            count(1000)

    other = threading.Thread(target=competes)
    other.start()
    try:
        figures = comes_true(
            lambda figures: share(figures, "wanted") > 0.15 and figures["gil_held_by_any"] > 0.5,
            count,
            seconds=0.1,
        )
    finally:
        over.set()
        other.join()
    assert figures["held"] + figures["wanted"] <= figures["wall"] * 1.01
    comes_true(lambda figures: share(figures, "wanted") < 0.1, count)


@reads_gil
def test_looking_ends_and_can_be_resumed():
    gauge = _core.Gauge(time.sleep, sample=True, sample_for=0.02)
    until(lambda: gauge(0.005) or gauge.figures()["samples"], "a look")
    until(lambda: not sampler_runs(), "the sampler's end")
    seen = gauge.figures()["samples"]
    gauge(0.005)
    assert gauge.figures()["samples"] == seen
    gauge.sample(0.5)
    until(lambda: gauge(0.005) or gauge.figures()["samples"] > seen, "looks in another window")


@reads_gil
def test_without_sampling_nobody_looks():
    until(lambda: not sampler_runs(), "the end of samplers of other tests")
    gauge = _core.Gauge(time.sleep)
    gauge(0.005)
    figures = gauge.figures()
    assert figures["held"] is figures["wanted"] is figures["gil_held_by_any"] is None
    assert figures["samples"] == 0


def test_where_the_gil_cannot_be_read_it_is_guessed():
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("there is no GIL to ask for")
    figures = comes_true(
        lambda figures: figures["samples"] >= 3 and share(figures, "held") > 0.7,
        count,
        seconds=0.05,
        guess=True,
    )
    assert figures["gil_reason"]
    comes_true(
        lambda figures: figures["samples"] >= 3 and share(figures, "held") < 0.3,
        time.sleep,
        (0.004,),
        seconds=0.05,
        guess=True,
    )


# --- the sampler's life


def sampler_runs():
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as file:
                names.append(file.read().strip())
        except OSError:
            pass
    return any(name in {"plait-gauge", "plait-canary"} for name in names)


def test_thousands_of_gauges_leave_nothing_behind():
    def used():
        return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))

    until(lambda: not sampler_runs(), "the end of samplers of other tests")
    before = used()
    for _ in range(3000):
        gauge = _core.Gauge(abs, sample=True, sample_for=0.001)
        gauge(-1)
        gauge.figures()
    until(lambda: used() <= before, lambda: f"{used()}, {before} before")


def seen_by_child(around):
    fresh = _core.Gauge(count, sample=True, sample_for=60)
    fresh()
    deadline = time.monotonic() + 20
    while GIL and not fresh.figures()["held"] and time.monotonic() < deadline:
        fresh()
    fresh, around = fresh.figures(), around.figures()
    return [fresh["calls"] > 0, fresh["running"], not GIL or (fresh["held"] or 0) > 0, around["running"]]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_of_a_fork_measures_anew():
    read, write = os.pipe()

    def forks():
        child = os.fork()
        if child == 0:
            # Whatever happens in the child ends here.
            try:
                os.write(write, repr(seen_by_child(gauge)).encode())
            finally:
                os._exit(0)
        return child

    gauge = _core.Gauge(forks, sample=True, sample_for=60)
    child = gauge()
    os.close(write)
    told = os.read(read, 1000)
    os.close(read)
    os.waitpid(child, 0)
    assert told == b"[True, 0, True, 1]"
    figures = gauge.figures()
    assert (figures["calls"], figures["running"]) == (1, 0)


@pytest.mark.parametrize("guess", [False, True])
def test_a_program_ends_while_it_is_looked_at(guess):
    script = f"""
import threading, time
from plait import _core
gauge = _core.Gauge(time.sleep, sample=True, sample_for=600, guess={guess})
threading.Thread(target=gauge, args=(600,), daemon=True).start()
while not gauge.figures()["running"]:
    time.sleep(0.001)
gauge(0.02)
print("over")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=45)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "over\n", "")


def test_signals_still_come_to_the_main_thread():
    came = []
    before = signal.signal(signal.SIGUSR1, lambda *_: came.append(threading.current_thread()))
    try:
        gauge = _core.Gauge(time.sleep, sample=True, sample_for=0.5)
        gauge(0.002)
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: came, "the signal")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert came == [threading.main_thread()]
