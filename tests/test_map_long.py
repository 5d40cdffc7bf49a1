"""`plait.map` with errors, order and progress of its own, on every backend and in every combination."""

import functools
import itertools
import signal
import subprocess
import sys
import threading

import long_runs as runs
import plait
import pytest
import workloads as w
from long_maps import BACKENDS
from long_maps import pmap as pmap
from outside import finish, start_program, until

pytestmark = pytest.mark.once


def limits_of(pmap, name):
    """Options that hold calls to limits, where the backend has them."""
    limits = {"none": {}, "timeout": {"timeout": 30}, "retries": {"retries": 1}}[name]
    if pmap.backend == "serial" and "timeout" in limits:
        pytest.skip("the serial backend has no timeout")
    return limits


def shown(results):
    """Results, with exceptions as what they say."""
    return [str(each) if isinstance(each, Exception) else each for each in results]


# --- errors


RETURNED = [f"item {n}" if n % 2 else n * 10 for n in range(60)]
SKIPPED = [n * 10 for n in range(0, 60, 2)]


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
@pytest.mark.parametrize("limits", ["none", "timeout", "retries"])
@pytest.mark.parametrize(
    "room", [{}, {"buffersize": 3}, {"chunksize": 7}, {"buffersize": 5, "chunksize": 7}], ids=str
)
def test_errors_are_returned_or_skipped(pmap, ordered, limits, room):
    options = {"ordered": ordered, **limits_of(pmap, limits), **room}
    arrange = list if ordered else functools.partial(sorted, key=str)
    returned = pmap(runs.odd_fails, range(60), errors="return", **options)
    assert arrange(shown(returned)) == arrange(RETURNED)
    skipped = pmap(runs.odd_fails, iter(range(60)), errors="skip", **options)
    assert arrange(skipped) == arrange(SKIPPED)
    assert returned.failed == skipped.failed == 30


@pytest.mark.parametrize("errors", ["return", "skip"])
@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
@pytest.mark.parametrize("limits", ["none", "timeout", "retries"])
def test_endless_inputs(pmap, errors, ordered, limits):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            yield taken
            taken += 1

    results = pmap(
        runs.odd_fails, endless(), errors=errors, ordered=ordered, buffersize=6, **limits_of(pmap, limits)
    )
    first = [next(results) for _ in range(40)]
    assert len(first) == 40
    # Read a little ahead: what was handed out, what was left out, and as many as may be out.
    assert taken <= 40 * (2 if errors == "skip" else 1) + 40
    if ordered:
        assert shown(first) == (
            SKIPPED + [600 + 20 * n for n in range(10)] if errors == "skip" else RETURNED[:40]
        )
    results.close()
    assert list(results) == []


@pytest.mark.parametrize(
    "options", [{"progress": lambda counts: None}, {"ordered": False}], ids=["progress", "order"]
)
def test_raising_is_as_ever(pmap, options):
    """What comes before the first failure is handed out, where there is an order; then it is raised, once."""
    results = pmap(functools.partial(_bad_fifth), range(60), **options)
    got = []
    with pytest.raises(ValueError, match="item 5"):
        for result in results:
            got.append(result)
    assert list(results) == []
    if options.get("ordered", True):
        assert got == [0, 10, 20, 30, 40]
    assert set(got) <= {n * 10 for n in range(60) if n != 5}


def _bad_fifth(x):
    return runs.fails_on(x, 5)


def test_an_exception_comes_with_where_it_was_raised(pmap):
    [error] = pmap(runs.odd_fails, [1], errors="return")
    assert type(error) is ValueError
    import traceback

    assert "odd_fails" in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("errors", ["return", "skip"])
def test_what_an_input_raises_ends_the_map(pmap, errors):
    def inputs():
        yield from range(9)
        raise OSError("no item 9")

    got = []
    with pytest.raises(OSError, match="no item 9"):
        for result in pmap(runs.odd_fails, inputs(), errors=errors):
            got.append(result)
    assert shown(got) == (RETURNED[:9] if errors == "return" else SKIPPED[:5])


