"""Functions of which it is known what they do, and measuring them until a busy machine shows it."""

import math
import threading

from plait import _core

TRIES = 12
DATA = bytes(range(256)) * 4096


def count(n=20_000):
    total = 0
    for number in range(n):
        total += number * number
    return total


def in_one_go():
    return sum(range(150_000))


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
    """Its share of the time; nan, which nothing is true of, where the sampler had no time to see it."""
    return math.nan if figures[name] is None else figures[name] / figures["wall"]


def comes_true(holds, fn, args=(), seconds=0.02, **options):
    """Measures until the figures are as they should be, longer each time: a busy machine may hide it."""
    for attempt in range(TRIES):
        figures = measured(fn, args, seconds * 1.4**attempt, **options)
        if holds(figures):
            return figures
    raise AssertionError(figures)
