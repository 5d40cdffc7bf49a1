"""Main scripts as users start them: their body runs once, and what they define reaches the workers."""

import pytest
from outside import run_program

HEAD = """
import os, sys, time
with open(os.environ["BODY_LOG"], "a") as file:
    file.write(f"{__name__}\\n")
"""

TASKS = """
import plait

OFFSET = 100

def square(x):
    return x * x + OFFSET

class Point:
    def __init__(self, x):
        self.x = x

    def moved(self, by):
        return Point(self.x + by)

def shifted(point):
    assert isinstance(point, Point), type(point)
    return Point(point.x * 2)

class Wrong(Exception):
    pass

def go_wrong():
    raise Wrong("gone")

def run():
    with plait.Executor(BACKEND, 2) as executor:
        futures = [executor.submit(square, n) for n in range(10)]
        print([future.result() for future in futures])
        point = executor.submit(shifted, Point(4)).result()
        print(type(point) is Point, point.x)
        print(type(executor.submit(point.moved, 1).result()) is Point)
        error = executor.submit(go_wrong).exception()
        print(type(error) is Wrong, error)
    print(list(plait.map(lambda n: square(n) + 1, range(3), backend=BACKEND, workers=2)))
    print(sys.argv[1:])
"""

EXPECTED = [
    str([n * n + 100 for n in range(10)]),
    "True 8",
    "True",
    "True gone",
    "[101, 102, 105]",
    "['one', '--two']",
]

UNGUARDED = HEAD + TASKS + "run()\n"
GUARDED = HEAD + TASKS + "if __name__ == '__main__':\n    run()\n"


class Runner:
    """Runs scripts that note each run of their body."""

    def __init__(self, folder, backend):
        self.folder = folder
        self.backend = backend
        self.log = folder / "body.log"

    def __call__(self, *args, **options):
        return run_program(*args, env={"BODY_LOG": str(self.log)}, cwd=self.folder, **options)

    def text(self, script):
        return script.replace("BACKEND", repr(self.backend))

    def file(self, script, name="main.py"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text(script))
        return path

    def bodies(self):
        return self.log.read_text().split()


@pytest.fixture
def script(tmp_path, backend):
    return Runner(tmp_path, backend)


@pytest.mark.parametrize("text", [UNGUARDED, GUARDED], ids=["unguarded", "guarded"])
def test_a_file(script, text):
    ended = script(script.file(text), "one", "--two")
    assert ended.lines == EXPECTED
    assert script.bodies() == ["__main__"]


@pytest.mark.parametrize("text", [UNGUARDED, GUARDED], ids=["unguarded", "guarded"])
def test_a_file_named_relative_to_the_working_directory(script, text):
    script.file(text, "deep/er/main.py")
    assert script("deep/er/main.py", "one", "--two").lines == EXPECTED
    assert script.bodies() == ["__main__"]


def test_standard_input(script):
    ended = script("-", "one", "--two", stdin=script.text(UNGUARDED))
    assert ended.lines == EXPECTED
    assert script.bodies() == ["__main__"]


def test_a_command(script):
    ended = script("-c", script.text(UNGUARDED), "one", "--two")
    assert ended.lines == EXPECTED
    assert script.bodies() == ["__main__"]


@pytest.mark.parametrize("text", [UNGUARDED, GUARDED], ids=["unguarded", "guarded"])
def test_a_module_of_a_package(script, text):
    script.file("", "package/__init__.py")
    script.file("from .deeper import FACTOR\n", "package/numbers.py")
    script.file("FACTOR = 100\n", "package/deeper.py")
    script.file(text.replace("OFFSET = 100", "from .numbers import FACTOR as OFFSET"), "package/program.py")
    ended = script("-m", "package.program", "one", "--two")
    assert ended.lines == EXPECTED
    assert script.bodies() == ["__main__"]


def test_a_package_with_a_main_module(script):
    script.file("", "package/__init__.py")
    script.file(UNGUARDED, "package/__main__.py")
    assert script("-m", "package", "one", "--two").lines == EXPECTED
    assert script.bodies() == ["__main__"]


