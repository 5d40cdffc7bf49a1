"""Going on for a while."""

import threading
import time
from collections.abc import Callable
from typing import Any


def until_over(seconds: float, work: Callable[[], Any]) -> None:
    """Do `work` again and again until the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work()


def on_threads(count: int, seconds: float, work: Callable[[], Any]) -> None:
    """Do it on so many threads."""
    threads = [threading.Thread(target=until_over, args=(seconds, work), name=f"t{n}") for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def beside(seconds: float, *works: Callable[[], Any]) -> None:
    """Do each of them on a thread of its own."""
    threads = [threading.Thread(target=until_over, args=(seconds, work)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def count_up(to: int = 20_000) -> int:
    """Some milliseconds of bytecode."""
    total = 0
    for n in range(to):
        total += n & 7
    return total
