"""Files that a `plait.map(checkpoint=)` refuses: in use, of another function, of other items, not its own."""

import functools
import itertools
import os
import sqlite3
import threading

import long_runs as runs
import plait
import pytest
import workloads as w
from long_maps import path as path
from long_maps import pmap as pmap
from long_runs import kept
from outside import finish, start_program

pytestmark = pytest.mark.once


def refused(pmap, fn, items, path, match):
    with pytest.raises(plait.CheckpointError, match=match) as caught:
        list(pmap(fn, items, checkpoint=path))
    assert caught.value.path == path and path in str(caught.value)


def test_two_runs_at_a_time(pmap, path):
    results = pmap(runs.double, itertools.count(), checkpoint=path)
    next(results)
    refused(pmap, runs.double, range(3), path, "another run is using it")
    assert [next(results) for _ in range(5)] == [2, 4, 6, 8, 10]
    results.close()
    assert list(pmap(runs.double, range(3), checkpoint=path)) == [0, 2, 4]


HOLDING = """
import sys, itertools, plait, long_runs
results = plait.map(long_runs.double, itertools.count(), backend="serial", checkpoint=sys.argv[1])
next(results)
print("holds", flush=True)
sys.stdin.read()
"""


def test_two_programs_at_a_time(pmap, path):
    program = start_program("-c", HOLDING, path, env=runs.ENV)
    assert program.stdout.readline() == "holds\n"
    refused(pmap, runs.double, range(3), path, "another run is using it")
    finish(program, "")
    assert list(pmap(runs.double, range(3), checkpoint=path)) == [0, 2, 4]


def test_another_function(pmap, path):
    list(pmap(runs.double, range(3), checkpoint=path))
    refused(pmap, w.add_one, range(3), path, r"long_runs\.double, and this maps workloads\.add_one")


def made(code):
    """The function `f` of a piece of source, as another version of a program would have it."""
    names = {"__name__": "a_program"}
    exec(code, names)
    return names["f"]


CHANGES = {
    "a constant": ("def f(x): return x + 1", "def f(x): return x + 2"),
    "a name": ("def f(x): return abs(x)", "def f(x): return float(x)"),
    "a default": ("def f(x, y=1): return x + y", "def f(x, y=2): return x + y"),
    "a default by name": ("def f(x, *, y=1): return x + y", "def f(x, *, y=2): return x + y"),
    "a function within": ("def f(x): return (lambda: x)()", "def f(x): return (lambda: -x)()"),
    "what it captured": (
        "def g(n):\n def f(x): return x + n\n return f\nf = g(1)",
        "def g(n):\n def f(x): return x + n\n return f\nf = g(2)",
    ),
    "a function that it captured": (
        "def g(h):\n def f(x): return h(x)\n return f\nf = g(lambda x: x)",
        "def g(h):\n def f(x): return h(x)\n return f\nf = g(lambda x: -x)",
    ),
    "a method": (
        "class C:\n def __call__(self, x): return x\nf = C()",
        "class C:\n def __call__(self, x): return -x\nf = C()",
    ),
    "what a partial holds": (
        "import functools\nf = functools.partial(pow, 2)",
        "import functools\nf = functools.partial(pow, 3)",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_function(name, path):
    before, after = CHANGES[name]
    pmap = functools.partial(plait.map, backend="serial")
    results = list(pmap(made(before), range(4), checkpoint=path))
    refused(pmap, made(after), range(4), path, "has changed since")
    assert kept(path) == dict(enumerate(results))
    # The same function as another object, with other comments and in another place, is the same.
    assert list(pmap(made("\n# why\n" + before), range(4), checkpoint=path)) == results


def test_changed_items(pmap, path):
    list(pmap(runs.double, [1, 2, 3], checkpoint=path))
    refused(pmap, runs.double, [1, 5, 3], path, "item 1 is not what it was")
    refused(pmap, runs.double, [1.0, 2, 3], path, "item 0 is not what it was")
    assert list(pmap(runs.double, [1, 2, 3, 4], checkpoint=path)) == [2, 4, 6, 8]


def test_files_that_are_none(pmap, path):
    with open(path, "w") as file:
        file.write("no database, but something of the user's " * 100)
    os.chmod(path, 0o600)
    refused(pmap, runs.double, [1], path, "no file of plait's")
    with open(path) as file:
        assert file.read().startswith("no database")
    os.unlink(path)
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE mine (x)")
    base.commit()
    base.close()
    os.chmod(path, 0o600)
    refused(pmap, runs.double, [1], path, "another program")
    os.unlink(path)
    os.mkdir(path)
    refused(pmap, runs.double, [1], path, "no regular file")
    refused(pmap, runs.double, [1], os.path.join(path, "none", "x"), "No such file")


def test_another_version(pmap, path):
    list(pmap(runs.double, [1], checkpoint=path))
    base = sqlite3.connect(path)
    base.execute("PRAGMA user_version = 2")
    base.close()
    refused(pmap, runs.double, [1], path, "version 2")


def test_another_python(pmap, path):
    list(pmap(runs.double, [1], checkpoint=path))
    base = sqlite3.connect(path)
    base.execute("UPDATE map SET value = '3.9' WHERE key = 'python'")
    base.execute("UPDATE map SET value = 'other' WHERE key = 'code'")
    base.commit()
    base.close()
    refused(pmap, runs.double, [1], path, r"Python 3\.9")


def test_what_others_may_write(pmap, path):
    list(pmap(runs.double, [1], checkpoint=path))
    os.chmod(path, 0o666)
    refused(pmap, runs.double, [1], path, "other users may write")
    os.chmod(path, 0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        refused(pmap, runs.double, [1], path, "belongs to another user")


def test_a_result_that_cannot_be_loaded(pmap, path):
    list(pmap(runs.double, [1], checkpoint=path))
    base = sqlite3.connect(path)
    base.execute("UPDATE results SET value = x'00'")
    base.commit()
    base.close()
    refused(pmap, runs.double, [1], path, "cannot be loaded")


def test_items_that_cannot_be_known_again(path):
    with pytest.raises(plait.CheckpointError, match="item 1 cannot be pickled"):
        list(plait.map(w.identity, [1, threading.Lock()], backend="threads", workers=2, checkpoint=path))
