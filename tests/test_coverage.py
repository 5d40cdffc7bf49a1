"""Coverage of what workers run, measured by coverage.py as its own pages say, however a worker ends."""

import json
import os
import signal

import coverage
import pytest
from outside import run_program

WORK = """
import threading, time

def double(n):
    if n % 2:
        odd = "odd"
    else:
        even = "even"
    return 2 * n

def in_thread(n):
    thread = threading.Thread(target=double, args=(n,))
    thread.start()
    thread.join()

def linger(n):
    try:
        time.sleep(600)
    finally:
        tidied = "up"

def never():
    return "never"
"""

SUBPROCESSES = "patch = subprocess"


class Project:
    """A folder with a module whose functions run in workers, and a program that is measured."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "work.py").write_text(WORK)
        self.env = {"PYTHONPATH": str(folder)}

    def write(self, program, *settings):
        self.settings = "\n".join(["[run]", "source = .", *settings, ""])
        (self.folder / ".coveragerc").write_text(self.settings)
        (self.folder / "main.py").write_text("import plait, work\n" + program)

    def run(self, *command, code=0):
        """Runs Python in the folder; what it prints."""
        ended = run_program(*command, cwd=self.folder, env=self.env)
        assert ended.code == code, ended
        return ended.out

    def lines(self, program, *settings, code=0):
        """Measures the program; the lines of the module that ran in any process, but for those with `def`."""
        self.write(program, *settings)
        self.run("-m", "coverage", "run", "main.py", code=code)
        measured = coverage.Coverage(str(self.folder / ".coverage"), config_file=False)
        measured.combine([str(self.folder)])
        ran = measured.get_data().lines(str(self.folder / "work.py"))
        text = WORK.splitlines()
        found = {text[number - 1].strip() for number in ran}
        return {line for line in found if not line.startswith(("def ", "import "))}


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("COVERAGE_", "COV_"))]:
        monkeypatch.delenv(name)
    return Project(tmp_path)


ALL_OF_DOUBLE = {"if n % 2:", 'odd = "odd"', 'even = "even"', "return 2 * n"}
ALL_OF_LINGER = {"try:", "time.sleep(600)", 'tidied = "up"'}

MAP = "print(list(plait.map(work.double, range(4), backend={!r}, workers=2)))"


@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.parametrize(
    "settings",
    [[SUBPROCESSES, "branch = true"], [SUBPROCESSES, "concurrency = multiprocessing,thread"]],
    ids=["patch", "concurrency"],
)
def test_lines_that_only_workers_run(project, backend, settings):
    assert project.lines(MAP.format(backend), *settings) == ALL_OF_DOUBLE


def test_the_commands_of_coverage(project):
    project.write(MAP.format("processes"), SUBPROCESSES)
    project.run("-m", "coverage", "run", "main.py")
    project.run("-m", "coverage", "combine")
    project.run("-m", "coverage", "json")
    report = json.loads((project.folder / "coverage.json").read_text())
    missing = report["files"]["work.py"]["missing_lines"]
    assert [WORK.splitlines()[line - 1].strip() for line in missing] == [
        "thread = threading.Thread(target=double, args=(n,))",
        "thread.start()",
        "thread.join()",
        "try:",
        "time.sleep(600)",
        'tidied = "up"',
        'return "never"',
    ]


def test_the_older_way_of_an_environment_variable(project):
    project.env["COVERAGE_PROCESS_START"] = str(project.folder / ".coveragerc")
    assert project.lines(MAP.format("processes"), "parallel = true") == ALL_OF_DOUBLE


def test_both_ways_to_follow_processes_at_once(project):
    assert project.lines(MAP.format("processes"), "patch = subprocess,fork") == ALL_OF_DOUBLE


POOL = """
with plait.ProcessPoolExecutor(2{how}) as pool:
    futures = [pool.submit({function}, n) for n in range(4)]
    print([future.exception() for future in futures])
