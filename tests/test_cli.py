"""The command `plait` as a user runs it: real processes, what they print where, and their exit codes."""

import importlib.metadata
import json
import re
import subprocess
import sys
import textwrap
from xml.etree import ElementTree

import plait
import pytest

pytestmark = pytest.mark.once
COMMAND = [sys.executable, "-m", "plait"]
GOOD = """
    ITEMS = [1_000] * 3

    def busy(n):
        return sum(i * i for i in range(n))
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="work.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def plait_cli(tmp_path):
    """Runs the command in an empty folder, to its end."""

    def run(*arguments, **options):
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=90,
            **options,
        )

    return run


def quick(*arguments):
    return ["compare", *arguments, "--workers", "2", "--rounds", "1"]


def refusal(done, code):
    """What a refused command said: one line, on standard error alone."""
    assert done.returncode == code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("plait: ")
    return lines[0]


# --- what works


def test_table_verdict_code_and_files(write, plait_cli, tmp_path):
    write(GOOD)
    done = plait_cli(*quick("work.py", "--html", "out.html", "--svg", "out.svg", "--json", "out.json"))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((tmp_path / "out.json").read_text())
    assert [row["backend"] for row in document["rows"]] == ["serial", "threads", "processes"]
    assert document["function"] == "work.py:busy"
    assert document["items"] == 3
    page = (tmp_path / "out.html").read_text()
    for row in document["rows"]:
        assert re.search(rf"^\W*{row['backend']} +{row['workers']} ", done.stdout, re.MULTILINE)
        assert row["backend"] in page
    # Wrapped for the terminal, the verdict is the one of the JSON.
    assert document["verdict"] in " ".join(done.stdout.split())
    assert "results = list(plait.map(busy, ITEMS, backend=" in done.stdout
    for said in ("page: out.html\n", "picture: out.svg\n", "figures: out.json\n"):
        assert said in done.stdout
    picture = ElementTree.parse(tmp_path / "out.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "out.json", "out.svg", "work.py"]


def test_function_and_items_of_the_command_line(write, plait_cli, tmp_path):
    write("SIZE = 10\ndef one(n): return n\ndef two(n): return n * n\n")
    done = plait_cli(*quick("work.py:two", "--items", "range(SIZE)", "--json", "out.json"))
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads((tmp_path / "out.json").read_text())
    assert (document["function"], document["items"]) == ("work.py:two", 10)
    assert "plait.map(two, range(SIZE), " in done.stdout


def test_the_only_function_of_one_argument_needs_no_name(write, plait_cli):
    write("""
        from math import sqrt

        def main(): ...
        def add(a, b): return a + b
        def _hidden(n): return n
        def chosen(n, scale=2): return n * scale
        class NotMe: ...
        ITEMS = (1, 2)
    """)
    assert "plait.map(chosen, ITEMS" in plait_cli(*quick("work.py")).stdout


def test_the_file_runs_once_however_many_workers_there_are(write, plait_cli, tmp_path):
    write("""
        import os
        import plait

        with open("runs.txt", "a") as runs:
            runs.write(f"{__name__} {os.getpid()}\\n")
        print("free")
        ITEMS = [1, 2, 3]

        class Point:
            def __init__(self, x): self.x = x

        def point(n):
            return Point(n)

        print([found.x for found in plait.map(point, ITEMS, backend="processes", workers=2)])
        if __name__ == "__main__":
            print("guarded")
    """)
    done = plait_cli(*quick("work.py"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("free\n[1, 2, 3]\n")
    assert "guarded" not in done.stdout
    assert len((tmp_path / "runs.txt").read_text().splitlines()) == 1


def test_the_file_finds_its_neighbours_its_data_and_its_name(write, plait_cli, tmp_path):
    folder = tmp_path / "inner"
    folder.mkdir()
    (folder / "neighbour.py").write_text("FACTOR = 3\n")
    (folder / "data.txt").write_text("1 2 3")
    (folder / "work.py").write_text(
        textwrap.dedent("""
            import sys
            from pathlib import Path
            import neighbour

            print(sys.argv)
            ITEMS = Path(__file__).with_name("data.txt").read_text().split()

            def triple(text):
                import neighbour
                return int(text) * neighbour.FACTOR
        """)
    )
    done = plait_cli(*quick("inner/work.py"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("['inner/work.py']\n")
    assert not list(folder.glob("__pycache__/work*"))


def test_a_file_named_like_a_module_that_is_loaded(write, tmp_path):
    write(GOOD, "json.py")
    # -P: as the installed command, which does not have this folder on its path from the start.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "plait", *quick("json.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "plait.map(busy, ITEMS" in done.stdout


def test_peers_are_rows(write, plait_cli, tmp_path):
    pytest.importorskip("loky")
    pytest.importorskip("joblib")
    write(GOOD)
    done = plait_cli(*quick("work.py", "--peers", "--json", "out.json"))
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    peers = [row for row in rows if row["peer"]]
    names = ["concurrent.futures threads", "concurrent.futures processes", "loky", "joblib"]
    assert [row["backend"] for row in peers] == names
    for row in peers:
        assert row["error"] is None
        assert row["seconds"] > 0 and row["startup_seconds"] > 0 and row["call_seconds"] > 0


def test_version_and_help(plait_cli):
    assert plait_cli("--version").stdout == f"plait {plait.__version__}\n"
    assert "compare" in plait_cli("--help").stdout
    text = plait_cli("compare", "--help").stdout
    for option in ("--items", "--workers", "--rounds", "--html", "--svg", "--json", "--peers", "examples:"):
        assert option in text
    for command in ("doctor", "run", "record", "report", "watch"):
        assert re.search(rf"^ +{command} ", plait_cli("--help").stdout, re.MULTILINE)


def test_the_installed_command_is_the_same():
    (entry,) = [
        entry for entry in importlib.metadata.entry_points(group="console_scripts") if entry.name == "plait"
    ]
    from plait.__main__ import main

    assert entry.load() is main


def test_help_loads_no_engine():
    code = """
