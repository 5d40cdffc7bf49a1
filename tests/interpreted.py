"""What is called in sub-interpreters: a module that loads nothing of plait, which refuses them."""

import builtins
import os
import threading


def where():
    """The interpreter that this runs in, and its process."""
    from concurrent import interpreters

    return interpreters.get_current().id, os.getpid()


def mark():
    builtins.marked = getattr(builtins, "marked", 0) + 1
    return builtins.marked


def set_mark(number):
    builtins.marked = number


def load_numpy(_):
    import numpy

    return numpy.__name__


def of_core(_):
    import plait

    return plait.cpu_count()


def fail(text):
    raise LookupError(text)


def odd_result(_):
    return threading.Lock()


def spin(n):
    total = 0
    for i in range(n):
        total += i * i
    return total


def spin_where(n):
    from concurrent import interpreters

    return spin(n), interpreters.get_current().id


def pass_on(value):
    """Takes some 10 µs, so that not all calls are made while they are measured."""
    spin(300)
    return value


def fail_at(limit, number):
    pass_on(number)
    if number == limit:
        raise ValueError(f"no {limit}")
    return number


def load_later(number, limit):
    """From a number on, it loads what refuses."""
    if number >= limit:
        import late_refusal

        return late_refusal.number + number
    return pass_on(number)


def start_daemon(number):
    """Does what no sub-interpreter lets it do."""
    thread = threading.Thread(target=int, daemon=True)
    thread.start()
    thread.join()
    return number


def say(number):
    print(number)
    return number


def lock_from(limit, number):
    """A result that cannot be sent, of a sub-interpreter, from a number on."""
    from concurrent import interpreters

    elsewhere = interpreters.get_current() != interpreters.get_main()
    return threading.Lock() if number >= limit and elsewhere else pass_on(number)