"""

ENDS = {
    "recycled": (POOL.format(how=", max_tasks_per_child=1", function="work.double"), ALL_OF_DOUBLE),
    "stopped": (POOL.format(how=", timeout=0.2, grace=30", function="work.linger"), ALL_OF_LINGER),
    "at the end of the program": (
        "pool = plait.ProcessPoolExecutor(2)\nfutures = [pool.submit(work.double, n) for n in range(4)]",
        ALL_OF_DOUBLE,
    ),
    "with threads of its own": (
        POOL.format(how="", function="work.in_thread"),
        ALL_OF_DOUBLE
        | {"thread = threading.Thread(target=double, args=(n,))", "thread.start()", "thread.join()"},
    ),
    "in a worker of a worker": (
        "def outer():\n    with plait.ProcessPoolExecutor(1) as pool:\n"
        "        return list(pool.map(work.double, range(4)))\n"
        "with plait.ProcessPoolExecutor(1) as pool:\n    print(pool.submit(outer).result())",
        ALL_OF_DOUBLE,
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_however_a_worker_ends(project, end):
    program, expected = ENDS[end]
    assert project.lines(program, SUBPROCESSES) == expected


INTERRUPTED = """
import os, signal
with plait.ProcessPoolExecutor(2) as pool:
    print(list(pool.map(work.double, range(4))))
    os.kill(os.getpid(), signal.SIGINT)
    pool.submit(work.linger, 1).result()
"""


def test_after_ctrl_c_if_coverage_is_to_heed_the_end_by_a_signal(project):
    ran = project.lines(INTERRUPTED, SUBPROCESSES, "sigterm = true", code=-signal.SIGINT)
    assert ran >= ALL_OF_DOUBLE


FORKED = """
plait.patch()
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(work.double, range(4)))
    pool.close()
    pool.join()
"""


def test_in_a_pool_of_forks_that_plait_has_replaced(project):
    assert project.lines(FORKED, "patch = fork", "parallel = true") == ALL_OF_DOUBLE


TESTED = """
def test_double():
    {}
"""

IN_A_BLOCK = (
    "with plait.ProcessPoolExecutor(2) as pool: assert list(pool.map(work.double, range(4))) == [0, 2, 4, 6]"
)


@pytest.mark.parametrize("call", [IN_A_BLOCK, MAP.format("processes")], ids=["block", "map"])
def test_under_pytest(project, call):
    project.write(TESTED.format(call), SUBPROCESSES)
    project.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov", "--cov-report=json", "main.py")
    if call != IN_A_BLOCK:
        # The workers that `plait.map` keeps end with the program, after its report.
        project.run("-m", "coverage", "combine", "--append")
        project.run("-m", "coverage", "json")
    report = json.loads((project.folder / "coverage.json").read_text())
    ran = {WORK.splitlines()[line - 1].strip() for line in report["files"]["work.py"]["executed_lines"]}
    assert ran >= ALL_OF_DOUBLE


def test_what_preloaded_modules_register_for_the_exit_is_not_the_workers(project):
    noting = "import atexit, os, pathlib\natexit.register(lambda: pathlib.Path(f'{}-{{os.getpid()}}').touch())\n"
    (project.folder / "registering.py").write_text(noting.format("preloaded"))
    # What comes with every interpreter is.
    (project.folder / "sitecustomize.py").write_text(noting.format("began"))
    program = (
        'import plait, os\nwith plait.ProcessPoolExecutor(2, preload=["registering"]) as pool:\n'
        "    print(*{pool.submit(os.getpid).result() for _ in range(9)})\n"
    )
    workers = set(run_program("-c", program, cwd=project.folder, env=project.env).lines[0].split())
    notes = {path.name for path in project.folder.iterdir()}
    assert {f"began-{pid}" for pid in workers} <= notes
    assert not {f"preloaded-{pid}" for pid in workers} & notes
    assert [name for name in notes if name.startswith("preloaded-")], "the helper process has run it"
