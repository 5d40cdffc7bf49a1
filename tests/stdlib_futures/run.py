"""A program: runs one file of the stdlib's tests on plait's classes, and writes what became of each test.

    python run.py FOLDER FILE CLASSES REPORT

`FOLDER` holds the copy that `patching.copy_tests` made, `FILE` is a module of it, `CLASSES` a regular
expression for the names of the classes to run, `REPORT` where a JSON object is written: the outcome of each
test by its name.
"""

import faulthandler
import json
import re
import sys
import unittest
from pathlib import Path

# A test that takes longer hangs: all stacks are written, and the program ends.
WATCHDOG_SECONDS = 60


class Outcomes(unittest.TestResult):
    """Keeps what became of each test: `passed`, or `skipped` and why, or `failed` and a traceback."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def startTest(self, test):
        super().startTest(test)
        faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True)
        print(name_of(test), file=sys.stderr, flush=True)

    def stopTest(self, test):
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.found.setdefault(name_of(test), ("passed", ""))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.found[name_of(test)] = ("skipped", reason)

    def addError(self, test, err):
        super().addError(test, err)
        self.found[name_of(test)] = ("failed", self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.found[name_of(test)] = ("failed", self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.found[name_of(test)] = ("failed", self._exc_info_to_string(err, test))


def name_of(test):
    """`Class.test_method`, or what else unittest calls an error beyond the tests."""
    return ".".join(test.id().split(".")[-2:])


def tests_of(suite, classes):
    """The tests of a suite whose class's name matches."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test, classes)
        elif re.match(classes, type(test).__name__):
            yield test


def main(folder, file, classes, report):
    sys.path[:0] = [folder, str(Path(__file__).resolve().parent.parent)]
    from stdlib_futures import differences, patching

    faulthandler.enable()
    patching.apply()
    patching.patch_programs()
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{patching.PACKAGE}.{file}")
    outcomes = Outcomes()
    tests = [test for test in tests_of(suite, classes) if not differences.is_not_run(name_of(test))]
    unittest.TestSuite(tests).run(outcomes)
    Path(report).write_text(json.dumps(outcomes.found))


if __name__ == "__main__":
    main(*sys.argv[1:])
