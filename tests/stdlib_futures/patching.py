"""Puts plait's classes where the stdlib's tests of `concurrent.futures` find them.

The tests are those of the Python that runs, or of another one on this machine where this one came without.
They run from a copy that differs in what `EDITS` says: a future of plait's has no attributes to be
overwritten, so the tests' own `create_future` brings its futures into their states by methods.
"""

import os
import shutil
import sys
from pathlib import Path

PACKAGE = "test_concurrent_futures"

# For each file of the copy: what stands there, and what comes in its place. All of it must be found.
EDITS = {
    "util.py": [
        (
            "def create_future(state=PENDING, exception=None, result=None):\n"
            "    f = Future()\n    f._state = state\n    f._exception = exception\n"
            "    f._result = result\n    return f\n",
            "from stdlib_futures.patching import create_future\n",
        )
    ],
}

# The same for tests of a newer Python than the one that runs, which lacks some of their helpers.
_NEEDS_GIL = '    @support.requires_gil_enabled("gh-117344: test is flaky without the GIL")\n'
NEWER = {
    "util.py": [("support.check_sanitizer(thread=True)", "False")],
    "executor.py": [("from test.support import Py_GIL_DISABLED\n", "Py_GIL_DISABLED = False\n")],
    "test_thread_pool.py": [(_NEEDS_GIL, ""), ("os.process_cpu_count()", "os.cpu_count()")],
    "test_process_pool.py": [(_NEEDS_GIL, "")],
    "test_init.py": [
        ('    @support.skip_if_sanitizer("TSAN doesn\'t support threads after fork", thread=True)\n', "")
    ],
}


def copy_tests(library, folder):
    """Makes a package `test` in `folder`: this Python's, with the tests of the standard library `library`."""
    own = Path(os.__file__).parent / "test"
    copy = Path(folder, "test")
    copy.mkdir()
    for entry in own.iterdir():
        if entry.name not in (PACKAGE, "__pycache__"):
            (copy / entry.name).symlink_to(entry)
    shutil.copytree(
        Path(library, "test", PACKAGE), copy / PACKAGE, ignore=shutil.ignore_patterns("__pycache__")
    )
    from test import support

    for edits in [EDITS] if hasattr(support, "Py_GIL_DISABLED") else [EDITS, NEWER]:
        for name, changes in edits.items():
            file = copy / PACKAGE / name
            text = file.read_text()
            for old, new in changes:
                if old not in text:
                    raise AssertionError(f"{name} of the stdlib's tests has changed: {old!r} is not there")
                text = text.replace(old, new)
            file.write_text(text)


def apply():
    """Patches this interpreter; before any of the tests is imported."""
    import concurrent.futures
    import concurrent.futures.process
    import concurrent.futures.thread

    import plait

    futures = concurrent.futures
    for module in (futures, futures.thread):
        module.ThreadPoolExecutor = plait.ThreadPoolExecutor
    for module in (futures, futures.process):
        module.ProcessPoolExecutor = plait.ProcessPoolExecutor
    for module in (futures, futures._base):
        module.Future = plait.Future


def patch_programs():
    """Has the programs that the tests run be patched as this one is."""
    from test.support import script_helper

    genuine = script_helper.assert_python_ok

    def assert_python_ok(option, code):
        prelude = f"import sys; sys.path[:0] = {sys.path!r}; from stdlib_futures import patching; "
        return genuine(option, f"{prelude}patching.apply()\n{code}")

    script_helper.assert_python_ok = assert_python_ok


def create_future(state="PENDING", exception=None, result=None):
    """A future in this state."""
    import plait

    future = plait.Future()
    if state in ("CANCELLED", "CANCELLED_AND_NOTIFIED"):
        future.cancel()
    if state in ("RUNNING", "FINISHED", "CANCELLED_AND_NOTIFIED"):
        future.set_running_or_notify_cancel()
    if state == "FINISHED" and exception is not None:
        future.set_exception(exception)
    elif state == "FINISHED":
        future.set_result(result)
    return future
