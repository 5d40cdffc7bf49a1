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

def in_thread():
    thread = threading.Thread(target=of_thread)
    thread.start()
    thread.join()

def of_thread():
    done = "in a thread"

def linger():
    try:
        time.sleep(600)
    finally:
        tidied = "up"

def inner():
    return "a worker of a worker"

def last():
    return "before the program's end"

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

MAP = "print(list(plait.map(work.double, range(4), backend={!r}, workers=2)))"


def test_lines_that_threads_run(project):
    assert project.lines(MAP.format("threads"), SUBPROCESSES, "concurrency = thread") == ALL_OF_DOUBLE


def test_the_commands_of_coverage(project):
    project.write(
        MAP.format("processes"), SUBPROCESSES, "branch = true", "concurrency = multiprocessing,thread"
    )
    project.run("-m", "coverage", "run", "main.py")
    project.run("-m", "coverage", "combine")
    project.run("-m", "coverage", "json")
    report = json.loads((project.folder / "coverage.json").read_text())
    missing = report["files"]["work.py"]["missing_lines"]
    assert not ALL_OF_DOUBLE & {WORK.splitlines()[line - 1].strip() for line in missing}


def test_the_older_way_of_an_environment_variable(project):
    project.env["COVERAGE_PROCESS_START"] = str(project.folder / ".coveragerc")
    assert project.lines(MAP.format("processes"), "parallel = true") == ALL_OF_DOUBLE


def test_both_ways_to_follow_processes_at_once(project):
    assert project.lines(MAP.format("processes"), "patch = subprocess,fork") == ALL_OF_DOUBLE


ENDS = """
def outer():
    with plait.ProcessPoolExecutor(1) as pool:
        return pool.submit(work.inner).result()

with plait.ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
    print([future.result() for future in [pool.submit(work.double, n) for n in range(2)]])
with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(work.in_thread).result(), pool.submit(outer).result())
with plait.ProcessPoolExecutor(1, timeout=0.2, grace=30) as pool:
    print(pool.submit(work.linger).exception())
pool = plait.ProcessPoolExecutor(1)
future = pool.submit(work.last)
"""


def test_however_a_worker_ends(project):
    ran = project.lines(ENDS, SUBPROCESSES)
    lines = {line.strip() for line in WORK.splitlines() if line.startswith("    ")}
    # Two of them are no statements.
    assert lines - ran - {"else:", "finally:"} == {'return "never"'}


INTERRUPTED = """
import os, signal
with plait.ProcessPoolExecutor(2) as pool:
    print(list(pool.map(work.double, range(4))))
    os.kill(os.getpid(), signal.SIGINT)
    pool.submit(work.linger).result()
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
def test_in_a_block():
    with plait.ProcessPoolExecutor(1) as pool:
        pool.submit(work.inner).result()

def test_map():
    assert list(plait.map(work.double, range(4), backend="processes", workers=2)) == [0, 2, 4, 6]
"""


def test_under_pytest(project):
    def ran():
        report = json.loads((project.folder / "coverage.json").read_text())
        return {WORK.splitlines()[line - 1].strip() for line in report["files"]["work.py"]["executed_lines"]}

    project.write(TESTED, SUBPROCESSES)
    project.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov", "--cov-report=json", "main.py")
    assert 'return "a worker of a worker"' in ran()
    # The workers that `plait.map` keeps end with the program, after its report.
    project.run("-m", "coverage", "combine", "--append")
    project.run("-m", "coverage", "json")
    assert ran() >= ALL_OF_DOUBLE


def test_what_preloaded_modules_register_for_the_exit_is_not_the_workers(project):
    noting = (
        "import atexit, os, pathlib\natexit.register(lambda: pathlib.Path(f'{}-{{os.getpid()}}').touch())\n"
    )
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