def test_a_folder_and_a_zip_with_a_main_module(script):
    import zipfile

    script.file(UNGUARDED, "app/__main__.py")
    assert script("app", "one", "--two").lines == EXPECTED
    with zipfile.ZipFile(script.folder / "app.pyz", "w") as archive:
        archive.write(script.folder / "app" / "__main__.py", "__main__.py")
    assert script("app.pyz", "one", "--two").lines == EXPECTED
    assert script.bodies() == ["__main__"] * 2


def test_interpreter_options_reach_the_workers(script):
    text = """
import sys, plait
with plait.Executor(BACKEND, 1) as executor:
    options = executor.submit(lambda: (sys.flags.optimize, sys.flags.utf8_mode, sys.dont_write_bytecode))
    print(options.result())
"""
    assert script("-O", "-B", "-X", "utf8", script.file(text)).lines == ["(1, 1, True)"]


def test_isolated_mode(script):
    text = """
import sys, plait
with plait.Executor(BACKEND, 1) as executor:
    print(executor.submit(lambda: sys.flags.isolated).result())
"""
    assert script("-I", script.file(text)).lines == ["1"]


def test_helpers_beside_the_script_are_found(script):
    script.file("def double(x):\n    return 2 * x\n", "sub/beside.py")
    text = (
        "import plait, beside\nprint(list(plait.map(beside.double, range(4), backend=BACKEND, workers=2)))\n"
    )
    script.file(text, "sub/main.py")
    assert script("sub/main.py").lines == ["[0, 2, 4, 6]"]


def test_functions_defined_again_between_submits(script):
    text = """
import plait

with plait.Executor(BACKEND, 1) as executor:
    def work():
        return "first"
    print(executor.submit(work).result())

    def work():
        return "second"
    print(executor.submit(work).result())

    def helper():
        return "old helper"
    def outer():
        return helper()
    print(executor.submit(outer).result())
    def helper():
        return "new helper"
    print(executor.submit(outer).result())

    FACTOR = 2
    def scaled(x):
        return x * FACTOR
    print(list(executor.map(scaled, [1, 2])))
    FACTOR = 3
    print(list(executor.map(scaled, [1, 2])))

    def defaulted(x=1):
        return x
    print(executor.submit(defaulted).result())
    defaulted.__defaults__ = (2,)
    print(executor.submit(defaulted).result())

    class Thing:
        def name(self):
            return "old"
    print(executor.submit(lambda: Thing().name()).result())
    class Thing:
        def name(self):
            return "new"
    print(executor.submit(lambda: Thing().name()).result())
"""
    assert script(script.file(text)).lines == [
        "first", "second", "old helper", "new helper", "[2, 4]", "[3, 6]", "1", "2", "old", "new",
    ]  # fmt: skip


def test_a_script_that_changes_its_directory_and_path(script):
    text = """
import os, sys, plait
os.mkdir("elsewhere")
with open("elsewhere/found_there.py", "w") as file:
    file.write("def triple(x):\\n    return 3 * x\\n")
os.chdir("elsewhere")
sys.path.insert(0, os.getcwd())
import found_there
with plait.Executor(BACKEND, 1) as executor:
    print(executor.submit(os.path.basename, executor.submit(os.getcwd).result()).result())
    print(executor.submit(found_there.triple, 3).result())
"""
    assert script(script.file(text)).lines == ["elsewhere", "9"]


def test_an_error_that_nobody_catches_ends_the_program_with_its_traceback(script):
    text = """
import plait
def work(x):
    raise ValueError("uncaught")
with plait.Executor(BACKEND, 1) as executor:
    executor.submit(work, 1).result()
"""
    ended = script(script.file(text))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("ValueError: uncaught\n")
    assert 'raise ValueError("uncaught")' in ended.err


def test_a_program_in_the_midst_of_a_map_ends(script):
    text = """
import itertools, plait
results = plait.map(abs, itertools.count(), backend=BACKEND, workers=2)
print(next(results), next(results))
"""
    assert script(script.file(text)).lines == ["0 1"]


def test_exit_within_a_running_pool(script):
    text = """
import sys, plait
executor = plait.Executor(BACKEND, 2)
futures = [executor.submit(abs, -n) for n in range(100)]
sys.exit(3)
"""
    ended = script(script.file(text))
    assert (ended.code, ended.out, ended.err) == (3, "", "")