@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
@pytest.mark.parametrize("chunksize", [None, 4])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_dead_worker_is_one_failure(tmp_path, ordered, chunksize, retries):
    call = functools.partial(runs.dies_on, str(tmp_path), bad=10)
    results = plait.map(
        call, range(30), backend="processes", workers=2, ordered=ordered, errors="return",
        chunksize=chunksize, retries=retries,
    )  # fmt: skip
    got = list(results)
    [died] = [each for each in got if isinstance(each, Exception)]
    assert type(died) is plait.WorkerDied and died.signal == signal.SIGKILL
    assert sorted(each for each in got if each is not died) == [n for n in range(30) if n != 10]
    if ordered:
        assert got.index(died) == 10
    assert set(runs.noted(tmp_path)) == set(range(30))


@pytest.mark.parametrize("backend", ["threads", "processes", "auto"])
@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as they come"])
def test_a_call_over_its_time_is_one_failure(backend, ordered):
    call = functools.partial(w.sleep) if backend == "threads" else functools.partial(runs.sleeps_on, bad=4)
    # A thread that is abandoned goes on, and the end of the tests would wait for it.
    items = [0.0, 0.0, 1.5, 0.0] if backend == "threads" else range(8)
    results = list(
        plait.map(call, items, backend=backend, workers=2, ordered=ordered, errors="return", timeout=0.3)
    ) if backend != "auto" else list(
        plait.map(w.sleep, [0.0, 0.0, 1.5, 0.0], workers=2, ordered=ordered, errors="return", timeout=0.3)
    )  # fmt: skip
    failed = [each for each in results if isinstance(each, Exception)]
    assert [type(each) for each in failed] == [plait.TaskTimeout]
    assert len(results) == (8 if backend == "processes" else 4)


def test_retries_come_before_errors(pmap, tmp_path):
    call = functools.partial(runs.fails_at_first, str(tmp_path))
    assert list(pmap(call, range(12), retries=1, errors="skip")) == list(range(12))


def test_what_cannot_be_sent_is_one_failure():
    items = [0, 1, threading.Lock(), 3]
    got = list(plait.map(w.identity, items, backend="processes", workers=2, errors="return", chunksize=4))
    assert got[:2] == [0, 1] and got[3] == 3
    assert type(got[2]) is plait.NotPicklable
    call = functools.partial(runs.lock_on, bad=2)
    got = list(plait.map(call, range(5), backend="processes", workers=2, errors="return", chunksize=5))
    assert type(got.pop(2)) is plait.NotPicklable
    assert got == [0, 1, 3, 4]


@pytest.mark.parametrize("errors", ["raise", "skip"])
def test_a_function_that_cannot_be_sent_is_no_matter_of_items(errors):
    lock = threading.Lock()
    with pytest.raises(plait.NotPicklable):
        list(
            plait.map(lambda x: lock, range(9), backend="processes", workers=2, errors=errors, ordered=False)
        )


def test_keyboard_interrupts_are_no_errors_of_calls():
    for backend in ("serial", "auto"):
        with pytest.raises(KeyboardInterrupt):
            list(plait.map(_interrupted, range(3), backend=backend, errors="skip"))


def _interrupted(x):
    raise KeyboardInterrupt


def test_within_a_call_of_a_map():
    def outer(n):
        inner = plait.map(runs.odd_fails, range(n, n + 10), backend="processes", errors="skip", ordered=False)
        return sum(inner)

    got = list(
        plait.map(outer, range(0, 40, 10), backend="processes", workers=2, progress=lambda counts: None)
    )
    assert got == [sum(10 * x for x in range(n, n + 10, 2)) for n in range(0, 40, 10)]


def test_a_choosing_map_within_a_call():
    def outer(n):
        durations = [0.06, *[0.001] * 40]
        inner = plait.map(w.sleep, durations, errors="return", progress=lambda counts: None)
        return len(list(inner)) + n

    assert list(plait.map(outer, range(4), backend="processes", workers=2, errors="skip")) == [41, 42, 43, 44]


# --- order


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_results_as_they_come(backend, gate):
    """The first item ends only when the others have been handed out."""
    names = ["held", *[None] * 5]
    results = plait.map(
        runs.open_gate, [gate.folder] * 6, names, range(6), backend=backend, workers=2, ordered=False
    )
    assert sorted(next(results) for _ in range(5)) == [1, 2, 3, 4, 5]
    gate.open()
    assert list(results) == [0]


