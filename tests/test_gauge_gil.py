"""The gauge tells who holds the GIL and who waits for it, and its sampler lives no longer than needed."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import zlib

import pytest
from gauged import DATA, comes_true, count, in_one_go, share
from outside import until
from plait import _core

GIL = _core.Gauge(abs).figures()["gil_reason"] is None
reads_gil = pytest.mark.skipif(not GIL, reason="the GIL of this Python cannot be read")


def holding_sleep():
    ctypes.PyDLL(None).usleep(3000)


def half():
    begun = time.thread_time()
    while time.thread_time() - begun < 0.002:
        count(200)
    time.sleep(0.002)


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
