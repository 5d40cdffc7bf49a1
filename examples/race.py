"""A race: calls count with one counter, and some of what they count is lost. Shown, counted and cured.

`counter.value += 1` is a read, an addition and a write, on threads as in processes; who writes in between is
overwritten. Here the addition takes its time, so that it happens in a short program as often as in a long
one. Nothing gets in between where all is one step, or behind a lock.
"""

import time

import plait

CALLS, EACH = 4, 500


def one_more(number):
    """As if it had to be looked up."""
    time.sleep(0.0001)
    return number + 1


def racing(counter):
    """Read, add and write: whoever writes in between is overwritten."""
    for _ in range(EACH):
        counter.value = one_more(counter.value)


def adding(counter):
    """The same in one step."""
    for _ in range(EACH):
        counter.add()


def locking(counter):
    """Three steps, with nobody in between: for what is no addition."""
    for _ in range(EACH):
        with counter.get_lock():
            counter.value = one_more(counter.value)


def counted(count, backend):
    """What the counter comes to, after four calls beside each other."""
    counter, begun = plait.Value(int, lock=True), plait.Value(int)

    def beside_the_others(_):
        begun.add()
        while begun.value < CALLS:
            time.sleep(0.001)
        count(counter)

    list(plait.map(beside_the_others, range(CALLS), backend=backend, workers=CALLS, chunksize=1))
    return counter.value


expected = CALLS * EACH
for backend in ("threads", "processes"):
    found = counted(racing, backend)
    print(f"{backend}: expected {expected:,}, counted {found:,}, lost {expected - found:,}")
    print(f"  with add: {counted(adding, backend):,}; with a lock: {counted(locking, backend):,}")
