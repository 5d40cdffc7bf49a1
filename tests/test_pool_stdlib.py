"""Python's own tests of `multiprocessing.pool` pass on plait's pools, but for those listed with a reason."""

import importlib.util
import json

import pytest
from outside import run_program

# Beside those that the tests skip themselves. One that passes must go from here.
NOT_FOR_PLAIT = {
    "WithProcessesTestPoolWorkerErrors.test_unpickleable_result": (
        "its result that cannot be sent is a lambda, which plait sends; test_pool_errors.py has others"
    ),
    "TestPoolNotLeakOnFailure.test_release_unused_processes": (
        "it hands the pool a class of processes that fail to start; plait's engine starts its own"
    ),
}

# The classes that run together, and how many tests they have at least.
GROUPS = {
    "processes": (["WithProcessesTestPool"], 25),
    "threads": (["WithThreadsTestPool"], 25),
    "manager": (["WithManagerTestPool"], 25),
    "others": (
        [
            "WithProcessesTestPoolWorkerErrors",
            "WithProcessesTestPoolWorkerLifetime",
            "TestInitializers",
            "TestPoolNotLeakOnFailure",
            "TestStdinBadfiledescriptor",
        ],
        8,
    ),
}


def has_tests():
    return importlib.util.find_spec("test") and importlib.util.find_spec("test._test_multiprocessing")


@pytest.mark.skipif(not has_tests(), reason="this Python is installed without its tests")
@pytest.mark.parametrize("group", GROUPS)
def test_the_tests_of_the_stdlib_pass(group):
    classes, least = GROUPS[group]
    ended = run_program("-c", f"import stdlib_pool; stdlib_pool.main(*{classes!r})", patience=90)
    assert ended.code == 0, ended
    outcomes = json.loads(ended.out.splitlines()[-1])
    assert len(outcomes) >= least, f"only {sorted(outcomes)} were run"
    failed = {name: text for name, text in outcomes.items() if text not in ("ok", "skipped")}
    unexpected = {name: text for name, text in failed.items() if name not in NOT_FOR_PLAIT}
    assert not unexpected, "\n".join(f"{name}\n{text}" for name, text in unexpected.items()) + ended.err
    listed = {name for name in NOT_FOR_PLAIT if name.split(".")[0] in classes}
    assert listed <= set(failed), f"these pass now, or are gone: {sorted(listed - set(failed))}"