import sys
from plait._cli import main
try:
    main(["--help"])
except SystemExit:
    print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    loaded = done.stdout.splitlines()[-1].split()
    assert "plait._cli" in loaded
    assert not {"plait._core", "plait._compare", "tqdm", "cloudpickle", "concurrent.futures"} & set(loaded)


# --- wrong commands: one line, exit code 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no command given"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["compare"], "FILE.py[:FUNC]"),
        (["doctor", "now"], "unrecognized arguments: now"),
        (["doctor", "--color", "blue"], "argument --color: invalid choice: 'blue'"),
        (["compare", "work.py", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (
            ["compare", "work.py", "--workers", "0"],
            "argument --workers: must be a whole number of at least 1, not '0'",
        ),
        (["compare", "work.py", "--workers", "two"], "argument --workers: must be a whole number"),
        (["compare", "work.py", "--rounds", "-1"], "argument --rounds: must be a whole number"),
        (["compare", "missing.py"], "there is no file 'missing.py'"),
        (["compare", "missing.py:busy"], "there is no file 'missing.py'"),
        (["compare", "."], "is a folder; give a Python file"),
        (["compare", "notes.txt"], "'notes.txt' is not a Python file"),
        (["compare", "work.py:"], "no function name after the colon"),
        (["compare", "work.py:idle"], "work.py has no function 'idle'; there are busy"),
        (["compare", "work.py:busy.more"], "work.py has no function 'busy.more'"),
        (["compare", "work.py:ITEMS"], "ITEMS in work.py is no function, but list"),
        (["compare", "two.py"], "two.py has several functions (one, two); choose: two.py:one"),
        (["compare", "none.py"], "none.py has no public function of one argument; there are only main; put"),
        (["compare", "loop.py"], "loop.py has no public function of one argument; put what is to be done"),
        (["compare", "none.py:main"], "none.py:main cannot be called with one item; its arguments are ()"),
        (["compare", "odd.py:later"], "odd.py:later is a coroutine function"),
        (["compare", "odd.py:yielding"], "odd.py:yielding is a generator function"),
        (
            ["compare", "two.py:one"],
            "two.py has no ITEMS; give it a list ITEMS = […], or the option --items names",
        ),
        (["compare", "work.py", "--items", "[1,"], "--items '[1,' raised SyntaxError"),
        (
            ["compare", "work.py", "--items", "MORE"],
            "--items 'MORE' raised NameError: name 'MORE' is not defined",
        ),
        (["compare", "work.py", "--items", "3"], "--items '3' is int, which is not iterable"),
        (["compare", "work.py", "--items", "[]"], "--items '[]': there are no items"),
        (["compare", "work.py", "--items", "iter(int, 1)"], "more than 1,000,000 items, or no end of them"),
        (["compare", "odd.py:same"], "ITEMS of odd.py is NoneType, which is not iterable"),
        (
            ["compare", "work.py", "--html", "gone/out.html"],
            "there is no folder 'gone' to write 'out.html' into",
        ),
        (["compare", "work.py", "--json", "."], "'.' is a folder; give a file to write"),
        (["compare", "work.py", "--html", "a", "--json", "a"], "--html and --json name the same file"),
    ],
)
def test_wrong_commands(write, plait_cli, tmp_path, arguments, says):
    write(GOOD)
    write("_own, names = [], ['a']\ndef one(n): ...\ndef two(n): ...\n", "two.py")
    write("def main(): ...\n", "none.py")
    write("total = 0\nfor n in range(3):\n    total += n\n", "loop.py")
    write(
        "ITEMS = None\nasync def later(n): ...\ndef yielding(n): yield n\ndef same(n): return n\n", "odd.py"
    )
    write("no Python", "notes.txt")
    before = sorted(tmp_path.iterdir())
    done = plait_cli(*arguments)
    assert says in refusal(done, 2)
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("option", ["--html", "--svg", "--json"])
def test_output_that_cannot_be_written_is_known_before_anything_runs(write, plait_cli, tmp_path, option):
    write("open('ran', 'w').close()\n" + textwrap.dedent(GOOD))
    # A place where nobody can make a file, the superuser included.
    done = plait_cli("compare", "work.py", option, "/proc/out.txt")
    assert "cannot write '/proc/out.txt': " in refusal(done, 2)
    assert not (tmp_path / "ran").exists()


