"""The stdlib's own tests of `concurrent.futures` pass with plait's classes, but for `differences.py`."""

import concurrent.futures
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import plait
import pytest
from outside import TESTS, run_program
from stdlib_futures import differences, patching

ROOT = TESTS.parent

FILES = ["as_completed", "deadlock", "future", "init", "process_pool", "shutdown", "thread_pool", "wait"]

# Most of the tests sleep most of the time, so they run side by side, each file in these parts.
PARTS = {
    "threads": "ThreadPool",
    "fork": "ProcessPoolFork(?!server)",
    "forkserver": "ProcessPoolForkserver",
    "spawn": "ProcessPoolSpawn",
    "other": "(?!ThreadPool|ProcessPool)",
}
JOBS = [(file, part) for file in FILES for part in PARTS]
AT_ONCE = 6


def find_library():
    """The standard library whose tests are run: this Python's, or the newest here that has them."""
    if importlib.util.find_spec(f"test.{patching.PACKAGE}") is not None:
        return str(Path(os.__file__).parent)
    listed = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "pythons.py")], capture_output=True, text=True, check=False
    )
    ask = "import os; print(os.path.dirname(os.__file__))"
    for line in reversed(listed.stdout.splitlines()):
        python = line.split(maxsplit=1)[1]
        library = subprocess.run(
            [python, "-c", ask], capture_output=True, text=True, check=True
        ).stdout.strip()
        if Path(library, "test", patching.PACKAGE, "util.py").exists():
            return library
    return None


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """For each job the outcomes of its tests, as a future."""
    library = find_library()
    if library is None:
        pytest.skip("no Python of this machine was installed with its tests of concurrent.futures")
    folder = tmp_path_factory.mktemp("stdlib")
    patching.copy_tests(library, folder)
    program = TESTS / "stdlib_futures" / "run.py"

    def run(file, part):
        report = folder / f"{file}-{part}.json"
        arguments = ("-W", "ignore", program, folder, f"test_{file}", PARTS[part], report)
        env = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(Path(plait.__file__).parent.parent)])}
        ended = run_program(*arguments, patience=300, env=env)
        assert report.exists(), ended
        return json.loads(report.read_text())

    # The stdlib's own, which this does not test. All have ended before the first test begins, which would
    # take those that still run for processes that it has left behind.
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return {job: pool.submit(run, *job) for job in JOBS}


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("file", "part"), JOBS, ids=["-".join(job) for job in JOBS])
def test_the_stdlibs_tests_pass(outcomes, file, part):
    found = outcomes[file, part].result()
    wrong = []
    for name, (outcome, text) in found.items():
        difference = differences.known(name)
        if outcome == "failed" and difference is None:
            wrong.append(f"{name} failed:\n{text}")
        elif outcome == "passed" and difference is not None and not difference.sometimes:
            wrong.append(f"{name} passes, and need not stand in differences.py")
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(400)
def test_each_difference_is_one(outcomes):
    names = {name for job in outcomes.values() for name in job.result()}
    assert len(names) > 200
    idle = [
        difference.tests
        for difference in differences.DIFFERENCES
        if difference.run
        and sys.version_info >= difference.since
        and not any(differences.known(name) is difference for name in names)
    ]
    assert not idle, f"no test stands under {idle}"
