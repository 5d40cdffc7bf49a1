"""`plait.map(checkpoint=)`: what is in the file after kills, interrupts, full disks, and what is refused."""

import functools
import itertools
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import threading

import long_runs as runs
import plait
import pytest
import workloads as w
from long_maps import BACKENDS
from long_maps import path as path
from long_maps import pmap as pmap
from long_runs import kept
from outside import finish, start_program, until

pytestmark = pytest.mark.once

# --- going on


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
def test_what_is_known_is_not_called(pmap, path, tmp_path, ordered):
    call = functools.partial(runs.noting, str(tmp_path))
    results = pmap(call, range(30), checkpoint=path, ordered=ordered, buffersize=4)
    first = [next(results) for _ in range(12)]
    results.close()
    before = kept(path)
    assert {each[0] for each in first} <= {each[0] for each in before.values()}
    (tmp_path / "log").unlink()
    again = list(pmap(call, range(30), checkpoint=path, ordered=ordered))
    assert sorted(again) == [[n, "result"] for n in range(30)]
    if ordered:
        assert again == sorted(again)
    assert sorted(runs.noted(tmp_path)) == sorted(set(range(30)) - set(before))
    assert kept(path) == {n: [n, "result"] for n in range(30)}
    (tmp_path / "log").unlink()
    assert sorted(pmap(call, range(30), checkpoint=path, ordered=ordered)) == sorted(again)
    assert runs.noted(tmp_path) == []
    assert sorted(os.listdir(tmp_path)) == ["results.ckpt"]


@pytest.mark.parametrize("errors", ["return", "skip"])
@pytest.mark.parametrize("limits", [{}, {"retries": 1}])
def test_failed_calls_are_tried_again(pmap, path, tmp_path, errors, limits):
    call = functools.partial(runs.fails_at_first, str(tmp_path))
    first = [each for each in pmap(call, range(20), checkpoint=path, errors=errors, **limits)]
    if limits:
        assert first == list(range(20))
    else:
        assert [each for each in first if not isinstance(each, Exception)] == []
    assert list(pmap(call, range(20), checkpoint=path, errors=errors, **limits)) == list(range(20))


def test_what_ended_before_a_failure_is_kept(pmap, path):
    call = functools.partial(_fails_on_twenty)
    with pytest.raises(ValueError, match="item 20"):
        list(pmap(call, range(40), checkpoint=path))
    assert set(range(20)) <= set(kept(path)) <= set(range(40)) - {20}


def _fails_on_twenty(x):
    return runs.fails_on(x, 20)


def test_more_items_than_before(pmap, path):
    assert list(pmap(runs.double, range(10), checkpoint=path)) == list(range(0, 20, 2))
    assert list(pmap(runs.double, range(25), checkpoint=path)) == list(range(0, 50, 2))
    assert list(pmap(runs.double, range(5), checkpoint=path)) == list(range(0, 10, 2))
    assert len(kept(path)) == 25


def test_endless_inputs(pmap, path):
    results = pmap(runs.double, itertools.count(), checkpoint=path)
    assert list(itertools.islice(results, 100)) == list(range(0, 200, 2))
    results.close()
    again = pmap(runs.double, itertools.count(), checkpoint=path)
    assert list(itertools.islice(again, 3000)) == list(range(0, 6000, 2))
    again.close()
    assert set(range(3000)) <= set(kept(path))


def test_several_inputs_and_many_kinds_of_items(pmap, path):
    items = [1, 2.5, "a", b"b", None, True, (1, [2]), {"k": {"x", "y"}}, w.Counter, frozenset("abc"), 10**40]
    numbers = range(len(items))
    got = list(pmap(w.arguments, items, numbers, checkpoint=path))
    assert got == [((item, n), {}) for n, item in enumerate(items)]
    assert list(pmap(w.arguments, items, numbers, checkpoint=path)) == got


def test_results_that_go_by_value(pmap, path):
    results = list(pmap(_adder, [1, 2], checkpoint=path))
    assert [each(10) for each in results] == [11, 12]
    assert [each(10) for each in pmap(_adder, [1, 2], checkpoint=path)] == [11, 12]