def test_output_that_is_there_stays_as_it_is_until_the_end(write, plait_cli, tmp_path):
    write("assert open('out.json').read() == 'before'\n" + textwrap.dedent(GOOD))
    (tmp_path / "out.json").write_text("before")
    done = plait_cli(*quick("work.py", "--json", "out.json"))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text())["items"] == 3


def test_a_full_disk_is_one_line_after_the_table(write, plait_cli):
    write(GOOD)
    done = plait_cli(*quick("work.py", "--json", "/dev/full"))
    assert refusal(done, 1) == "plait: cannot write '/dev/full': No space left on device"
    assert "plait.map(busy, ITEMS" in done.stdout


# --- the user's program fails: exit code 1


def test_a_file_that_raises_shows_its_own_traceback(write, plait_cli):
    write("def deep():\n    return {}['key']\n\ndeep()\n")
    done = plait_cli("compare", "work.py")
    assert (done.returncode, done.stdout) == (1, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert 'work.py", line 4, in <module>' in lines[1]
    assert "KeyError: 'key'" in lines
    assert lines[-1] == "plait: work.py raised KeyError while it was loaded"
    assert "plait/" not in done.stderr and "importlib" not in done.stderr


def test_a_file_that_is_no_python(write, plait_cli):
    write("def broken(:\n")
    done = plait_cli("compare", "work.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert "SyntaxError" in done.stderr and "line 1" in done.stderr
    assert done.stderr.splitlines()[-1] == "plait: work.py raised SyntaxError while it was loaded"
    assert "plait/" not in done.stderr


def test_a_file_that_ends_itself(write, plait_cli):
    write("import sys\nsys.exit('usage: me')\n")
    said = refusal(plait_cli("compare", "work.py"), 1)
    assert "work.py ended itself by sys.exit('usage: me') while it was loaded" in said
    assert "__main__" in said


def test_items_that_raise_while_they_are_read(write, plait_cli):
    write("def f(n): ...\nITEMS = (1 // n for n in (1, 0))\n")
    assert "ITEMS of work.py raised ZeroDivisionError while it was read" in refusal(
        plait_cli("compare", "work.py"), 1
    )


def test_a_function_that_raises_is_a_row_and_a_line(write, plait_cli, tmp_path):
    write("def picky(n): return 1 // n\nITEMS = [1, 0, 2]\n")
    done = plait_cli(*quick("work.py", "--json", "out.json"))
    said = refusal(done, 1)
    # Python 3.14 has other words for it.
    with pytest.raises(ZeroDivisionError) as raised:
        1 // len("")
    raises = f"1 of 3 calls raised ZeroDivisionError: {raised.value}"
    assert said == f"plait: serial and threads and processes: {raises}"
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert {row["error"] for row in rows} == {raises}
    assert "ZeroDivisionError" in done.stdout


def test_a_function_that_cannot_be_sent_is_a_row_and_the_others_go_on(write, plait_cli, tmp_path):
    write("""
        import threading
        LOCK = threading.Lock()
        ITEMS = [1, 2, 3]

        def locked(n):
            with LOCK:
                return n
    """)
    done = plait_cli(*quick("work.py", "--json", "out.json"))
    assert "processes: the function cannot be sent: " in refusal(done, 1)
    document = json.loads((tmp_path / "out.json").read_text())
    assert [row["error"] is None for row in document["rows"]] == [True, True, False]
    assert document["best"] in ("serial", "threads")


def test_a_reader_that_goes_away(write, tmp_path):
    write(GOOD)
    running = subprocess.Popen(
        [*COMMAND, *quick("work.py")], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running.stdout.close()
    with running.stderr:
        assert running.stderr.read() == ""
    assert running.wait(90) == 1
