"""The examples run as they stand, and under `plait compare`, on a part of their items."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))
# The function of each, and items that take no time.
SMALL = {
    "blocked_loop.py": ("look_up", "[0.001] * 4"),
    "fetch_urls.py": ("fetch", "ITEMS[:4]"),
    "gil_hog.py": ("parse", "[1_000] * 4"),
    "primes.py": ("count_primes", "[2_000] * 4"),
    "shared_array.py": ("fill", "ITEMS[:4]"),
    "square_roots.py": ("square_roots", "[1_000] * 4"),
}
# What each prints, among other things.
SAYS = {
    "blocked_loop.py": " in time.sleep at ",
    "fetch_urls.py": "50 pages, 890,000 bytes, on 20 threads in ",
    "gil_hog.py": " numbers parsed, and a heartbeat late by up to ",
    "primes.py": "17,984 primes below 200,000\n" * 4,
    "shared_array.py": "10,000,000 numbers, 76 MiB, filled by 20 tasks in place\n"
    "the last one is 19,999,998, and they add up to 99,999,990,000,000\n",
    "square_roots.py": "square roots in ",
}


def test_all_examples_are_known_here():
    assert {path.name for path in EXAMPLES} == SMALL.keys() == SAYS.keys()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short_and_runs(path, tmp_path):
    assert len(path.read_text().splitlines()) <= 60
    done = subprocess.run(
        [sys.executable, path],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert SAYS[path.name] in done.stdout


@pytest.mark.once
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_compared(path, tmp_path):
    function, items = SMALL[path.name]
    arguments = ["compare", str(path), "--items", items, "--rounds", "1", "--json", "figures.json"]
    done = subprocess.run(
        [sys.executable, "-m", "plait", *arguments],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((tmp_path / "figures.json").read_text())
    assert document["function"] == f"{path.name}:{function}"
    assert [row["error"] for row in document["rows"]] == [None] * 3


def test_what_primes_computes():
    """Against a sieve, so that the example shows right results."""
    namespace = {"__name__": "example"}
    source = next(path for path in EXAMPLES if path.name == "primes.py").read_text()
    exec(source, namespace)
    sieve = [True] * 2_000
    for n in range(2, 45):
        if sieve[n]:
            sieve[n * n :: n] = [False] * len(sieve[n * n :: n])
    assert [namespace["count_primes"](limit) for limit in (0, 2, 3, 10, 2_000)] == [
        0,
        0,
        1,
        4,
        sum(sieve[2:]),
    ]
