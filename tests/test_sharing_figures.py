"""The figures on the page "Sharing data": where they go, and that nothing is shown that was not measured.

`make docs` itself measures, in seconds, so that is not repeated here.
"""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "sharing_figures.py"


@pytest.fixture
def figures(tmp_path):
    """The script, with a place of its own for what it has measured."""
    spec = importlib.util.spec_from_file_location("sharing_figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.FIGURES = tmp_path / "figures.md"
    return module


def built(figures, name):
    """What becomes of a page of the docs when the site is built."""
    text = (ROOT / "docs" / name).read_text()
    return text, figures.on_page_markdown(text, page=SimpleNamespace(file=SimpleNamespace(src_uri=name)))


def test_figures_replace_what_stands_for_them(figures):
    figures.FIGURES.write_text("| a | table |\n")
    text, page = built(figures, "sharing-data.md")
    before, _, rest = text.partition(figures.BEGIN)
    between, _, after = rest.partition(figures.END)
    assert between.strip()
    assert page == f"{before}| a | table |\n{after}"


def test_other_pages_stay_as_they_are(figures):
    figures.FIGURES.write_text("| a | table |\n")
    text, page = built(figures, "index.md")
    assert page == text


def test_a_page_reads_as_in_the_tree_where_nothing_was_measured(figures):
    text, page = built(figures, "sharing-data.md")
    assert page == text


@pytest.mark.parametrize("text", ["no marks", "<!-- figures -->", "<!-- end of figures -->"])
def test_a_page_without_a_place_for_figures_is_not_built(figures, text):
    with pytest.raises(ValueError, match="no place for the figures"):
        figures.with_figures(text, "| a | table |\n")


def test_without_numpy_the_page_says_so(figures, monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setattr(sys, "argv", ["sharing_figures.py", str(figures.FIGURES)])
    monkeypatch.setattr(sys, "path", sys.path[:])
    figures.main()
    _, page = built(figures, "sharing-data.md")
    assert figures.NO_NUMPY in page


@pytest.mark.parametrize(
    "microseconds, text",
    [(0.5, "0.5 µs"), (41.26, "41.3 µs"), (999, "999 µs"), (15_432, "15.4 ms"), (2_000_000, "2 s")],
)
def test_times_have_a_unit_that_suits_them(figures, microseconds, text):
    assert figures.duration(microseconds) == text


def test_rates_are_told_of_large_arrays_alone(figures):
    assert figures.cell(62_500, 256 << 20) == "62.5 ms, 4.00 GiB/s"
    assert figures.cell(20, 80_000_000) == "20 µs"
