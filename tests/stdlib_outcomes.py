"""What became of each test of the standard library's that `stdlib_pool.py` and `stdlib_processes.py` run."""

import sys
import time
import unittest


def short(test):
    """Class and name of a test."""
    return ".".join(test.id().split(".")[-2:])


class Outcomes(unittest.TestResult):
    """What became of each test."""

    def __init__(self):
        super().__init__()
        self.by_name = {}

    def startTest(self, test):
        super().startTest(test)
        self._begun = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        print(
            f"{time.monotonic() - self._begun:6.2f} s {short(test)}: {self.by_name[short(test)]}",
            file=sys.stderr,
        )

    def addSuccess(self, test):
        self.by_name[short(test)] = "ok"

    def addSkip(self, test, reason):
        self.by_name[short(test)] = "skipped"

    def addError(self, test, err):
        self.by_name[short(test)] = self._exc_info_to_string(err, test)

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(test, err)
