"""A main loop that goes on while others work: it shows progress, and cancels as soon as that is asked for.

python examples/responsive.py

The loop turns a hundred times a second, as that of a window or a game does, and looks what has ended. Once
the work is done in the loop itself, once by threads, once by processes. window.py is this with buttons,
service.py with requests.
"""

import sys
import time

import plait

ITEMS = [60_000] * 16
ENOUGH, TURN = 3, 0.01


def count_primes(limit):
    """Count the primes below `limit` by trial division, up to the square root of each number."""
    count = 0
    for n in range(2, limit):
        divisor = 2
        while divisor * divisor <= n and n % divisor:
            divisor += 1
        count += divisor * divisor > n
    return count


def main_loop(backend):
    """Turn until all is done, or cancelled: here somebody cancels when three results are there."""
    late, done, cancelled, last = 0.0, 0, 0, time.monotonic()
    with plait.Executor(backend, 2) as executor:
        waiting = {executor.submit(count_primes, limit) for limit in ITEMS}
        while waiting:
            time.sleep(TURN)
            late, last = max(late, time.monotonic() - last - TURN), time.monotonic()
            ended = {future for future in waiting if future.done()}
            waiting -= ended
            done += len(ended)
            if sys.stdout.isatty():
                print(end=f"\r{done} of {len(ITEMS)}\r")
            if done >= ENOUGH:
                stopped = {future for future in waiting if future.cancel()}
                waiting -= stopped
                cancelled += len(stopped)
    return f"late by up to {late * 1000:.0f} ms, {done} of {len(ITEMS)} done, {cancelled} cancelled"


if __name__ == "__main__":
    for words, backend in (("in the loop", "serial"), ("threads", "threads"), ("processes", "processes")):
        print(f"{words + ':':<13}{main_loop(backend)}")
