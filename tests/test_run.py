"""`plait run`: programs do, print and end as Python alone has them do, whatever way they are named."""

import os
import re
import signal
import sys
import zipfile
from pathlib import Path

import plait
import pytest
from outside import finish, run_program, start_program

PROGRAM = '''"""A program."""
import sys

print(sys.argv, sys.path[0], __name__, globals().get("__file__"), __package__, __doc__, sorted(globals()))
print(type(__loader__), getattr(__spec__, "name", None), sys.modules["__main__"].__dict__ is globals())


def fail():
    raise ValueError("on purpose")


what = sys.argv[1:2]
if what == ["raise"]:
    fail()
if what == ["interrupt"]:
    raise KeyboardInterrupt
if what == ["say"]:
    sys.exit("good bye")
if what == ["three"]:
    sys.exit(3)
if what == ["read"]:
    print(sys.stdin.read().upper())
if what == ["hook"]:
    import traceback

    sys.excepthook = lambda kind, error, trace: print("hooked", kind, traceback.extract_tb(trace)[0].name)
    fail()
'''

POOLS = """
import concurrent.futures, multiprocessing, multiprocessing.dummy

class Point:
    def __init__(self, x):
        self.x = x

class Wrong(Exception):
    pass

def init(value):
    global base
    base = value

def shift(point):
    assert type(point) is Point
    return Point(point.x + base + FACTOR)

def go_wrong():
    raise Wrong("gone")

if __name__ == "__main__":
    FACTOR = 100; multiprocessing.set_start_method('fork')
    with multiprocessing.Pool(2, init, (1,)) as pool:
        points = pool.map(shift, map(Point, range(5)))
        print([type(point) is Point and point.x for point in points])
    with concurrent.futures.ProcessPoolExecutor(2, initializer=init, initargs=(2,)) as executor:
        points = executor.map(shift, map(Point, range(5)))
        print([type(point) is Point and point.x for point in points])
        try:
            executor.submit(go_wrong).result()
        except Wrong as error:
            print(repr(error))
    with concurrent.futures.ThreadPoolExecutor(2) as executor, multiprocessing.dummy.Pool(2) as pool:
        print(list(executor.map(abs, [-1, 2])), pool.map(abs, [-3]))
"""


@pytest.fixture
def write(tmp_path):
    def write(text=PROGRAM, name="program.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def run(tmp_path):
    """Runs Python with these arguments in the folder of the test."""

    def run(*arguments, **options):
        return run_program(
            *arguments, cwd=tmp_path, **{**options, "env": environment(**options.get("env", {}))}
        )

    return run


def environment(**more):
    """Finds the plait that is tested, and the helpers of the tests."""
    folders = [str(Path(plait.__file__).parent.parent), str(Path(__file__).parent)]
    return {"PYTHONPATH": os.pathsep.join(folders), **more}


@pytest.fixture
def alike(run):
    """Runs a program both ways; all that it does is the same."""

    def alike(*arguments, before=(), **options):
        alone = run(*before, *arguments, **options)
        under = run(*before, "-m", "plait", "run", *arguments, **options)
        assert (under.code, under.out, under.err) == (alone.code, alone.out, alone.err)
        return alone

    return alike


ENDS = [
    (["one", "--two", "-m", "--report"], 0),
    (["raise"], 1),
    (["interrupt"], -signal.SIGINT),
    (["say"], 1),
    (["three"], 3),
    (["read"], 0),
    (["hook"], 1),
]


@pytest.mark.parametrize(("arguments", "code"), ENDS, ids=lambda value: str(value))
def test_a_script(alike, write, arguments, code):
    write()
    ended = alike("program.py", *arguments, stdin="from outside")
    assert ended.code == code


def test_a_script_elsewhere_and_through_a_link(alike, write, tmp_path):
    write("import beside\nprint(beside.NAME)\n" + PROGRAM, "deep/er/program.py")
    write("NAME = 'found'\n", "deep/er/beside.py")
    (tmp_path / "link.py").symlink_to("deep/er/program.py")
    for name in ("deep/er/program.py", "./deep/er/program.py", "link.py", tmp_path / "link.py"):
        assert alike(name, "raise").out.startswith("found\n")


@pytest.mark.parametrize("arguments", [["one"], ["raise"]], ids=str)
def test_modules_packages_folders_and_zip_files(alike, write, tmp_path, arguments):
    write("", "package/__init__.py")
    program = write(name="package/__main__.py")
    write(name="package/module.py")
    write(name="folder/__main__.py")
    with zipfile.ZipFile(tmp_path / "program.zip", "w") as archive:
        archive.write(program, "__main__.py")
    for way in (["-m", "package"], ["-m", "package.module"], ["-mpackage"], ["folder"], ["program.zip"]):
        assert alike(*way, *arguments).code == (arguments == ["raise"])


def test_text_on_the_command_line_and_on_standard_input(alike):
    assert alike("-c", PROGRAM, "raise").code == 1
    assert alike("-", "raise", stdin=PROGRAM).code == 1


def test_what_does_not_compile_or_is_not_there(alike, write, run):
    write("x = (\n", "broken.py")
    assert alike("broken.py").code == 1
    assert alike("-m", "no_such_module").code == 1
    ended = run("-m", "plait", "run", "no_such_file.py")
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"plait: .*no_such_file\.py.*\n", ended.err)


def test_options_of_the_interpreter_hold(alike, write):
    write(
        "import sys\nprint(sys.flags.optimize, sys.flags.safe_path, sys.path[0])\nassert False\n", "flags.py"
    )
    assert alike("flags.py", before=["-O"]).code == 0
    assert alike("flags.py", before=["-P", "-O"]).code == 0


