"""Python's own tests of processes and threads pass on plait's, but for those listed with a reason."""

import importlib.util
import json

import pytest
from outside import run_program

_JOINED = "it joins a thread that has failed, and expects no exception; test_one_thread.py has the like"

# Beside those that the tests skip themselves, and those of `stdlib_processes.NOT_RUN`. One that passes must
# go from here.
NOT_FOR_PLAIT = {
    "TestSubclassingProcess.test_stderr_flush": "it joins a process that has failed, and wants no exception",
    "ThreadTests.test_import_from_another_thread": "it wants `threading` not to be imported yet",
    "ThreadingExceptionTests.test_print_exception": _JOINED,
    "ThreadingExceptionTests.test_print_exception_stderr_is_none_1": _JOINED,
    "ThreadingExceptionTests.test_print_exception_stderr_is_none_2": _JOINED,
    "ExceptHookTests.test_custom_excepthook": _JOINED,
    "ExceptHookTests.test_custom_excepthook_fail": _JOINED,
    "ExceptHookTests.test_excepthook": _JOINED,
    "ExceptHookTests.test_original_excepthook": _JOINED,
}

# How many tests each group has at least.
LEAST = {"process": 20, "arguments": 40, "thread": 40}


def has_tests():
    return importlib.util.find_spec("test") and importlib.util.find_spec("test._test_multiprocessing")


@pytest.mark.skipif(not has_tests(), reason="this Python is installed without its tests")
@pytest.mark.parametrize("group", ["process", pytest.param("arguments", marks=pytest.mark.once), "thread"])
@pytest.mark.usefixtures("uncounted")
def test_the_tests_of_the_stdlib_pass(group):
    ended = run_program("-c", f"import stdlib_processes; stdlib_processes.main({group!r})", patience=90)
    assert ended.code == 0, ended
    outcomes = json.loads(ended.out.splitlines()[-1])
    assert len(outcomes) >= LEAST[group], f"only {sorted(outcomes)} were run"
    failed = {name: text for name, text in outcomes.items() if text not in ("ok", "skipped")}
    unexpected = {name: text for name, text in failed.items() if name not in NOT_FOR_PLAIT}
    assert not unexpected, "\n".join(f"{name}\n{text}" for name, text in unexpected.items()) + ended.err
    classes = {name.split(".")[0] for name in outcomes}
    listed = {name for name in NOT_FOR_PLAIT if name.split(".")[0] in classes}
    assert listed <= set(failed), f"these pass now, or are gone: {sorted(listed - set(failed))}"
