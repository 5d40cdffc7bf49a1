"""Clusters as rows of a comparison."""

import json
import os

import plait
import pytest
from clusters import PATHS, RAY, needs
from outside import run_program

pytestmark = pytest.mark.once

FILE = """
def triple(number):
    return 3 * number
ITEMS = range(40)
"""


@pytest.fixture(params=["dask", "ray"])
def engine(request):
    needs(request.param)
    return request.param


def test_a_cluster_has_a_row(engine, tmp_path):
    (tmp_path / "triple.py").write_text(FILE)
    # Ray's sockets have no room in the folder of a test.
    env = {**RAY, "PYTHONPATH": os.pathsep.join(PATHS), "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    command = ["-m", "plait", "compare", tmp_path / "triple.py", "--workers", "1", "--rounds", "1"]
    command += ["--backends", f"threads,{engine}", "--json", tmp_path / "figures.json"]
    ended = run_program(*command, env=env, patience=90)
    assert ended.code == 0, ended
    rows = {row["backend"]: row for row in json.loads((tmp_path / "figures.json").read_text())["rows"]}
    assert list(rows) == ["serial", "threads", engine] and engine in ended.out
    row = rows[engine]
    assert (row["error"], row["failed_calls"], row["workers"], row["peer"]) == (None, 0, 1, False)
    assert row["seconds"] > 0 and row["startup_seconds"] > row["seconds"] and row["call_seconds"] is not None


def test_other_names_are_refused():
    told = "backend '{}' cannot be compared; there are 'serial', 'threads', 'processes', "
    told += "'interpreters', 'dask', 'ray', clus"
    for name in ("auto", "dask://h:1", "spark"):
        with pytest.raises(ValueError, match=told.format(name)):
            plait.compare(abs, [1], backends=["threads", name])
    rows = plait.compare(abs, [1], workers=1, rounds=1, backends=["threads"]).rows
    assert [row.backend for row in rows] == ["serial", "threads"]


def test_a_package_that_is_missing_is_named():
    script = (
        "import sys, plait; sys.modules['ray'] = None\n"
        "try: plait.compare(abs, [1], backends=['ray'])\n"
        "except ImportError as error: print(error)\n"
    )
    assert "pip install 'plait[ray]'" in run_program("-c", script, env={"PYTHONPATH": PATHS[1]}).lines[0]