def _adder(n):
    return lambda x: x + n


def test_arrays(pmap, path):
    numpy = pytest.importorskip("numpy")
    for _ in range(2):
        got = list(pmap(_filled, range(4), checkpoint=path))
        assert [each.tolist() for each in got] == [[n] * 30_000 for n in range(4)]
        assert all(type(each) is numpy.ndarray for each in got)


def _filled(n):
    import numpy

    return numpy.full(30_000, n)


def test_known_items_count_as_done(pmap, path):
    list(pmap(runs.double, range(10), checkpoint=path))
    seen = []
    list(pmap(runs.double, range(12), checkpoint=path, progress=seen.append))
    assert seen[-1][:4] == (12, 0, 12, 0)


def test_it_is_the_users_own(pmap, path):
    old = os.umask(0)
    try:
        results = pmap(runs.double, itertools.count(), checkpoint=path)
        next(results)
        for name in os.listdir(os.path.dirname(path)):
            found = os.stat(os.path.join(os.path.dirname(path), name))
            assert stat.S_IMODE(found.st_mode) == 0o600, name
        results.close()
    finally:
        os.umask(old)


# --- kills


KILLED = """
import sys, functools, plait, long_runs
folder, path, backend, ordered = sys.argv[1:]
call = functools.partial(long_runs.noting, folder)
got = list(plait.map(call, range(150), backend=backend, workers=2, ordered=ordered == "ordered",
                     checkpoint=path, buffersize=8))
assert sorted(got) == [[n, "result"] for n in range(150)], got
print("whole")
"""


