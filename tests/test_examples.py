"""The examples run as they stand; under `plait compare`, too, if there is something to compare.

What their figures look like, `make examples` says (scripts/examples.py); here they run small, and say what is
right.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from outside import finish, start_program

pytestmark = pytest.mark.once

EXAMPLES = sorted((Path(__file__).resolve().parent.parent / "examples").glob("*.py"))
# The function of each, and items that take no time.
SMALL = {
    "blocked_loop.py": ("look_up", "[0.001] * 4"),
    "fetch_pages.py": ("fetch", "ITEMS[:4]"),
    "fetch_urls.py": ("fetch", "ITEMS[:4]"),
    "gil_hog.py": ("parse", "[1_000] * 4"),
    "primes.py": ("count_primes", "[2_000] * 4"),
    "shared_array.py": ("fill", "ITEMS[:4]"),
    "square_roots.py": ("square_roots", "[1_000] * 4"),
}
# Those that do not end by themselves have tests of their own.
OWN = {"local_server.py", "service.py", "stop_threads.py", "window.py"}
# Those that take too long as they stand, and an argument that makes them short.
SHORT = {"browse_pages.py": "2", "fetch_pages.py": "5", "many_connections.py": "1000"}
# Those that do the same in several ways, each of which says so in a line of its own.
WAYS = {"browse_pages.py", "fetch_pages.py"}
# What each prints, among other things.
SAYS = {
    "await_calls.py": "14,683 primes below 160,000\nthe primes below 1,000,000,000 were given up\n"
    "4 primes below 10\nthe loop went on meanwhile: True\n",
    "callbacks_to_loop.py": "apples: 3.00\npears: 4.00\nplums: 7.00\n",
    "blocked_loop.py": " in time.sleep at ",
    "browse_pages.py": " ms  Page 1\n",
    "fetch_pages.py": " ms  70420\n",
    "fetch_urls.py": "50 pages, 890,000 bytes, on 20 threads in ",
    "five_workers.py": "10 jobs done, 0 left; ",
    "four_processes.py": "Process-1: 2,762 primes below 25,000\nProcess-2: 5,133 primes below 50,000\n"
    "Process-3: 9,592 primes below 100,000\nProcess-4: 17,984 primes below 200,000\n",
    "gil_hog.py": " numbers parsed, and a heartbeat late by up to ",
    "many_connections.py": "1,000 answers add up to 332,833,500, at most 400 at once: True\nin ",
    "nested_awaits.py": "1,093 coroutines on 2 workers\n40 calls, one within the other\n",
    "primes.py": "17,984 primes below 200,000\n" * 4,
    "responsive.py": "in the loop: late by up to ",
    "race.py": "  with add: 2,000; with a lock: 2,000\nprocesses: expected 2,000, counted ",
    "shared_array.py": "10,000,000 numbers, 76 MiB, filled by 20 tasks in place\n"
    "the last one is 19,999,998, and they add up to 99,999,990,000,000\n",
    "square_roots.py": "square roots in ",
    "threads_in_processes.py": "200,000 words of 50 pages\nread in other processes: True; threads in each: ",
}


def named(names):
    """Those of these names."""
    return [path for path in EXAMPLES if path.name in names]


def needs(path):
    """Skips an example that needs a browser, where there is none."""
    if path.name == "browse_pages.py":
        for program in ("chromium", "chromedriver"):
            if shutil.which(program) is None:
                pytest.skip(f"there is no {program}: `apt-get install chromium chromium-driver`")


def test_all_examples_are_known_here():
    assert {path.name for path in EXAMPLES} == SAYS.keys() | OWN
    assert SMALL.keys() < SAYS.keys()


@pytest.mark.parametrize("path", named(SAYS), ids=lambda path: path.name)
def test_an_example_is_short_and_runs(path, tmp_path):
    assert len(path.read_text().splitlines()) <= 60
    needs(path)
    done = subprocess.run(
        [sys.executable, path, *SHORT.get(path.name, "").split()],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert SAYS[path.name] in done.stdout
    if path.name in WAYS:
        told = [line for line in done.stdout.splitlines(keepends=True) if line.endswith(SAYS[path.name])]
        assert len(told) == done.stdout.count("\n") - 1 >= 3


@pytest.mark.parametrize("path", named(SMALL), ids=lambda path: path.name)
def test_an_example_is_compared(path, tmp_path):
    function, items = SMALL[path.name]
    arguments = ["compare", f"{path}:{function}", "--items", items, "--rounds", "1", "--json", "figures.json"]
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


def test_the_lines_of_five_workers_are_whole(tmp_path):
    [path] = named({"five_workers.py"})
    done = subprocess.run([sys.executable, path], cwd=tmp_path, capture_output=True, text=True, timeout=90)
    *lines, _ = done.stdout.splitlines()
    whole = [re.fullmatch(r"(thread|process) [12]: (.*)|coroutine: (.*)", line) for line in lines]
    told = {match and (match[2] or match[3]) for match in whole}
    assert len(lines) == 10
    assert told == {f"the square of {job} is {job * job}" for job in range(10)}


def test_the_local_server_answers_until_ctrl_c():
    [path] = named({"local_server.py"})
    assert len(path.read_text().splitlines()) <= 60
    program = start_program(path)
    try:
        address = program.stdout.readline().strip()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{address}/7", timeout=30) as answer:
            assert b"<h1>Page 7</h1>" in answer.read()
    finally:
        program.send_signal(signal.SIGINT)
        ended = finish(program)
    assert ended.code == -signal.SIGINT and ended.err.endswith("KeyboardInterrupt\n")


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
