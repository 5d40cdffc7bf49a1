"""Programs to be watched: `python target.py KIND …`. Each says `ready` and works until its input closes.

A question is a line on standard input; the answer is one line of JSON: what the program knows of itself.
"""

import contextlib
import ctypes
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

PR_SET_TIMERSLACK = 29


def answer_questions(tell: Callable[[], Any]) -> None:
    """Answer each line on standard input, until there are no more."""
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(tell()), flush=True)


class Worker:
    """A thread that does the same piece of Python work again and again.

    `done`: how many pieces, and its processor time and the time when it had done the last of them.
    """

    def __init__(self) -> None:
        self.done = (0, 0.0, time.monotonic())
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        pieces = 0
        while True:
            total = 0
            for n in range(4_000):
                total += n & 7
            pieces += 1
            self.done = (pieces, time.thread_time(), time.monotonic())


def loops(count: int) -> None:
    """So many threads that compute in Python; tells what each has done."""
    workers = [Worker() for _ in range(count)]
    answer_questions(lambda: [worker.done for worker in workers])


def mix() -> None:
    """Six threads: two loops, two kinds of native code, one that sleeps, one that lets go of the GIL."""
    import hashlib

    text = json.dumps(list(range(20_000)))
    data = bytes(2_000_000)

    def loop() -> None:
        sum(number * number for number in range(5_000))

    works = (
        loop,
        loop,
        lambda: json.loads(text),
        lambda: sorted(range(50_000), key=lambda number: -number),
        lambda: time.sleep(0.003),
        lambda: hashlib.sha256(data).digest(),
    )

    states: list[tuple[int, int]] = []

    def for_ever(work: Callable[[], Any]) -> None:
        states.append((threading.get_native_id(), thread_state()))
        while True:
            work()

    for work in works:
        threading.Thread(target=for_ever, args=(work,), daemon=True).start()
    answer_questions(lambda: {"requests": [(tid, state + gil_requested()) for tid, state in states]})


def thread_state() -> int:
    """Where the state of this thread lies."""
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    return get()


def gil_requested() -> int:
    """Where in a thread's state it says that it wants the GIL; from 3.15 on, at 280 in `_Py_DebugOffsets`."""
    table = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    return ctypes.c_uint64.from_address(table + 280).value


def keeper(shortest: float, longest: float) -> None:
    """A thread that keeps the GIL asleep for known times while another one computes; tells the last times."""
    held: list[tuple[int, int]] = []
    keep = ctypes.PyDLL(None).usleep
    numbers = random.Random(7)

    def work() -> None:
        # Timers are late by 50 us otherwise.
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, 1)
        while True:
            micros = int(numbers.uniform(shortest, longest) * 1e6)
            begun = time.monotonic_ns()
            keep(micros)
            # Whoever waited meanwhile has the GIL now: to ask what time it is would tell when it came back.
            held.append((begun, begun + 1000 * micros))
            time.sleep(numbers.uniform(0.002, 0.006))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    Worker()
    answer_questions(lambda: {"tid": thread.native_id, "held": list(held)})


def crowd(idle: int, busy: int) -> None:
    """So many threads that wait for ever, and so many that compute."""
    for _ in range(idle):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    for _ in range(busy):
        Worker()
    answer_questions(lambda: {})


def family(count: int) -> None:
    """So many children that work for 120 ms; tells when each began and ended."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    lives: list[tuple[int, int, int]] = []

    def live(out: Any) -> None:
        begun = time.monotonic_ns()
        end = time.monotonic() + 0.12
        while time.monotonic() < end:
            sum(range(1000))
        out.send((begun, time.monotonic_ns()))

    def work() -> None:
        children = []
        for _ in range(count):
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=live, args=(theirs,), daemon=True)
            child.start()
            children.append((child, ours))
        for child, ours in children:
            lives.append((child.pid or 0, *ours.recv()))
            child.join()

    print("ready", flush=True)
    for _ in sys.stdin:
        lives.clear()
        work()
        print(json.dumps(lives), flush=True)


def sorter(kind: str) -> None:
    """Native code that keeps the GIL, beside a thread that asks for it now and then."""
    from observing.hogs import KINDS

    work = KINDS[kind][0]()

    def go_on() -> None:
        while True:
            work()

    def ask() -> None:
        while True:
            time.sleep(0.002)

    threading.Thread(target=go_on, daemon=True).start()
    threading.Thread(target=ask, daemon=True).start()
    answer_questions(lambda: {})


def main(kind: str, *arguments: str) -> None:
    """Run one."""
    programs: dict[str, Callable[..., None]] = {
        "loops": lambda count: loops(int(count)),
        "mix": mix,
        "keeper": lambda shortest, longest: keeper(float(shortest), float(longest)),
        "crowd": lambda idle, busy: crowd(int(idle), int(busy)),
        "family": lambda count: family(int(count)),
        "hog": sorter,
    }
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        programs[kind](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
