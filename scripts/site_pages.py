"""What the build of the site puts into pages: a hook of MkDocs, whose Python need not have plait.

- Figures that `make docs` has measured, between the two marks of their page. What stands there in the tree is
  for those who read the page unbuilt, and stays where nothing was measured.
- What the examples printed in this build, and their sources, on the page that shows them.
- What each command of plait prints when asked for `--help`, by running it.
- CHANGELOG.md, which lies beside the docs, as a page.
"""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BUILT = ROOT / ".build"
# Which page has which figures, and who measures them.
FIGURES = {"sharing-data.md": "sharing-figures.md", "which-backend.md": "backend-figures.md"}
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
# Pages that need the room of their table of contents.
WIDE = {"coming-from.md", "examples.md", "how-it-works.md"}
TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr>.*?</tr>", re.DOTALL)
CELL = re.compile(r"<(t[hd])>(.*?)</\1>", re.DOTALL)
COMMANDS = "reference/command.md"
CASES = "examples.md"
PRINTED = "example-outputs.json"
# A command, and what it prints.
RUN = re.compile(r"^```bash\n(.+)\n```\n\n```text\n((?s:.*?))^```$", re.MULTILINE)
MACHINE = re.compile(r"(?<=<!-- machine -->).*?(?=<!-- end of machine -->)", re.DOTALL)
SOURCE = re.compile(r"^<!-- source of (\w+\.py) -->$", re.MULTILINE)
HELP = re.compile(r"^<!-- help of (plait[ a-z]*) -->$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")
NOT_ASKED = "Built by a Python without plait: `make docs` puts here what `{} --help` prints."


def on_files(files: Any, config: Any) -> Any:
    """Add the changelog to the pages."""
    from mkdocs.structure.files import File

    text = changelog((ROOT / "CHANGELOG.md").read_text())
    files.append(File.generated(config, "changelog.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Complete a page; MkDocs calls it with the text of each."""
    name = page.file.src_uri
    if name in WIDE:
        page.meta["hide"] = ["toc"]
    if name in FIGURES and (measured := BUILT / FIGURES[name]).exists():
        return with_figures(markdown, measured.read_text())
    if name == CASES:
        noted = BUILT / PRINTED
        return with_sources(with_outputs(markdown, json.loads(noted.read_text()) if noted.exists() else {}))
    if name == COMMANDS:
        return with_help(markdown, python_with_plait())
    return markdown


def on_page_content(html: str, **_: object) -> str:
    """Mark the columns of tables that name tests, so that a phone can leave them out."""
    return TABLE.sub(lambda table: proven(table[0]), html)


def proven(table: str) -> str:
    """Return a table, with a class for each cell below a heading that ends in "shown by"."""
    heads = [words for _, words in CELL.findall(ROW.findall(table)[0])]
    columns = {number for number, words in enumerate(heads) if words.endswith("shown by")}

    def marked(row: re.Match[str]) -> str:
        numbers = itertools.count()
        return CELL.sub(
            lambda cell: (
                f'<{cell[1]} class="proven">{cell[2]}</{cell[1]}>' if next(numbers) in columns else cell[0]
            ),
            row[0],
        )

    return ROW.sub(marked, table)


def with_figures(markdown: str, figures: str) -> str:
    """Return the page with the figures instead of what stands between the marks.

    Raises ValueError where a mark is missing: nobody would miss the figures.
    """
    before, begin, rest = markdown.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"a page has no place for its figures, from {BEGIN} to {END}")
    return f"{before}{figures}{after}"


def with_outputs(markdown: str, outputs: Mapping[str, str]) -> str:
    """Return the page with what its commands printed, as far as they were run, and on what machine."""

    def output(match: re.Match[str]) -> str:
        command, printed = match.groups()
        printed = outputs.get(command, printed.rstrip())
        return f"```bash\n{command}\n```\n\n```text\n{printed}\n```"

    page = RUN.sub(output, markdown)
    return MACHINE.sub(lambda match: outputs.get("machine", match[0]), page)


def with_sources(markdown: str) -> str:
    """Return the page with each example's text, to be unfolded."""

    def source(match: re.Match[str]) -> str:
        text = (ROOT / "examples" / match[1]).read_text()
        fold = f"<details markdown><summary>examples/{match[1]}</summary>"
        return f"{fold}\n\n```python\n{text}```\n\n</details>"

    return SOURCE.sub(source, markdown)


def with_help(markdown: str, python: str | None) -> str:
    """Return the page with each command's help in its place."""

    def asked(match: re.Match[str]) -> str:
        command = match[1]
        if python is None:
            return NOT_ASKED.format(command)
        return f"```text\n{help_of(python, command)}\n```"

    return HELP.sub(asked, markdown)


def help_of(python: str, command: str) -> str:
    """Return what a command prints when it is asked for help."""
    words = [python, "-m", *command.split(), "--help"]
    # A width that a desktop shows whole, and no colours.
    asked = {**environment(), "COLUMNS": "80", "NO_COLOR": "1"}
    return subprocess.run(words, env=asked, check=True, capture_output=True, text=True).stdout.strip()


def python_with_plait() -> str | None:
    """Return a Python that has plait: the one that is told, one that `make` has built, or this one."""
    for python in candidates():
        try:
            asked = [python, "-c", "import plait._core"]
            done = subprocess.run(asked, env=environment(), capture_output=True)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    return None


def candidates() -> Iterator[str]:
    """Yield the Pythons that may have it, the likeliest first."""
    if told := os.environ.get("PLAIT_PYTHON"):
        yield told
    yield from sorted(str(path) for path in BUILT.glob("venv-3.*/bin/python"))
    yield sys.executable


def environment() -> dict[str, str]:
    """Return the environment in which the plait of this tree is the one that is found."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "python")}


def changelog(text: str) -> str:
    """Return the changelog as a page: links into docs/ lead beside it, those to other files are words."""

    def link(match: re.Match[str]) -> str:
        words, place = match.groups()
        if place.startswith("docs/"):
            return f"[{words}]({place.removeprefix('docs/')})"
        return match[0] if place.startswith(("http://", "https://", "#")) else words

    return LINK.sub(link, text)