def test_a_command_of_this_environment(run, tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, first in (
        ("mine", f"#!{sys.executable}"),
        ("theirs", "#!/opt/other/bin/python3"),
        ("sh", "#!/bin/sh"),
    ):
        (folder / name).write_text(f"{first}\nimport sys\nprint('ran', sys.argv[1:], sys.path[0])\n")
        (folder / name).chmod(0o755)
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    assert run("-m", "plait", "run", "mine", "-x", env=env).lines == [f"ran ['-x'] {folder}"]
    for name, why in (("theirs", "another Python"), ("sh", "no Python program")):
        ended = run("-m", "plait", "run", name, env=env)
        assert (ended.code, ended.out) == (2, "")
        assert why in ended.err and ended.err.count("\n") == 1


def test_wrong_usage(run):
    for arguments in ([], ["--no-such"], ["-m"], ["--report="], ["--report=/no/such/folder/x", "-c", "pass"]):
        ended = run("-m", "plait", "run", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert re.fullmatch(r"plait: .*\n", ended.err)
    assert run("-m", "plait", "run", "--help").lines[0].startswith("usage: plait run")


def test_pools_of_an_unmodified_program(run, write):
    write(POOLS, "pools.py")
    alone, under = run("pools.py"), run("-m", "plait", "run", "pools.py")
    assert under.lines == alone.lines
    assert alone.lines[0] == "[101, 102, 103, 104, 105]"


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_workers_import_the_main_script(run, write, method):
    text = POOLS.replace("FACTOR = 100; ", "").replace("'fork'", repr(method))
    write("print(__name__)\nFACTOR = 7\n" + text, "pools.py")
    under = run("-m", "plait", "run", "pools.py")
    assert under.code == 0, under
    lines = under.out.splitlines()
    assert lines[0] == "__main__" and "__mp_main__" in lines
    assert [line for line in lines if line.startswith("[")] == [
        "[8, 9, 10, 11, 12]", "[9, 10, 11, 12, 13]", "[1, 2] [3]",
    ]  # fmt: skip


def test_the_report(run, write, tmp_path):
    write(POOLS, "pools.py")
    ended = run("-m", "plait", "run", "--report", "pools.py")
    assert ended.code == 0
    lines = ended.err.splitlines()
    assert lines[0] == "plait: pools of this program"
    served = [re.match(r"  served  (\w+): (\d+) tasks?, .*  \[.*pools\.py:\d+\]", line) for line in lines[1:]]
    assert sorted((match[1], match[2]) for match in served) == [
        ("Pool", "5"), ("ProcessPoolExecutor", "6"), ("ThreadPool", "1"), ("ThreadPoolExecutor", "2"),
    ]  # fmt: skip
    again = run("-m", "plait", "run", "--report=said.txt", "pools.py")
    assert again.lines == ended.out.splitlines()
    assert (tmp_path / "said.txt").read_text() == ended.err


def test_the_report_says_what_was_left_alone(run, write):
    write(
        # The default before Python 3.14.
        "import multiprocessing, multiprocessing.pool; multiprocessing.set_start_method('fork')\n"
        "class Own(multiprocessing.pool.Pool):\n"
        "    def _repopulate_pool(self):\n"
        "        super()._repopulate_pool()\n"
        "with Own(1) as pool:\n"
        "    print(pool.apply(abs, (-5,)))\n"
        "process = multiprocessing.get_context('fork').Process(target=print, args=('hello',))\n"
        "process.start()\n"
        "process.join()\n",
        "left.py",
    )
    ended = run("-m", "plait", "run", "--report", "left.py")
    assert (ended.code, sorted(ended.out.splitlines())) == (0, ["5", "hello"])
    pool, process = ended.err.splitlines()[1:]
    assert re.match(
        r"  left    Pool: its subclass __main__\.Own overrides _repopulate_pool  \[.*left\.py:5\]", pool
    )
    assert process.startswith("  left    multiprocessing.Process: 1 process of the program's own")


def test_a_program_that_is_killed_leaves_nothing(write, tmp_path):
    write(
        "import multiprocessing, time; multiprocessing.set_start_method('fork')\n"
        "pool = multiprocessing.Pool(2)\n"
        "pool.map(abs, range(10))\n"
        "pool.map_async(time.sleep, [1000] * 4)\n"
        "print('at work', flush=True)\n"
        "time.sleep(1000)\n",
        "sleeping.py",
    )
    program = start_program("-m", "plait", "run", "sleeping.py", cwd=tmp_path, env=environment())
    assert program.stdout.readline() == "at work\n"
    program.kill()
    assert finish(program).code == -signal.SIGKILL


def test_ctrl_c_ends_the_program_and_its_workers(write, tmp_path):
    write(
        "import concurrent.futures, time\n"
        "with concurrent.futures.ProcessPoolExecutor(2) as executor:\n"
        "    futures = [executor.submit(time.sleep, 1000) for _ in range(4)]\n"
        "    print('at work', flush=True)\n"
        "    futures[0].result()\n",
        "sleeping.py",
    )
    program = start_program("-m", "plait", "run", "sleeping.py", cwd=tmp_path, env=environment())
    assert program.stdout.readline() == "at work\n"
    os.kill(program.pid, signal.SIGINT)
    ended = finish(program)
    assert ended.code == -signal.SIGINT
    assert ended.err.endswith("KeyboardInterrupt\n")


def test_children_of_a_program_are_left_alone(run, write):
    write(
        "import subprocess, sys\n"
        "text = 'import sys; print([name for name in sys.modules if name.startswith(\"plait\")])'\n"
        "subprocess.run([sys.executable, '-S', '-c', text], check=True)\n",
        "parent.py",
    )
    assert run("-m", "plait", "run", "parent.py").lines == ["[]"]
