"""The tests that Python brings for locks and their kin (`test.lock_tests`), run on plait's.

Its `main` prints one line of JSON: the outcome of each test by its name, "ok", "skipped" or what went wrong.
`test_locks_stdlib.py` runs it, in a process of its own.
"""

import json
import unittest

import plait
from stdlib_outcomes import Outcomes
from test import lock_tests

# Each class of tests, with what it asks for and what of plait's that is.
CLASSES = {
    "LockTests": {"locktype": plait.Lock},
    "RLockTests": {"locktype": plait.RLock},
    "EventTests": {"eventtype": plait.Event},
    "ConditionTests": {"condtype": plait.Condition, "locktype": plait.Lock},
    "SemaphoreTests": {"semtype": plait.Semaphore},
    "BoundedSemaphoreTests": {"semtype": plait.BoundedSemaphore},
    "BarrierTests": {"barriertype": plait.Barrier},
}


def main():
    """Run them."""
    suite = unittest.TestSuite()
    for name, kinds in CLASSES.items():
        kinds = {what: staticmethod(kind) for what, kind in kinds.items()}
        case = type(name, (getattr(lock_tests, name),), kinds)
        suite.addTests(map(case, unittest.defaultTestLoader.getTestCaseNames(case)))
    outcomes = Outcomes()
    suite.run(outcomes)
    print(json.dumps(outcomes.by_name))


if __name__ == "__main__":
    main()