@pytest.mark.parametrize("ordered", ["ordered", "as they come"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_killed_at_any_moment(backend, ordered, path, tmp_path):
    """Three programs are killed with -9, a fourth one goes on to the end."""
    draw = random.Random(f"{backend} {ordered}")
    known = set()
    for number in range(4):
        args = ("-c", KILLED, tmp_path, path, backend, ordered)
        program = start_program(*args, env=runs.ENV | {"PYTHONHASHSEED": str(number)})
        if number < 3:
            calls = draw.randrange(1, 35)
            until(lambda: len(runs.noted(tmp_path)) >= calls or program.poll() is not None, f"{calls} calls")
            os.kill(program.pid, signal.SIGKILL)
            ended = finish(program)
            assert ended.code == -signal.SIGKILL, ended
        else:
            assert finish(program).lines == ["whole"]
        called = runs.noted(tmp_path)
        assert len(called) == len(set(called))
        assert not known & set(called), "called again, though the result was in the file"
        results = kept(path)
        assert known <= set(results)
        assert all(result == [n, "result"] for n, result in results.items())
        known = set(results)
        (tmp_path / "log").unlink()
    assert known == set(range(150))


WAITING = """
import sys, plait, long_runs
folder, backend = sys.argv[1:]
names = ["held", *[None] * 5]
list(plait.map(long_runs.open_gate, [folder] * 6, names, range(6), backend=backend, workers=2,
               checkpoint=folder + "/results.ckpt"))
"""


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_results_that_wait_for_their_turn_are_written(backend, tmp_path, gate):
    """While the first item runs, and its result is waited for, the others are in the file."""
    program = start_program("-c", WAITING, gate.folder, backend, env=runs.ENV)

    def written():
        # Nobody else may read it while it is in use: a copy, which may be torn.
        copies = tmp_path / "copies"
        shutil.rmtree(copies, ignore_errors=True)
        copies.mkdir()
        try:
            for name in ("results.ckpt", "results.ckpt-wal"):
                shutil.copy(os.path.join(gate.folder, name), copies)
            return len(kept(str(copies / "results.ckpt"))) == 5
        except (OSError, sqlite3.Error, AssertionError):
            return False

    try:
        until(lambda: written() or program.poll() is not None, "five results in the file")
    finally:
        os.kill(program.pid, signal.SIGKILL)
        finish(program)
    assert kept(os.path.join(gate.folder, "results.ckpt")) == {n: n for n in range(1, 6)}


INTERRUPTED = """
import os, signal, sys, threading, functools, plait, long_runs
folder, path, backend, calls = sys.argv[1:]
def tell():
    while len(long_runs.noted(folder)) < int(calls):
        pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=tell, daemon=True).start()
call = functools.partial(long_runs.noting, folder)
try:
    for result in plait.map(call, range(100_000), backend=backend, workers=2, checkpoint=path):
        print(result[0])
except KeyboardInterrupt:
    # Whatever was being printed.
    print("\\nheard")
"""


@pytest.mark.parametrize("calls", [1, 30])
@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_leaves_a_good_file(backend, path, tmp_path, calls):
    ended = finish(start_program("-c", INTERRUPTED, tmp_path, path, backend, calls, env=runs.ENV))
    *handed_out, last = filter(None, ended.lines)
    assert last == "heard"
    # What the consumer had is in the file; nothing else lies beside it.
    assert set(map(int, handed_out)) <= set(kept(path))
    assert sorted(os.listdir(tmp_path)) == ["log", "results.ckpt"]


FORKING = """
import os, sys, plait, long_runs
results = plait.map(long_runs.double, range(500), backend="serial", checkpoint=sys.argv[1])
first = [next(results) for _ in range(9)]
child = os.fork()
if not child:
    del results
    sys.exit(7)
assert os.waitpid(child, 0)[1] == 7 << 8
print(len(first + list(results)))
"""


def test_a_forked_child_leaves_the_file_alone(path):
    assert finish(start_program("-W", "ignore", "-c", FORKING, path, env=runs.ENV)).lines == ["500"]
    assert kept(path) == {n: 2 * n for n in range(500)}


# --- no room


FULL = """
import resource, sys, plait, long_runs
path, backend, most = sys.argv[1:]
if int(most):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
got = []
try:
    for each in plait.map(long_runs.blob_of, range(400), backend=backend, workers=2, checkpoint=path):
        got.append(each)
except plait.CheckpointError as error:
    assert error.path == path, error.path
    print(type(error.__cause__).__name__, path in str(error))
assert [each[:1] for each in got] == [bytes([n % 256]) for n in range(len(got))]
print(len(got))
"""


def check_full(folder, backend, most):
    path = os.path.join(folder, "results.ckpt")
    ended = finish(start_program("-c", FULL, path, backend, most, env=runs.ENV))
    said, count = ended.lines
    assert said.split() in (["OperationalError", "True"], ["DatabaseError", "True"]), ended
    assert int(count) < 400
    return path, int(count)


# A pool of processes needs files, too.
@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_a_file_that_may_not_grow(backend, tmp_path):
    path, count = check_full(tmp_path, backend, 300_000)
    # What is missing was handed out: it was in flight when it could not be written.
    assert 0 < len(kept(path)) <= count
    # With more room the run goes on.
    ended = finish(start_program("-c", FULL, path, backend, 0, env=runs.ENV))
    assert ended.lines == ["400"]
    assert len(kept(path)) == 400


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_full_disk(backend, tmp_path, tmp_path_factory):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        _, count = check_full(tmp_path, backend, 0)
        roomy = tmp_path_factory.mktemp("roomy")
        for name in os.listdir(tmp_path):
            shutil.copy(tmp_path / name, roomy / name)
        assert 0 < len(kept(str(roomy / "results.ckpt"))) <= count
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_result_that_cannot_be_kept_is_handed_out(path):
    """And then the map ends, since the next run would not have it."""
    call = functools.partial(runs.lock_on, bad=3)
    got = []
    with pytest.raises(plait.CheckpointError, match="result of item 3"):
        for each in plait.map(call, range(10), backend="threads", workers=2, checkpoint=path):
            got.append(each)
    assert got[:3] == [0, 1, 2] and type(got[3]) is type(threading.Lock())
    assert set(kept(path)) == {n for n in range(len(got)) if n != 3}
