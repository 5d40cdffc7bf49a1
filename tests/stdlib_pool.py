"""The tests that Python brings for `multiprocessing.pool`, run on plait's pools.

A module that puts `plait.Pool` and `plait.ThreadPool` where those tests find the stdlib's. Its `main` runs
those of some classes, and prints one line of JSON: the outcome of each test by its name, "ok",
"skipped" or what went wrong. Workers import it for the test classes. `test_pool_stdlib.py` runs it, in a
process of its own.
"""

import json
import multiprocessing
import multiprocessing.dummy
import multiprocessing.managers
import multiprocessing.pool
import sys
import unittest

import plait
from stdlib_outcomes import Outcomes

# The test classes of the stdlib that use pools, and in which of their kinds they are run.
CLASSES = {
    "_TestPool": ("processes", "threads", "manager"),
    "_TestPoolWorkerErrors": ("processes",),
    "_TestPoolWorkerLifetime": ("processes",),
}

# And those that have no kinds, with the tests in them that use pools.
TESTS = {
    "TestInitializers": ("test_pool_initializer",),
    "TestPoolNotLeakOnFailure": ("test_release_unused_processes",),
    "TestStdinBadfiledescriptor": ("test_pool_in_process",),
}


def put_in_place():
    """Put plait's pools where the stdlib's are."""
    pools = {"Pool": plait.Pool, "ThreadPool": plait.ThreadPool}
    vars(multiprocessing.pool).update(pools)
    multiprocessing.Pool = plait.Pool
    multiprocessing.dummy.Pool = plait.ThreadPool
    managers = multiprocessing.managers
    managers.SyncManager.register("Pool", plait.Pool, managers.PoolProxy)


def run_with_plait(script_helper):
    """Have the scripts that tests start get plait's pool too."""
    run = script_helper.assert_python_ok
    paths = f"import sys; sys.path[:] = {sys.path!r}\n"

    def assert_python_ok(*args, **env):
        *options, script = args
        return run(
            *options, paths + script.replace("from multiprocessing import", "from plait import"), **env
        )

    script_helper.assert_python_ok = assert_python_ok


def make_cases(module):
    """Make the test cases, as the stdlib does it, in this module."""
    mixins = {
        "processes": module.ProcessesMixin,
        "threads": module.ThreadsMixin,
        "manager": module.ManagerMixin,
    }
    for name, kinds in CLASSES.items():
        for kind in kinds:
            bases = (getattr(module, name), mixins[kind], unittest.TestCase)
            yield f"With{kind.capitalize()}{name[1:]}", bases, None
    for name, tests in TESTS.items():
        yield name, (getattr(module, name),), tests


def with_short_timeout(test):
    """Run a test with another notion of what is long."""
    from test import support

    def run(self):
        with support.swap_attr(support, "LONG_TIMEOUT", 1):
            test(self)

    return run


def main(*classes):
    """Run the tests of these classes."""
    from test.support import script_helper

    run_with_plait(script_helper)
    multiprocessing.set_start_method("fork", force=True)
    # Older versions of the test wait so long for what threads have begun, the newer ones for a second.
    case = WithThreadsTestPool  # noqa: F821
    case.test_terminate = with_short_timeout(case.test_terminate)
    suite = unittest.TestSuite()
    for case, tests in CASES.items():
        if case.__name__ in classes:
            suite.addTests(case(test) for test in tests or unittest.defaultTestLoader.getTestCaseNames(case))
    outcomes = Outcomes()
    # In a suite of its own, which sees to what a class sets up.
    unittest.TestSuite([suite]).run(outcomes)
    print(json.dumps(outcomes.by_name))


put_in_place()
# Now that it finds plait's.
from test import _test_multiprocessing  # noqa: E402

CASES = {}
for _name, _bases, _tests in make_cases(_test_multiprocessing):
    globals()[_name] = _case = type(_name, _bases, {"__module__": __name__})
    CASES[_case] = _tests
