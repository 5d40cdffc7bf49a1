"""plait is a typed package: type checkers find nothing wrong with a program but its mistakes, and the stubs
say what is there.

The checkers are those of the tools' environment, `requirements/tools.txt`; without it they are not run.
"""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from plait import _core

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".build" / "venv-tools" / "bin"
PROGRAMS = ROOT / "tests" / "typing"
PACKAGE = ROOT / "python" / "plait"
MISTAKES = PROGRAMS / "mistakes.py"


def tool(name):
    path = TOOLS / name
    if not path.exists():
        pytest.skip(f"{name} is not in the tools' environment: make .build/venv-tools/made")
    return str(path)


def run(command, folder, **env):
    env = {**os.environ, "NO_COLOR": "1", **env}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=280)
    return done.stdout + done.stderr


def mypy(folder, *options):
    """Runs `mypy --strict` with the modules of this Python; what is wrong, by file and line."""
    config = folder / "mypy.ini"
    # What is in plait itself is not the user's business.
    config.write_text(f"[mypy]\nmypy_path = {PACKAGE.parent}\n[mypy-plait.*]\nfollow_imports = silent\n")
    command = [tool("mypy"), "--strict", "--config-file", config, "--python-executable", sys.executable]
    return run([*map(str, command), "--cache-dir", str(folder / "cache"), *map(str, options)], folder)


def pyright(folder, *files):
    """Runs pyright at its strictest; what is wrong, as its report has it."""
    config = {
        "include": [str(file) for file in files],
        "extraPaths": [str(PACKAGE.parent)],
        "typeCheckingMode": "strict",
        "pythonVersion": "{}.{}".format(*sys.version_info),
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    said = run(
        [tool("basedpyright"), "-p", str(folder), "--pythonpath", sys.executable, "--outputjson"], folder
    )
    return json.loads(said)["generalDiagnostics"]


def marked():
    lines = MISTAKES.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if "# wrong:" in line}


CORRECT = sorted(set(PROGRAMS.glob("*.py")) - {MISTAKES})


@pytest.fixture(autouse=True)
def with_numpy():
    pytest.importorskip("numpy")


@pytest.mark.timeout(300)
def test_mypy_finds_nothing_wrong_with_a_users_program(tmp_path):
    assert "Success: no issues found" in mypy(tmp_path, *CORRECT)


@pytest.mark.timeout(300)
def test_mypy_finds_mistakes(tmp_path):
    said = mypy(tmp_path, MISTAKES)
    assert {int(number) for number in re.findall(r"mistakes\.py:(\d+): error", said)} == marked(), said


@pytest.mark.timeout(300)
def test_pyright_finds_nothing_wrong_with_a_users_program(tmp_path):
    assert pyright(tmp_path, *CORRECT) == []


@pytest.mark.timeout(300)
def test_pyright_finds_mistakes(tmp_path):
    found = pyright(tmp_path, MISTAKES)
    assert {
        each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"
    } == marked(), found


@pytest.mark.timeout(300)
def test_mypy_finds_nothing_wrong_with_plait(tmp_path):
    """Where a type is wrong in plait, it is wrong in each program."""
    options = ["--python-executable", sys.executable, "--cache-dir", str(tmp_path / "cache")]
    said = run([tool("mypy"), "--config-file", str(ROOT / "pyproject.toml"), *options], ROOT)
    assert "Success: no issues found" in said, said


def test_the_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").exists()


# --- the stubs


@pytest.mark.timeout(300)
def test_stubs_say_what_is_there(tmp_path):
    """By mypy's own comparison of stubs with what they stand for."""
    stubtest = tool("stubtest")
    tag = run(
        [str(TOOLS / "python"), "-c", "import sys; print('cpython-%d%d-' % sys.version_info[:2])"], tmp_path
    )
    if not list(PACKAGE.glob(f"_core.{tag.strip()}*.so")):
        pytest.skip("the tools' Python has no plait")
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nmypy_path = {PACKAGE.parent}\n")
    # Python has no name for what offers a buffer before 3.12; a constant that only this file needs.
    (tmp_path / "known").write_text(
        "plait._core.Buffer.__buffer__\nplait._core.Array.__buffer__\nplait._shared.TYPE_CHECKING\n"
    )
    options = [
        "--concise",
        "--mypy-config-file",
        "mypy.ini",
        "--allowlist",
        "known",
        "--ignore-unused-allowlist",
    ]
    stubs = [f"plait.{stub.stem}" for stub in PACKAGE.glob("*.pyi")]
    assert len(stubs) == 2
    command = [str(TOOLS / "python"), "-m", "mypy.stubtest", *options, *stubs]
    assert stubtest and run(command, tmp_path, PYTHONPATH=str(PACKAGE.parent)) == ""


@pytest.mark.parametrize("module, stub", [(_core.codec, "_Codec"), (_core.function, "_Function")])
def test_stubs_say_what_modules_within_have(module, stub):
    """Which are classes in the stub; mypy does not look into them."""
    tree = ast.parse((PACKAGE / "_core.pyi").read_text())
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == stub]
    said = {node.name: node for node in body if isinstance(node, ast.FunctionDef)}
    there = {name: thing for name, thing in vars(module).items() if inspect.isbuiltin(thing)}
    assert said.keys() == there.keys()
    for name, node in said.items():
        args = node.args.args
        optional = [arg.arg for arg in args[len(args) - len(node.args.defaults) :]]
        parameters = inspect.signature(there[name]).parameters.values()
        assert [arg.arg for arg in args] == [each.name for each in parameters]
        assert optional == [each.name for each in parameters if each.default is not each.empty]
