"""Native code that keeps the GIL while another thread would run."""

import csv
import ctypes
import gc
import json
import pickle
import re
import time
from pathlib import Path

from corpus import answer
from corpus.clock import beside, count_up, until_over


def _names_its_operators():
    """Whether the interpreter has its symbols: the functions of operators have no other names."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if "python" in line and "/" in line}
    return any(b"\0long_mul\0" in Path(path).read_bytes() for path in paths if Path(path).is_file())


CONTENDED = ("gil-contention", "python-cpu-bound", "native-holding", "gc-pause")


def paused():
    """Work that asks for the GIL now and then."""
    time.sleep(0.002)


@answer("gil-hog", also=CONTENDED)
def parses_json(seconds):
    text = json.dumps(list(range(400_000)))
    beside(seconds, lambda: json.loads(text), paused)


@answer("gil-hog", also=CONTENDED, native="sre|re.Pattern")
def matches_a_slow_pattern(seconds):
    # In as many ways as 2 to the number of letters: some ten milliseconds on any machine, in one call.
    text = "a" * 21
    pattern = re.compile("(?:a+)+b")
    beside(seconds, lambda: pattern.match(text), paused)


@answer("gil-hog", also=CONTENDED, native="sort")
def sorts(seconds):
    numbers = [n * 7919 % 1_000_003 for n in range(500_000)]
    beside(seconds, lambda: sorted(numbers), paused)


@answer("gil-hog", also=CONTENDED, native="pickle")
def pickles(seconds):
    rows = [[n, str(n), float(n)] for n in range(120_000)]
    beside(seconds, lambda: pickle.dumps(rows), paused)


@answer("gil-hog", also=CONTENDED, native="ong" if _names_its_operators() else None)
def multiplies_long_numbers(seconds):
    number = 7**200_000
    beside(seconds, lambda: number * number, paused)


@answer("gil-hog", also=(*CONTENDED, "gc-pause"))
def reads_csv(seconds):
    lines = ["1,2,3,four,5.5"] * 150_000
    beside(seconds, lambda: list(csv.reader(lines)), paused)


@answer("gil-hog", also=CONTENDED, native="sum")
def sums_up(seconds):
    beside(seconds, lambda: sum(range(5_000_000)), paused)


@answer("gil-hog", also=CONTENDED)
def searches_text(seconds):
    text = "ab" * 20_000_000
    beside(seconds, lambda: text.count("ba"), paused)


@answer("gil-hog", also=("gil-contention", "native-holding"))
def sleeps_with_the_gil(seconds):
    keep = ctypes.PyDLL(None).usleep
    beside(seconds, lambda: keep(60_000), paused)


@answer("gil-hog", also=("gil-contention", "native-holding"))
def sleeps_with_the_gil_beside_a_loop(seconds):
    keep = ctypes.PyDLL(None).usleep
    beside(seconds, lambda: keep(40_000), count_up)


@answer("gil-hog", also=("gil-contention", "native-holding"), native="sort")
def sorts_beside_two_loops(seconds):
    numbers = [n * 7919 % 1_000_003 for n in range(400_000)]
    beside(seconds, lambda: sorted(numbers), count_up, count_up)


@answer("native-holding")
def sorts_alone(seconds):
    # Nobody waits: it is computing, not hogging.
    numbers = [n * 7919 % 1_000_003 for n in range(300_000)]
    until_over(seconds, lambda: sorted(numbers))


@answer("gc-pause", also=("gil-contention", "python-cpu-bound", "gil-hog"))
def collects_garbage(seconds):
    heap = [[{}] for _ in range(400_000)]
    beside(seconds, gc.collect, paused)
    del heap
