"""Importing plait costs next to nothing: what it needs is loaded when it is first used."""

import pytest
from outside import run_program

HEAVY = [
    "asyncio",
    "cloudpickle",
    "concurrent.futures",
    "concurrent.futures.process",
    "concurrent.futures.thread",
    "ctypes",
    "inspect",
    "logging",
    "multiprocessing",
    "numpy",
    "pickle",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "tqdm",
    "typing",
]

LOADED = "import sys\nbefore = set(sys.modules)\n{work}\nprint(*sorted(set(sys.modules) - before))"


def loads(work):
    """The modules that `work` loads in a fresh interpreter."""
    [line] = run_program(
        "-S", "-c", f"import sys; sys.path[:] = {paths()!r}\n{LOADED.format(work=work)}"
    ).lines
    return set(line.split())


def paths():
    import sys

    return sys.path


def test_import_loads_nothing_heavy():
    loaded = loads("import plait")
    assert "plait" in loaded
    assert sorted(loaded.intersection(HEAVY)) == []


@pytest.mark.parametrize("name", ["PlaitError", "NotPicklable", "RemoteError"])
def test_errors_load_nothing_heavy(name):
    assert sorted(loads(f"from plait import {name}").intersection(HEAVY)) == []


def test_threads_need_no_processes():
    work = "import plait\nwith plait.ThreadPoolExecutor(1) as pool:\n    pool.submit(abs, -1).result()"
    loaded = loads(work)
    for name in (
        "multiprocessing",
        "concurrent.futures.process",
        "asyncio",
        "cloudpickle",
        "numpy",
        "plait._process",
    ):
        assert name not in loaded


def test_processes_need_no_multiprocessing():
    work = (
        "import plait\nwith plait.ProcessPoolExecutor(1) as pool:\n    assert pool.submit(abs, -1).result()"
    )
    loaded = loads(work)
    for name in ("multiprocessing", "concurrent.futures.process", "asyncio", "cloudpickle", "numpy"):
        assert name not in loaded


@pytest.mark.usefixtures("uncounted")
def test_workers_load_little():
    script = """
import sys, plait
with plait.ProcessPoolExecutor(1) as pool:
    print(*pool.submit(eval, "sorted(__import__('sys').modules)").result())
"""
    [line] = run_program("-c", script).lines
    loaded = set(line.split())
    for name in ("multiprocessing", "asyncio", "cloudpickle", "numpy", "concurrent.futures.process"):
        assert name not in loaded
