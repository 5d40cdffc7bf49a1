"""Tasks of plait's pools on the lanes of a recording, and what each process is in a pool."""

import itertools
import json
import sys

import pytest

# Waits until it is recorded, then loads plait, as programs do that begin with other things.
PROGRAM = """
import sys, time

def resize(n):
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass

def fetch(n):
    time.sleep(0.3)

time.sleep(0.5)
import plait
with plait.ProcessPoolExecutor(2) as processes, plait.ThreadPoolExecutor(2) as threads:
    processes.submit(len, "ready").result()
    # So that all are met before the calls.
    time.sleep(0.5)
    calls = [pool.submit(call, n) for n in range(6) for pool, call in ((processes, resize), (threads, fetch))]
    for call in calls:
        call.result()
"""


@pytest.fixture
def recorded(tmp_path, cli, out):
    """The recording of the program as JSON."""
    (tmp_path / "program.py").write_text(PROGRAM)
    done = cli("record", "-o", "it.plait", "--", sys.executable, tmp_path / "program.py")
    assert done.code == 0, done
    cli("report", "it.plait", "-o", "it.plait.json").lines  # noqa: B018
    return json.loads((out / "it.plait.json").read_text())


def named(thing, name):
    """All that a nested document has under this name."""
    if isinstance(thing, dict):
        for key, value in thing.items():
            if key == name:
                yield value
            yield from named(value, name)
    elif isinstance(thing, list):
        for value in thing:
            yield from named(value, name)


def test_tasks_and_roles_are_on_the_lanes(recorded):
    lanes = [tasks for tasks in named(recorded, "tasks") if tasks]
    tasks = list(itertools.chain(*lanes))
    ids = {name: {task["id"] for task in tasks if task["name"] == name} for name in ("resize", "fetch")}
    assert all(len(found) == 6 for found in ids.values()), tasks
    # A lane is a thread of one pool, and runs one task at a time.
    for lane in lanes:
        kinds = {task["name"] for task in lane} & set(ids)
        assert len(kinds) <= 1, lane
        for before, after in itertools.pairwise(lane):
            assert before["from"] <= before["to"] <= after["from"], lane
    assert set(named(recorded, "role")) >= {"plait nursery", "plait worker 0", "plait worker 1"}
