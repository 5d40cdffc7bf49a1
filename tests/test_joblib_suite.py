"""joblib's own tests of its backends pass on plait; see `joblib_suite` for what is skipped, and why."""

import os
import re
import subprocess
import sys
from pathlib import Path

import joblib_suite
import pytest

pytestmark = pytest.mark.once

TESTS = Path(__file__).resolve().parent


@pytest.mark.timeout(580)
def test_joblibs_own_tests_pass(tmp_path):
    file = joblib_suite.write(tmp_path)
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "joblib_suite", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            *command,
            "-c",
            os.devnull,
            "--rootdir",
            str(tmp_path),
            "--timeout",
            "120",
            "--tb",
            "short",
            str(file),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=570,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    # Not a file that says nothing of plait any more.
    [passed] = re.findall(r"(\d+) passed", done.stdout.splitlines()[-1])
    assert int(passed) > 200, done.stdout


def test_what_is_skipped_is_there(tmp_path):
    text = joblib_suite.write(tmp_path).read_text()
    for name in joblib_suite.SKIPPED:
        assert f"def {name.partition('[')[0]}(" in text
