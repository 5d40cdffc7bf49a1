"""A thread that parses JSON keeps the GIL, and the others wait for it: a heartbeat comes late.

python examples/gil_hog.py                  # tells how late
plait record -- python examples/gil_hog.py  # tells why: which function, called from where
plait watch -- python examples/gil_hog.py   # shows it while it happens
"""

import json
import threading
import time

ITEMS = [1_000_000] * 4


def parse(size):
    """Parse a list of so many numbers, which is one call of native code."""
    return len(json.loads(f"[{'1, ' * (size - 1)}1]"))


def heartbeat(stop, late):
    """Wake up every 5 ms, and note how late that was."""
    while not stop.is_set():
        expected = time.monotonic() + 0.005
        time.sleep(0.005)
        late.append(time.monotonic() - expected)


if __name__ == "__main__":
    stop, late = threading.Event(), []
    beating = threading.Thread(target=heartbeat, args=(stop, late))
    beating.start()
    end = time.monotonic() + 4
    parsed = 0
    while time.monotonic() < end:
        parsed += parse(ITEMS[0])
    stop.set()
    beating.join()
    print(f"{parsed:,} numbers parsed, and a heartbeat late by up to {max(late) * 1000:.0f} ms")
