"""The figures on the page "Sharing data": that nothing is shown that was not measured.

`make docs` itself measures, in seconds, so that is not repeated here; tests/test_site.py has where they go.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "sharing_figures.py"


@pytest.fixture
def figures():
    """The script."""
    spec = importlib.util.spec_from_file_location("sharing_figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_numpy_the_page_says_so(figures, tmp_path, monkeypatch):
    out = tmp_path / "figures.md"
    monkeypatch.setitem(sys.modules, "numpy", None)
    monkeypatch.setattr(sys, "argv", ["sharing_figures.py", str(out)])
    monkeypatch.setattr(sys, "path", sys.path[:])
    figures.main()
    assert out.read_text() == figures.NO_NUMPY


@pytest.mark.parametrize(
    "microseconds, text",
    [(0.5, "0.5 µs"), (41.26, "41.3 µs"), (999, "999 µs"), (15_432, "15.4 ms"), (2_000_000, "2 s")],
)
def test_times_have_a_unit_that_suits_them(figures, microseconds, text):
    assert figures.duration(microseconds) == text


def test_rates_are_told_of_large_arrays_alone(figures):
    assert figures.cell(62_500, 256 << 20) == "62.5 ms, 4.00 GiB/s"
    assert figures.cell(20, 80_000_000) == "20 µs"
