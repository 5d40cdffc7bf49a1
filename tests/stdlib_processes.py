"""The tests that Python brings for processes and threads, run on `plait.Process` and `plait.Thread`.

A module that puts plait's classes where those tests find the stdlib's. Its `main` runs those of a group,
and prints one line of JSON: the outcome of each test by its name, "ok", "skipped" or what went wrong. The
processes import it for the test classes. `test_process_stdlib.py` runs it, in a process of its own.
"""

import json
import multiprocessing
import sys
import threading
import unittest

import plait
from plait._one import birth
from stdlib_outcomes import Outcomes

# The classes that run together: those of `test._test_multiprocessing`, of whose kinds "processes" is run, and
# of `test.test_threading`.
GROUPS = {
    "process": ["_TestProcess", "_TestSubclassingProcess"],
    "arguments": [
        "_TestLock",
        "_TestSemaphore",
        "_TestEvent",
        "_TestValue",
        "_TestArray",
        "_TestConnection",
        "_TestPicklingConnections",
        "_TestSharedCTypes",
        "_TestSharedMemory",
        "_TestListenerClient",
        "TestStdinBadfiledescriptor",
    ],
    "thread": ["ThreadTests", "ThreadJoinOnShutdown", "ThreadingExceptionTests", "ExceptHookTests"],
}


# Those that would wait long for what does not come.
NOT_RUN = {
    "TestProcess.test_parent_process": "a process outlives its parent there; plait's end with theirs",
}


def put_in_place():
    """Put plait's classes where the stdlib's are."""
    multiprocessing.set_start_method("spawn", force=True)
    multiprocessing.Process = plait.Process
    # The tests' own module takes long to import: once will do, for all processes.
    birth._PRELOAD = (*birth._PRELOAD, __name__)


def main(group):
    """Run the tests of a group."""
    suite = unittest.TestSuite()
    for case in of_threads() if group == "thread" else CASES[group]:
        names = unittest.defaultTestLoader.getTestCaseNames(case)
        suite.addTests(case(name) for name in names if f"{case.__name__}.{name}" not in NOT_RUN)
    outcomes = Outcomes()
    # In a suite of its own, which sees to what a class sets up.
    unittest.TestSuite([suite]).run(outcomes)
    print(json.dumps(outcomes.by_name))


def of_threads():
    """The classes of threads, in whose module and programs `threading.Thread` is plait's."""
    # Before the module, which has subclasses.
    threading.Thread = plait.Thread
    from test import test_threading
    from test.support import script_helper

    paths = f"import sys; sys.path[:] = {sys.path!r}\n"
    put = "import plait, threading; threading.Thread = plait.Thread\n"
    for name in ("assert_python_ok", "assert_python_failure"):
        run = getattr(script_helper, name)

        def started(*args, _run=run, **env):
            *options, script = args
            return _run(*options, paths + put + script, **env)

        setattr(test_threading, name, started)
    return [getattr(test_threading, name) for name in GROUPS["thread"]]


put_in_place()
# Now that it finds plait's.
from test import _test_multiprocessing  # noqa: E402

# Or the tests would be the stdlib's of itself.
assert _test_multiprocessing.ProcessesMixin.Process is plait.Process

CASES = {}
for _group in ("process", "arguments"):
    CASES[_group] = []
    for _name in GROUPS[_group]:
        _bases = (getattr(_test_multiprocessing, _name),)
        _name = _name.lstrip("_")
        if _name not in GROUPS[_group]:
            _bases += (_test_multiprocessing.ProcessesMixin, unittest.TestCase)
        globals()[_name] = type(_name, _bases, {"__module__": __name__})
        CASES[_group].append(globals()[_name])
