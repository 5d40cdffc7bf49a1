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
