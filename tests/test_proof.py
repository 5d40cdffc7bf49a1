"""`make torture` asks for as many kills as it says; `make miri` and `make sanitize` say what they lack."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import torture  # noqa: E402

pytestmark = pytest.mark.once


@pytest.mark.parametrize("kills", [100, 101, 200, 9_999, 10_000, 123_457])
def test_the_kills_are_shared_out(kills):
    shares = torture.shares(kills)
    assert all(share > 0 for share in shares.values())
    # Of consumers whose items come back, by the second test of the queue.
    returns = -(-shares["queue_torture"] // 9)
    assert sum(shares.values()) + returns == kills


def test_each_share_has_a_test():
    tests = ROOT / "crates" / "plait-shm" / "tests"
    for name in torture.shares(100):
        [path] = [path for path in (tests / f"{name}.rs", tests / name / "main.rs") if path.exists()]
        text = path.read_text()
        assert "fate::kills(" in text and "Dice::of_test(" in text


def run(script, *arguments, path=None):
    env = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = [sys.executable, ROOT / "scripts" / script, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("rustup", "remedy"),
    [
        (None, "install rustup"),
        (
            "exit 1",
            "rustup toolchain install nightly --profile minimal --component miri --component rust-src",
        ),
        ("echo rust-src", "rustup component add --toolchain nightly miri"),
    ],
)
def test_what_is_missing_is_said_in_a_line(tmp_path, rustup, remedy):
    if rustup is not None:
        (tmp_path / "rustup").write_text(f"#!/bin/sh\n{rustup}\n")
        (tmp_path / "rustup").chmod(0o755)
    ended = run("proof.py", "miri", path=f"{tmp_path}:/bin" if rustup else str(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert remedy in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_few_kills_are_refused():
    ended = run("torture.py", "--kills", "99")
    assert ended.returncode == 2
    assert "ask for more" in ended.stderr
