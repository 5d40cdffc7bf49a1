"""docs/what-happens-when.md, and pages like it, against the tests that they name and what is to be told."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "what-happens-when.md"

# A row of a table that names a test: what happens, what plait does, which test shows it.
ROW = re.compile(
    r"^\| (?P<event>.+?) \| (?P<answer>.+?) \| `(?P<file>\w+\.py)::(?P<test>\w+)` \|$", re.MULTILINE
)

# The events that plait promises an answer to, by the words of the page.
PROMISED = [
    "a worker is killed, crashes or calls `os._exit`",
    "a worker runs out of memory",
    "a worker grows beyond `memory_limit=`",
    "a call kills its worker again and again under `retries=`",
    "a call outlives its `timeout=`",
    "a future is cancelled while its call runs",
    "a result or an exception cannot be pickled or unpickled",
    "a function or an argument cannot be pickled",
    "Ctrl-C is pressed, at any moment",
    "the program is killed: SIGKILL, SIGTERM, SIGHUP, SIGQUIT",
    "`os.fork()` in the parent",
    "an endless or slow generator is mapped",
    "a call submits to its own pool",
    "a call makes a pool of its own",
    "a pool is garbage, with calls pending",
    "the program returns, raises or calls `sys.exit` with calls pending",
    "/dev/shm is small or missing",
    "`ulimit -n` is small",
    "a worker prints",
    "a worker logs",
    "a worker raises",
]


# Pages with such tables of their own subject.
PAGES = [PAGE, ROOT / "docs" / "queues.md"]


def rows(page=PAGE):
    return [match.groupdict() for match in ROW.finditer(page.read_text())]


def defined_in(file):
    """The names of the tests that a file defines."""
    return {
        node.name
        for node in ast.parse((ROOT / "tests" / file).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("row", [row for page in PAGES for row in rows(page)], ids=lambda row: row["event"])
def test_the_named_test_exists(row):
    assert (ROOT / "tests" / row["file"]).exists(), f"no file {row['file']}"
    assert row["test"] in defined_in(row["file"])


@pytest.mark.parametrize(("page", "tables"), list(zip(PAGES, [4, 1])))
def test_each_row_of_a_table_of_events_names_a_test(page, tables):
    lines = page.read_text().splitlines()
    heads = [at for at, line in enumerate(lines) if line == "| when … | plait | shown by |"]
    assert len(heads) >= tables
    counted = 0
    for head in heads:
        at = head + 2
        while at < len(lines) and lines[at].startswith("|"):
            assert ROW.match(lines[at]), f"a row without a test: {lines[at]}"
            counted += 1
            at += 1
    assert counted == len(rows(page))


@pytest.mark.parametrize("event", PROMISED)
def test_each_promise_has_its_row(event):
    assert event in [row["event"] for row in rows()]


def test_no_event_is_told_twice():
    events = [row["event"] for row in rows() if not row["event"].startswith("…")]
    assert len(events) == len(set(events))


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "mkdocs.yml"])
def test_the_page_can_be_found(page):
    named = re.findall(r"[\w/-]*what-happens-when\.md", (ROOT / page).read_text())
    assert named
    for name in named:
        assert (ROOT / "docs" / Path(name).name).exists()
        assert page != "README.md" or name == "docs/what-happens-when.md"