def test_all_come_once_in_whatever_order(pmap):
    assert sorted(pmap(runs.double, range(3000), ordered=False)) == list(range(0, 6000, 2))


def test_auto_tells_its_choice(pmap):
    results = pmap(w.sleep, [0.001] * 60, ordered=False)
    assert len(list(results)) == 60
    if pmap.backend == "auto":
        assert isinstance(results.choice, plait.Choice)
    else:
        assert results.choice is None


def test_serial_calls_when_it_is_asked():
    called = []
    results = plait.map(called.append, range(5), backend="serial", errors="skip")
    assert called == []
    next(results)
    assert called == [0]
    results = plait.map(called.append, range(5), backend="serial", errors="skip", buffersize=4)
    next(results)
    assert called == [0, 0]


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_calls_start_before_anybody_asks(backend, gate):
    results = plait.map(
        w.pass_gate, [gate.folder] * 2, ["a", "b"], backend=backend, workers=2, ordered=False, chunksize=1
    )
    gate.wait_for("a", "b")
    gate.open()
    assert list(results) == [None, None]


# --- ends


CTRL_C = """
import os, signal, sys, threading, plait, workloads
folder, backend = sys.argv[1:]
def tell():
    while not os.path.exists(os.path.join(folder, "entered-a")):
        pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=tell, daemon=True).start()
try:
    list(plait.map(workloads.pass_gate, [folder] * 3, "abc", backend=backend, workers=2, ordered=False,
                   progress=lambda counts: None, errors="skip"))
except KeyboardInterrupt:
    print("heard", flush=True)
open(os.path.join(folder, "open"), "w").close()
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_ends_the_wait(backend, tmp_path):
    ended = finish(start_program("-c", CTRL_C, tmp_path, backend, env=runs.ENV))
    assert (ended.code, ended.out, ended.err) == (0, "heard\n", ""), ended


LEFT = """
import itertools, sys, plait, long_runs
results = plait.map(long_runs.double, itertools.count(), backend=sys.argv[1], workers=2, ordered=False,
                    progress=True, checkpoint=sys.argv[2])
print(next(results))
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_program_ends_while_a_map_is_on_its_way(backend, tmp_path):
    ended = finish(start_program("-c", LEFT, backend, tmp_path / "results.ckpt", env=runs.ENV))
    assert ended.code == 0 and ended.out.strip().isdigit(), ended
    assert "Traceback" not in ended.err and "Exception" not in ended.err, ended


@pytest.mark.parametrize("how", ["close", "drop"])
def test_an_iterator_that_is_left_stops_what_was_not_begun(pmap, how):
    closed = threading.Event()

    def inputs():
        try:
            yield from itertools.count()
        finally:
            closed.set()

    results = pmap(runs.double, inputs(), ordered=False, errors="skip")
    next(results)
    if how == "close":
        results.close()
        assert list(results) == []
    else:
        del results
    until(closed.is_set, "the end of the input's generator")
    assert list(pmap(runs.double, [1])) == [2]


# --- what is asked for


@pytest.mark.parametrize(
    "options, kind",
    [
        ({"errors": "ignore"}, ValueError),
        ({"errors": None}, ValueError),
        ({"ordered": 1}, TypeError),
        ({"ordered": None}, TypeError),
        ({"progress": "yes"}, TypeError),
        ({"checkpoint": 3.5}, TypeError),
        ({"checkpoint": ""}, ValueError),
    ],
    ids=str,
)
def test_what_cannot_be_meant(pmap, options, kind):
    [name] = options
    with pytest.raises(kind, match=name):
        pmap(runs.double, [1], **options)


def test_serial_has_no_timeout():
    with pytest.raises(ValueError, match="timeout"):
        plait.map(runs.double, [1], backend="serial", timeout=1, errors="skip")


@pytest.mark.usefixtures("uncounted")
def test_a_plain_map_loads_nothing_of_this():
    code = "import plait, sys; list(plait.map(abs, [1], backend='serial', progress=False)); "
    code += "print([name for name in sys.modules if '_long' in name or 'tqdm' in name or 'sqlite' in name])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
