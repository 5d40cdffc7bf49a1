"""What the build of the site puts into pages, and that the reference has every name.

The build itself, which checks all links, is `make docs`.
"""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from urllib.parse import urlsplit

import plait
import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

pytestmark = pytest.mark.once


def loaded(name):
    """A script of the build as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Data classes look for their module here.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path):
    """The hook, with a place of its own for what was measured."""
    module = loaded("site_pages")
    module.BUILT = tmp_path
    return module


def built(site, name):
    """A page in the tree, and what becomes of it when the site is built."""
    text = (DOCS / name).read_text()
    page = SimpleNamespace(file=SimpleNamespace(src_uri=name), meta={})
    return text, site.on_page_markdown(text, page=page)


# --- figures

FIGURES = {"sharing-data.md": "sharing-figures.md", "which-backend.md": "backend-figures.md"}


@pytest.mark.parametrize("name, measured", FIGURES.items())
def test_figures_replace_what_stands_for_them(site, name, measured):
    (site.BUILT / measured).write_text("| a | table |\n")
    text, page = built(site, name)
    before, _, rest = text.partition(site.BEGIN)
    between, _, after = rest.partition(site.END)
    assert between.strip()
    assert page == f"{before}| a | table |\n{after}"


def test_every_page_with_figures_is_known(site):
    having = {path.name for path in DOCS.glob("*.md") if site.BEGIN in path.read_text()}
    assert having == site.FIGURES.keys() == FIGURES.keys()


def test_other_pages_stay_as_they_are(site):
    for measured in FIGURES.values():
        (site.BUILT / measured).write_text("| a | table |\n")
    text, page = built(site, "index.md")
    assert page == text


@pytest.mark.parametrize("name", FIGURES)
def test_a_page_reads_as_in_the_tree_where_nothing_was_measured(site, name):
    text, page = built(site, name)
    assert page == text


@pytest.mark.parametrize("text", ["no marks", "<!-- figures -->", "<!-- end of figures -->"])
def test_a_page_without_a_place_for_figures_is_not_built(site, text):
    with pytest.raises(ValueError, match="no place for its figures"):
        site.with_figures(text, "| a | table |\n")


def test_a_line_of_the_backend_figures():
    figures = loaded("backend_figures")
    case = figures.Case("waits", abs, range(2000), 2)
    rows = [
        {"backend": "serial", "seconds": 1.0049, "speedup": 1.0, "gil_wait": 0.0},
        {"backend": "threads", "seconds": 0.10249, "speedup": 9.81, "gil_wait": 0.114},
        {"backend": "processes", "seconds": 0.2, "speedup": 5.0, "gil_wait": None},
    ]
    said = figures.line(case, {"rows": rows})
    assert said == "| waits: 2,000 calls, 2 at a time | 1 s | **102 ms, 9.8x** | 200 ms, 5x | 11 % |"
    rows[1]["gil_wait"] = None
    assert figures.line(case, {"rows": rows}).endswith("| \u2013 |")


TABLE = """\
<table>
<thead>
<tr>
<th>when</th>
<th>Ray: shown by</th>
</tr>
</thead>
<tr>
<td>a</td>
<td><code>b</code></td>
</tr>
</table>"""


def test_columns_that_name_tests_are_marked(site):
    other = TABLE.replace("Ray: shown by", "what")
    marked = TABLE.replace("<th>Ray", '<th class="proven">Ray').replace(
        "<td><code", '<td class="proven"><code'
    )
    assert site.on_page_content(f"<p>{TABLE}<p>{other}", page=None) == f"<p>{marked}<p>{other}"


# --- examples


def test_the_page_of_examples_has_each_of_them(site):
    text = (DOCS / site.CASES).read_text()
    names = {path.name for path in (ROOT / "examples").glob("*.py")}
    # Those of more than 60 lines are led through elsewhere.
    short = names - {"service.py", "window.py"}
    assert set(site.SOURCE.findall(text)) == short
    runs = site.RUN.findall(text)
    assert {Path(command.split()[-1]).name for command, _ in runs} == short - {"local_server.py"}
    assert all(printed.strip() for _, printed in runs)
    # Each is in the table, with its place on the page.
    assert set(re.findall(r": \[`(\w+\.py)`\]\(#[a-z-]+\) \|$", text, re.MULTILINE)) == short - {
        "local_server.py"
    }


def test_the_page_of_examples_shows_what_they_print(site):
    (site.BUILT / site.PRINTED).write_text('{"python examples/race.py": "a\\\\1\\nb", "machine": "mine"}')
    text, page = built(site, site.CASES)
    assert "```bash\npython examples/race.py\n```\n\n```text\na\\1\nb\n```\n" in page
    assert "<!-- machine -->mine<!-- end of machine -->" in page
    assert "<!-- source of" not in page
    source = (ROOT / "examples" / "race.py").read_text()
    assert f"<summary>examples/race.py</summary>\n\n```python\n{source}```\n\n</details>" in page
    # All else stays.
    kept = [run for run in site.RUN.findall(text) if "race" not in run[0]]
    assert kept == [run for run in site.RUN.findall(page) if "race" not in run[0]]


# --- the command


def test_every_command_is_asked_for_its_help(site):
    asked = set(site.HELP.findall((DOCS / site.COMMANDS).read_text()))
    commands = re.findall(r"^    (\w+) ", site.help_of(sys.executable, "plait"), re.MULTILINE)
    assert len(commands) > 5
    assert asked == {"plait", *(f"plait {command}" for command in commands)}


def test_the_page_of_the_command_has_what_it_prints(site, monkeypatch):
    monkeypatch.setenv("PLAIT_PYTHON", sys.executable)
    _, page = built(site, site.COMMANDS)
    assert "<!-- help" not in page
    assert "\n```text\nusage: plait compare [-h]" in page
    assert "\n  --report[=FILE] say at the end which pools were served" in page


def test_without_plait_the_page_says_so(site):
    page = site.with_help("a\n<!-- help of plait run -->\nb\n", None)
    assert page == f"a\n{site.NOT_ASKED.format('plait run')}\nb\n"


# --- the changelog


def test_links_of_the_changelog_hold_in_the_site(site):
    text = "[a](docs/pool.md#x), [b](ARCHITECTURE.md), [c](https://e.org/), [d](examples/primes.py)"
    assert site.changelog(text) == "[a](pool.md#x), b, [c](https://e.org/), d"


# --- the reference


def test_the_reference_has_every_public_name_once():
    pages = sorted((DOCS / "reference").glob("*.md"))
    text = "".join(page.read_text() for page in pages)
    named = re.findall(r"^::: plait\.(\w+)$", text, re.MULTILINE)
    assert sorted(named) == sorted(plait.__all__)


def test_the_reference_reads_of_worker_died_what_python_says():
    # The class is made at run time; what is read stands apart.
    tree = ast.parse((ROOT / "python" / "plait" / "_errors.py").read_text())
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    said = [ast.get_docstring(node) for node in classes if node.name == "WorkerDied"]
    assert said == [plait.WorkerDied.__doc__] * 2


def test_the_reference_has_the_words_of_the_compiled_part(monkeypatch):
    griffe = ModuleType("griffe")
    griffe.Extension = griffe.Module = object
    griffe.Docstring = lambda words, parent: words
    monkeypatch.setitem(sys.modules, "griffe", griffe)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("PLAIT_PYTHON", sys.executable)

    class Package(dict):
        path = "plait"

    silent = SimpleNamespace(is_alias=False, docstring=None)
    told = SimpleNamespace(is_alias=False, docstring="told in the stub")
    compiled = loaded("compiled_docs")
    package = Package(_core={"FutureBase.cancel": silent, "FutureBase.done": told})
    compiled.CompiledDocs().on_package(pkg=package, loader=None)
    assert silent.docstring.startswith("Cancel the call.")
    assert told.docstring == "told in the stub"
    words = compiled.said(sys.executable)
    assert words["cpu_count"] == plait.cpu_count.__doc__
    assert not [path for path in words if path.startswith("_") or "._" in path]


@pytest.mark.parametrize("name", plait.__all__)
def test_what_the_reference_shows_says_what_it_is(name):
    assert (getattr(plait, name).__doc__ or "").strip()


# --- links

LINKS = re.compile(r"\]\(((?:https?:)?//[^)\s]*)")
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_to_elsewhere_are_well_formed(path):
    """Whether anybody answers there is not asked; links within are checked by the build."""
    for link in LINKS.findall(path.read_text()):
        place = urlsplit(link)
        assert place.scheme == "https" and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", place.netloc), link


# --- drawings


def test_the_drawings_are_what_the_script_draws(tmp_path, monkeypatch):
    diagrams = loaded("diagrams")
    monkeypatch.setattr(sys, "argv", ["diagrams.py", str(tmp_path)])
    diagrams.main()
    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_text() for path in (DOCS / "images").glob("way-of-*.svg")}
    assert drawn == kept, "run scripts/diagrams.py docs/images"
    page = (DOCS / "how-it-works.md").read_text()
    assert all(f"](images/{name})" in page for name in drawn)


def test_words_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="too wide for its box"):
        loaded("diagrams").Drawing("a", 10).box("mine", 0, 0, 40, 20, "wider than that")
