"""Notebooks in a real kernel: edited cells run their newest text, and examples/tour.ipynb runs as it is."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.once

SETUP = """
import plait
BACKEND = {backend!r}

def gather(function, items):
    executor_results = []
    with plait.Executor({backend!r}, 2) as executor:
        executor_results = [f.result() for f in [executor.submit(function, item) for item in items]]
    map_results = list(plait.map(function, items, backend={backend!r}, workers=2))
    assert map_results == executor_results, (map_results, executor_results)
    print(map_results)
"""

TOUR = Path(__file__).resolve().parent.parent / "examples" / "tour.ipynb"

CELLS = [
    ("def work(x):\n    return x + 1\ngather(work, range(4))", "[1, 2, 3, 4]"),
    # The cell is edited and run again.
    ("def work(x):\n    return x * 10\ngather(work, range(4))", "[0, 10, 20, 30]"),
    # A changed global that the function uses.
    ("FACTOR = 2\ndef scale(x):\n    return x * FACTOR\ngather(scale, range(3))", "[0, 2, 4]"),
    ("FACTOR = 5\ngather(scale, range(3))", "[0, 5, 10]"),
    # A helper that another function calls, changed alone.
    (
        "def helper(x):\n    return -x\ndef outer(x):\n    return helper(x)\ngather(outer, range(3))",
        "[0, -1, -2]",
    ),
    ("def helper(x):\n    return x + 100\ngather(outer, range(3))", "[100, 101, 102]"),
    # A closure, and a lambda.
    (
        "def make(n):\n    def inner(x):\n        return x + n + FACTOR\n    return inner\n"
        "gather(make(1), [1])",
        "[7]",
    ),
    ("gather(lambda x: x ** 2, range(4))", "[0, 1, 4, 9]"),
    # A class, its instances there and back.
    (
        "class Point:\n    def __init__(self, x):\n        self.x = x\n"
        "def move(p):\n    return Point(p.x + 1)\n"
        "moved = list(plait.map(move, [Point(1), Point(2)], backend='processes', workers=2))\n"
        "print([p.x for p in moved], all(type(p) is Point for p in moved))",
        "[2, 3] True",
    ),
    # Within the kernel's running event loop, both ways of waiting work.
    (
        "with plait.Executor('processes', 1) as e:\n"
        "    print(await e.submit(work, 7), e.submit(work, 8).result())",
        "70 80",
    ),
    # What a call prints is its future's; what the cell prints is the cell's, then and later.
    (
        "def say(x):\n    print('kept', x)\n"
        "with plait.Executor(BACKEND, None, capture_output=True) as e:\n"
        "    f = e.submit(say, 1)\n"
        "    print('shown', f.result(), f.stdout.strip())",
        "shown None kept 1",
    ),
    # A failure shows the cell's own line.
    (
        "import traceback\ndef bad(x):\n    raise ValueError('here')\n"
        "error = plait.Executor('processes', 1).submit(bad, 1).exception()\n"
        "print(\"raise ValueError('here')\" in ''.join(traceback.format_exception(error)) or 'no line')",
        "True",
    ),
    # And so do its frames, for `%debug` and the notebook's own view.
    (
        "import sys\n"
        "try:\n    plait.Executor('processes', 1).submit(bad, 1).result()\n"
        "except ValueError as error:\n"
        "    print(traceback.extract_tb(error.__traceback__)[-1].line)\n"
        "    view = get_ipython().InteractiveTB\n"
        "    text = view.stb2text(view.structured_traceback(*sys.exc_info()))\n"
        "    print('def' in text and 'here' in text and 'bad' in text)",
        "raise ValueError('here')\nTrue",
    ),
]


# Those of the client, and of what it stands on.
QUIET = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning"
)


def execute(notebook, folder):
    """Runs all cells of a notebook in a kernel of its own; fails with a cell that raises."""
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()


@QUIET
def test_cells_run_their_newest_text(backend, tmp_path):
    notebook = nbformat.v4.new_notebook()
    sources = [SETUP.format(backend=backend), *(source for source, _ in CELLS)]
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in sources]
    execute(notebook, tmp_path)
    shown = ["".join(out.get("text", "") for out in cell.outputs).strip() for cell in notebook.cells[1:]]
    assert shown == [expected for _, expected in CELLS]


@QUIET
def test_the_tour(tmp_path):
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    cells = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    # What it shows is that of the machine on which it is run.
    assert [cell.outputs for cell in cells.values()] == [[]] * len(cells)
    execute(notebook, tmp_path)
    assert list(tmp_path.iterdir()) == [], "it leaves no file"
    assert not [out for cell in cells.values() for out in cell.outputs if out.output_type == "error"]
    assert cells["define"].outputs == []
    *drawn, counts = cells["bar"].outputs
    bar = "".join(out.get("text", "") for out in drawn)
    assert "100%" in bar and "8/8" in bar
    assert counts.data["text/plain"].startswith("{20000: 2262,\n 40000: 4203,\n")
    [failed] = cells["failed"].outputs
    assert failed.data["text/plain"].startswith("[1, ValueError(") and failed.data["text/plain"].endswith(
        ", 3]"
    )
    [comparison] = [out for out in cells["table"].outputs if out.output_type == "execute_result"]
    page = comparison.data["text/html"]
    assert page.startswith("<iframe srcdoc=") and "count_primes" in page
    for backend in ("serial", "threads", "processes"):
        assert backend in page and backend in comparison.data["text/plain"]
    [choice] = [out for out in cells["choice"].outputs if out.output_type == "execute_result"]
    assert "<table" in choice.data["text/html"]
    assert (
        " held the GIL for " in cells["held"].outputs[0].text and " add_up" in cells["held"].outputs[0].text
    )
    assert cells["array"].outputs[0].text == "333,332,833,333,500,000\n"
    assert cells["gather"].outputs[0].text == "68945 primes in all\n"
