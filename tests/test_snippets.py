"""Every snippet of README.md and the docs runs, as the reader would run it.

A ```python block is a script of its own, run by a fresh interpreter in an empty folder (with `examples/`
beside it); it must exit with 0, and where a ```text block follows at once, print exactly that. Scripts that
stand side by side, in a `<div class="grid">`, all print what follows it. Of a ```console block each
`$ plait …` and `$ python …` line is run and must exit with 0; its output holds measured times, so it is not
compared.
"""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from platforms import IS_PORTABLE

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Languages of blocks that are text to read. `python` and `console` are run; any other word is a slip.
PROSE = {"text", "toml", "json", "bash"}
# Pages whose scripts need what not every environment of the tests has.
NEEDS = {"docs/dask.md": "distributed", "docs/ray.md": "ray"}
# The same of single scripts, wherever they stand: what they import.
RARE = re.compile(r"^(?:import|from) (ray|fastapi)\b", re.MULTILINE)
# What a console block may show without its being run here: it builds or installs things.
SHOWN_ONLY = {"make", "git", "cd", "pip"}
FENCE = re.compile(r"^( *)```([^`\n]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
GRID = re.compile(r'^<div class="grid" markdown>$(.*?)^</div>$\s*', re.MULTILINE | re.DOTALL)


@dataclasses.dataclass
class Block:
    """One fenced block: where it stands, what it says it is, what is in it, and what it is to print."""

    place: str
    info: str
    body: str
    prints: str | None = None


def blocks_of(name: str, text: str) -> list[Block]:
    """Return the fenced blocks of a page, each with the output that follows it, if one does."""
    found: list[Block] = []
    begins: list[int] = []
    end = 0
    for match in FENCE.finditer(text):
        indent, info, body = match.groups()
        if indent:
            body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        block = Block(f"{name}:{text.count(chr(10), 0, match.start()) + 1}", info.strip(), body)
        at_once = not text[end : match.start()].strip()
        if block.info == "text" and at_once and found and found[-1].info == "python":
            found[-1].prints = body
        found.append(block)
        begins.append(match.start())
        end = match.end()
    for grid in GRID.finditer(text):
        after = found[begins.index(grid.end())] if grid.end() in begins else None
        if after is None or after.info != "text":
            raise ValueError(f"{name}: nobody says what the scripts of a grid print")
        for begin, block in zip(begins, found):
            if grid.start() < begin < grid.end():
                block.prints = after.body
    return found


def commands_of(block: Block) -> list[list[str]]:
    """Return the commands of a console block that are to be run; one that is not known is a slip."""
    lines = [line[2:] for line in block.body.splitlines() if line.startswith("$ ")]
    commands = [shlex.split(line, comments=True) for line in lines]
    unknown = [command[0] for command in commands if command[0] not in {"plait", "python", *SHOWN_ONLY}]
    if unknown:
        raise ValueError(f"{block.place}: no rule to run {unknown[0]!r}")
    return [command for command in commands if command[0] in {"plait", "python"}]


def example_of(command: tuple[str, ...]) -> str | None:
    """Return the example that a command names first, if it does."""
    return command[1] if len(command) > 1 and command[1].startswith("examples/") else None


def cheaper(command: tuple[str, ...]) -> list[str]:
    """Return what makes a command cheap whose figures nobody reads here: a comparison has one round."""
    return ["--rounds", "1"] if command[:2] == ("plait", "compare") and "--rounds" not in command else []


BLOCKS = [block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text())]
SCRIPTS = [block for block in BLOCKS if block.info == "python"]
# Each command once, however many pages show it.
SHOWN = {
    tuple(command): block for block in BLOCKS if block.info == "console" for command in commands_of(block)
}
# An example as it stands is run, and its words are read, by tests/test_examples.py.
EXAMPLES = {command for command in SHOWN if command[0] == "python" and command[1:] == (example_of(command),)}
COMMANDS = {command: block for command, block in SHOWN.items() if command not in EXAMPLES}


def run(command: list[str], folder: Path) -> str:
    """Run a command in a folder as a user would, and return what it printed."""
    (folder / "examples").symlink_to(ROOT / "examples")
    # `plait` and `python` are those of the environment the tests run in.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    ended = f"{shlex.join(command)}: exit code {done.returncode}"
    assert done.returncode == 0, f"{ended}\n{done.stdout}{done.stderr}"
    return done.stdout


def need_of(block: Block) -> str | None:
    """Return the package that a script is left out without, if there is one."""
    rare = RARE.search(block.body)
    return rare[1] if rare else NEEDS.get(block.place.rpartition(":")[0])


# So that `-k ray` has all that need Ray, wherever they stand.
@pytest.mark.parametrize(
    "block", SCRIPTS, ids=lambda block: "-".join(filter(None, [block.place, need_of(block)]))
)
def test_script_runs(block: Block, tmp_path: Path) -> None:
    needed = need_of(block)
    if needed is not None:
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    if IS_PORTABLE and "WorkerDied" in block.body and "qsize" in block.body:
        pytest.skip("who has died is known some milliseconds later, and what it had taken comes back then")
    script = tmp_path / "script.py"
    script.write_text(block.body)
    printed = run([sys.executable, script.name], tmp_path)
    if block.prints is not None:
        assert printed == block.prints


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: COMMANDS[command].place)
def test_command_runs(command: tuple[str, ...], tmp_path: Path) -> None:
    run([*command, *cheaper(command)], tmp_path)


def test_the_examples_that_are_shown_are_tested() -> None:
    from test_examples import SAYS

    assert {command[1].removeprefix("examples/") for command in EXAMPLES} <= SAYS.keys()
    assert ("python", "examples/await_calls.py") in EXAMPLES


def test_every_block_says_what_it_is() -> None:
    known = {"python", "console", *PROSE}
    odd = [f"{block.place}: {block.info!r}" for block in BLOCKS if block.info not in known]
    assert not odd, "blocks that would not be run"


def test_the_pages_are_found() -> None:
    assert {"README.md", "docs/index.md"} <= {block.place.rpartition(":")[0] for block in BLOCKS}


def test_blocks_are_read_as_they_stand() -> None:
    page = "a\n```python\nprint(1)\n```\n\n```text\n1\n```\n"
    page += "- b\n  ```python no-run\n  if x:\n      y\n  ```\n"
    first, output, second = blocks_of("p.md", page)
    assert (first.place, first.body, first.prints) == ("p.md:2", "print(1)\n", "1\n")
    assert output.info == "text"
    assert (second.info, second.body, second.prints) == ("python no-run", "if x:\n    y\n", None)


def test_scripts_of_a_grid_print_the_same() -> None:
    one = "\n```python\nprint(1)\n```\n"
    grid = f'<div class="grid" markdown>\n{one}{one}\n</div>\n'
    *scripts, _ = blocks_of("p.md", f"{grid}\n```text\n1\n```\n{one}")[:3]
    assert [script.prints for script in scripts] == ["1\n", "1\n"]
    with pytest.raises(ValueError, match="nobody says"):
        blocks_of("p.md", f"{grid}\nwords\n\n```text\n1\n```\n")


def test_console_lines_are_told_apart() -> None:
    block = Block("p.md:1", "console", "$ make demo\n$ plait compare a.py  # why\nsome output\n")
    assert commands_of(block) == [["plait", "compare", "a.py"]]
    with pytest.raises(ValueError, match="no rule to run 'curl'"):
        commands_of(Block("p.md:1", "console", "$ curl x\n"))
