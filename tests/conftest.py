"""What every test gets: a watchdog, a check for processes left behind, executors of each backend.

`face` runs a test once for each way to make an executor; `pool_face` leaves out the serial one, whose
calls are done before `submit` returns.
"""

import functools
import gc
import os
import signal
import sys
import zlib

import plait
import pytest
from outside import children, is_nursery, until

# Programs to look at, and the commands that do; clusters.
pytest_plugins = ["recorded", "clusters"]

# A test that takes longer hangs: all stacks are dumped, and it fails.
WATCHDOG_SECONDS = 100


def pytest_addoption(parser):
    parser.addoption(
        "--once", default="1/1", metavar="K/N", help="of the tests marked `once` only the K-th of N parts"
    )


def pytest_configure():
    # A shell has what it starts in the background ignore these, which programs under test would inherit.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_collection_modifyitems(config, items):
    part, parts = map(int, config.getoption("--once").split("/"))
    others = [item for item in items if item.get_closest_marker("once") and part_of(item, parts) != part]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(WATCHDOG_SECONDS, method="signal"))


def pytest_collection_finish():
    # Thousands of tests are a large heap, which each collection of garbage would go through.
    gc.collect()
    gc.freeze()


def part_of(item, parts):
    """Which part a test belongs to, from 1; its name alone tells, so that all Pythons agree about it."""
    return zlib.crc32(item.nodeid.encode()) % parts + 1


def stray_processes():
    """Children of this process, and theirs, that no kept pool accounts for."""
    from plait import _kept

    kept = set()
    for key, pool in list(_kept.pools.items()):
        if key[0] == "processes":
            kept.update(pool._stats()["pids"])
    # The standard library's own, which it keeps. Since Python 3.14 `ThreadPool` and default pools need them.
    for module, name, pid in (
        ("resource_tracker", "_resource_tracker", "_pid"),
        ("forkserver", "_forkserver", "_forkserver_pid"),
    ):
        if (loaded := sys.modules.get(f"multiprocessing.{module}")) is not None:
            kept.add(getattr(getattr(loaded, name), pid))
    strays = []
    for child in children(os.getpid()):
        if child in kept:
            continue
        if is_nursery(child):
            strays += [worker for worker in children(child) if worker not in kept]
        else:
            strays.append(child)
    return strays


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Fails a test that leaves a process other than the nursery and the workers of pools that `map` keeps."""
    before = set(stray_processes())

    def left():
        return sorted(set(stray_processes()) - before)

    yield
    # The frames of a failed test hold its pools.
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    if left():
        # A pool may hang on a cycle, through the frames of an exception that a test caught.
        gc.collect()
    until(lambda: not left(), lambda: f"the end of processes left by this test: {left()}")


def preload_of(module):
    """What a test module names as its `PRELOAD`: modules that each of its workers would take long to load."""
    return getattr(module, "PRELOAD", ())


class Face:
    """One way to make an executor."""

    def __init__(self, name, backend, make):
        self.name = name
        self.backend = backend
        self._make = make

    def __repr__(self):
        return self.name

    def __call__(self, max_workers=2, **options):
        return self._make(max_workers, **options)

    def of(self, module):
        """This face as a test module uses it: with what it wants preloaded."""
        preload = preload_of(module)
        if not preload or self.backend != "processes":
            return self
        return Face(self.name, self.backend, functools.partial(self._make, preload=preload))

    @property
    def broken(self):
        """What a pool of this kind raises once it is broken."""
        if self.backend == "threads":
            from concurrent.futures.thread import BrokenThreadPool

            return BrokenThreadPool
        from concurrent.futures.process import BrokenProcessPool

        return BrokenProcessPool


FACES = [
    Face("Executor-serial", "serial", lambda n, **options: plait.Executor("serial", n, **options)),
    Face("Executor-threads", "threads", lambda n, **options: plait.Executor("threads", n, **options)),
    Face("Executor-processes", "processes", lambda n, **options: plait.Executor("processes", n, **options)),
    Face("ThreadPoolExecutor", "threads", lambda n, **options: plait.ThreadPoolExecutor(n, **options)),
    Face("ProcessPoolExecutor", "processes", lambda n, **options: plait.ProcessPoolExecutor(n, **options)),
]
POOL_FACES = [face for face in FACES if face.backend != "serial"]
PROCESS_FACES = [face for face in FACES if face.backend == "processes"]


@pytest.fixture(params=FACES, ids=repr)
def face(request):
    return request.param.of(request.module)


@pytest.fixture(params=POOL_FACES, ids=repr)
def pool_face(request):
    return request.param.of(request.module)


@pytest.fixture(params=PROCESS_FACES, ids=repr)
def process_face(request):
    return request.param.of(request.module)


@pytest.fixture(params=["serial", "threads", "processes"])
def backend(request):
    return request.param


@pytest.fixture
def executor(face):
    """An executor of two workers, of each kind."""
    with face() as executor:
        yield executor


@pytest.fixture
def pool(pool_face):
    """The same without the serial one."""
    with pool_face() as pool:
        yield pool


@pytest.fixture
def processes(request):
    """A process pool of two workers."""
    with plait.ProcessPoolExecutor(2, preload=preload_of(request.module)) as pool:
        yield pool


@pytest.fixture
def uncounted(monkeypatch):
    """Programs that the test starts do not count their lines: that loads modules, and writes files."""
    monkeypatch.delenv("COVERAGE_PROCESS_START", raising=False)
    if "LLVM_PROFILE_FILE" in os.environ:
        monkeypatch.setenv("LLVM_PROFILE_FILE", os.devnull)


class Gate:
    """Where tasks of `workloads.pass_gate` wait until the test opens it."""

    def __init__(self, folder):
        self.folder = str(folder)

    def entered(self):
        """Names of the tasks that have begun, each with the process it runs in."""
        found = {}
        for entry in os.listdir(self.folder):
            if entry.startswith("entered-"):
                with open(os.path.join(self.folder, entry)) as file:
                    pid = file.read()
                if pid:
                    found[entry.removeprefix("entered-")] = int(pid)
        return found

    def wait_for(self, *names):
        """Waits until these tasks have begun; their process ids."""
        names = [str(name) for name in names]
        until(lambda: set(names) <= set(self.entered()), f"the start of tasks {names}")
        entered = self.entered()
        return [entered[name] for name in names]

    def open(self):
        """Lets all tasks go on."""
        with open(os.path.join(self.folder, "open"), "w"):
            pass

    def __enter__(self):
        """As a context it is open at the end, so that a test that fails does not wait for its own tasks."""
        return self

    def __exit__(self, *_):
        self.open()


@pytest.fixture
def gate(tmp_path):
    folder = tmp_path / "gate"
    folder.mkdir()
    gate = Gate(folder)
    yield gate
    gate.open()
