"""docs/clusters.md against the tests that it names: each cell has one, which runs on that engine."""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "docs" / "clusters.md"

CELL = r"`(test_(?:cluster_\w+|dask\w*)\.py)::(\w+)`", r"`(test_(?:cluster_\w+|ray\w*)\.py)::(\w+)`"
ROW = re.compile(rf"^\| (.+?) \| (.+?) \| {CELL[0]} \| {CELL[1]} \|$", re.MULTILINE)

# What issue and docs promise, by the words of the page.
PROMISED = ["order", "exceptions", "`retries=`", "`timeout=`", "`progress=`", "`seed=`", "`checkpoint=`"]
PROMISED += ["context variables", "a call kills its worker"]
PROMISED += ["cancel, before the call", "cancel, while it runs"]


def rows():
    return ROW.findall(PAGE.read_text())


def defined_in(file):
    found = ast.parse((TESTS / file).read_text()).body
    return {node.name: node for node in found if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_cell_names_a_test(row):
    _, _, *named = row
    for file, test in zip(named[::2], named[1::2]):
        assert test in defined_in(file), f"no {test} in {file}"
    shared, arguments = named[0], {each.arg for each in defined_in(named[0])[named[1]].args.args}
    if named[:2] == named[2:] and shared != "test_cluster_parts.py":
        # It runs on a cluster of each.
        assert arguments & {"backend", "engine"}, named[1]


def test_each_promise_has_its_row():
    assert set(PROMISED) <= {row[0] for row in rows()}
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    assert len(rows()) == len([line for line in lines if not line.startswith("| what |")])
