"""Every snippet of README.md and the docs runs, as the reader would run it.

A ```python block is a script of its own, run by a fresh interpreter in an empty folder (with `examples/`
beside it); it must exit with 0, and where a ```text block follows at once, print exactly that. Of a
```console block each `$ plait …` and `$ python …` line is run and must exit with 0; its output holds
measured times, so it is not compared.
"""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# Languages of blocks that are text to read. `python` and `console` are run; any other word is a slip.
PROSE = {"text", "toml", "json", "bash"}
# Pages whose scripts need what not every environment of the tests has.
NEEDS = {"docs/dask.md": "distributed"}
# What a console block may show without its being run here: it builds or installs things.
SHOWN_ONLY = {"make", "git", "cd", "pip"}
FENCE = re.compile(r"^( *)```([^`\n]*)\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)


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
        end = match.end()
    return found


def commands_of(block: Block) -> list[list[str]]:
    """Return the commands of a console block that are to be run; one that is not known is a slip."""
    lines = [line[2:] for line in block.body.splitlines() if line.startswith("$ ")]
    commands = [shlex.split(line, comments=True) for line in lines]
    unknown = [command[0] for command in commands if command[0] not in {"plait", "python", *SHOWN_ONLY}]
    if unknown:
        raise ValueError(f"{block.place}: no rule to run {unknown[0]!r}")
    return [command for command in commands if command[0] in {"plait", "python"}]


BLOCKS = [block for page in PAGES for block in blocks_of(str(page.relative_to(ROOT)), page.read_text())]
SCRIPTS = [block for block in BLOCKS if block.info == "python"]
COMMANDS = [(block, command) for block in BLOCKS if block.info == "console" for command in commands_of(block)]


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


@pytest.mark.parametrize("block", SCRIPTS, ids=lambda block: block.place)
def test_script_runs(block: Block, tmp_path: Path) -> None:
    needed = NEEDS.get(block.place.rpartition(":")[0])
    if needed is not None:
        pytest.importorskip(needed, reason=f"{needed} is not installed; make test-cluster has it")
    script = tmp_path / "script.py"
    script.write_text(block.body)
    printed = run([sys.executable, script.name], tmp_path)
    if block.prints is not None:
        assert printed == block.prints


@pytest.mark.once
@pytest.mark.parametrize("block, command", COMMANDS, ids=lambda value: getattr(value, "place", None))
def test_command_runs(block: Block, command: list[str], tmp_path: Path) -> None:
    run(command, tmp_path)


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


def test_console_lines_are_told_apart() -> None:
    block = Block("p.md:1", "console", "$ make demo\n$ plait compare a.py  # why\nsome output\n")
    assert commands_of(block) == [["plait", "compare", "a.py"]]
    with pytest.raises(ValueError, match="no rule to run 'curl'"):
        commands_of(Block("p.md:1", "console", "$ curl x\n"))
