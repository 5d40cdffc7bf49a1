"""The tests that Python brings for `queue.Queue` and `queue.SimpleQueue`, run on `plait.Queue`.

`main` runs them and prints one line of JSON: the outcome of each test by its name, "ok", "skipped" or what
went wrong. `test_queue_stdlib.py` runs it, in a process of its own.
"""

import json
import queue
import types
import unittest

import plait
from stdlib_outcomes import Outcomes

# What the tests take for the module.
STAND_IN = types.SimpleNamespace(
    Queue=plait.Queue, SimpleQueue=plait.Queue, Empty=queue.Empty, Full=queue.Full, ShutDown=plait.ShutDown
)


def cases():
    """The tests' classes, with plait's in place of the stdlib's."""
    from test import test_queue

    for name in ("CQueueTest", "CFailingQueueTest", "CSimpleQueueTest"):
        yield type(name, (getattr(test_queue, name),), {"queue": STAND_IN})


def main():
    """Run them."""
    suite = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromTestCase, cases()))
    outcomes = Outcomes()
    suite.run(outcomes)
    print(json.dumps(outcomes.by_name))
