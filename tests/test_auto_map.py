"""`plait.map` with backend "auto": whatever it chooses, each item is called once, results come in order."""

import itertools
import os
import threading
import time

import plait
import pytest
import workloads as w
from outside import run_program, until
from plait._auto import deciding, priors, probe

pytestmark = pytest.mark.once


def spin(n):
    """Python code that holds the GIL."""
    total = 0
    for i in range(n):
        total += i * i
    return total


def nap(seconds):
    time.sleep(seconds)
    return seconds


def note(path, number, work=0):
    """Notes that it was called."""
    with open(path, "a") as file:
        file.write(f"{number}\n")
    spin(work)
    return number


def fail_at(limit, number):
    if number == limit:
        raise ValueError(f"no {limit}")
    return number


KINDS = {
    "tiny": (w.add_one, list(range(20_000))),
    "one": (w.add_one, [1]),
    "python": (spin, [30_000] * 60),
    "waiting": (nap, [0.004] * 60),
    "first long": (nap, [0.1, *[0.001] * 30]),
    "last long": (nap, [*[0.001] * 30, 0.1]),
    "unlike": (spin, [10, 10, 10, 200_000, 10, 300_000] * 8),
}


@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_those_of_a_plain_loop(kind, sized):
    fn, items = KINDS[kind]
    given = items if sized else iter(items)
    assert list(plait.map(fn, given, backend="auto")) == [fn(item) for item in items]


def test_several_iterables():
    assert list(plait.map(w.add, range(5000), itertools.count(10), backend="auto")) == [
        2 * n + 10 for n in range(5000)
    ]


@pytest.mark.parametrize(
    "options", [{}, {"workers": 2}, {"chunksize": 3}, {"buffersize": 4}, {"retries": 1}, {"timeout": 60}]
)
def test_no_items(options):
    assert list(plait.map(w.add_one, [], backend="auto", **options)) == []
    assert list(plait.map(w.add_one, [1, 2, 3], backend="auto", **options)) == [2, 3, 4]


@pytest.mark.parametrize("work", [0, 20_000])
def test_each_item_is_called_once(tmp_path, work):
    path = tmp_path / "calls"
    count = 200
    results = list(plait.map(note, [path] * count, range(count), [work] * count, backend="auto"))
    assert results == list(range(count))
    assert sorted(int(line) for line in path.read_text().split()) == list(range(count))


@pytest.mark.parametrize("limit", [0, 1, 5, 700, 60_000])
def test_what_came_before_an_exception_is_handed_out(limit):
    results = plait.map(fail_at, itertools.repeat(limit), range(100_000), backend="auto")
    assert list(itertools.islice(results, limit)) == list(range(limit))
    with pytest.raises(ValueError, match=f"no {limit}"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("fn", [w.add_one, nap])
def test_what_the_input_raises_comes_after_the_results_before_it(fn):
    def items():
        yield from [0.001] * 40
        raise LookupError("the input is over")

    results = plait.map(fn, items(), backend="auto")
    assert list(itertools.islice(results, 40)) == [fn(0.001)] * 40
    with pytest.raises(LookupError, match="the input is over"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("fn", [w.add_one, nap, spin])
def test_an_endless_input_is_read_as_it_is_asked_for(fn):
    read = []

    def items():
        for n in itertools.count():
            read.append(n)
            yield 0 if fn is nap else n

    results = plait.map(fn, items(), backend="auto", buffersize=50)
    first = list(itertools.islice(results, 200))
    assert first == [fn(0 if fn is nap else n) for n in range(200)]
    assert len(read) <= 250
    results.close()
    assert list(results) == []


def test_a_slow_input_does_not_hold_results_back():
    """Results of what was read come while the input waits for more."""
    more = threading.Event()

    def items():
        yield from range(1000)
        assert more.wait(60)
        yield from range(1000, 1010)

    results = plait.map(w.add_one, items(), backend="auto", buffersize=16)
    first = [next(results) for _ in range(900)]
    more.set()
    assert first + list(results) == list(range(1, 1011))


def test_a_map_that_nobody_looks_at_runs(tmp_path, monkeypatch):
    # Where other programs take the processor away from the first call, the others would go elsewhere; those
    # that have not begun on threads do not outlive the iterator, and serially none begins unasked.
    monkeypatch.setattr(probe, "_ENOUGH", 60.0)
    monkeypatch.setattr(probe, "_LONGEST", 60.0)
    path = tmp_path / "calls"
    results = plait.map(note, [path] * 3, range(3), backend="auto")
    until(lambda: sorted(path.read_text().split()) == ["0", "1", "2"], "three calls")
    assert list(results) == [0, 1, 2]


def goes(fn, items, is_it):
    """Waits until the choice for a map is so: other programs on the machine change its figures."""

    def once():
        results = plait.map(fn, items, backend="auto")
        chosen.append(results.choice)
        assert len(list(results)) == len(items)
        return is_it(chosen[-1])

    chosen = []
    until(once, lambda: f"another choice than {chosen[-3:]}")


def test_waiting_goes_to_threads():
    goes(nap, [0.02] * 60, lambda choice: choice.backend == "threads" and choice.workers > 2)


@pytest.mark.skipif(plait.cpu_count() < 2, reason="one processor")
def test_python_code_goes_to_processes():
    goes(spin, [100_000] * 200, lambda choice: choice.backend == "processes" and choice.workers >= 2)
    assert os.getpid() in {pid for pid in plait.map(pid_after_spin, [30_000] * 100, backend="auto")}


def pid_after_spin(n):
    spin(n)
    return os.getpid()


def test_little_work_stays_here():
    results = plait.map(pid_after_spin, [10] * 100, backend="auto")
    assert set(results) == {os.getpid()}
    assert results.choice.backend == "serial"


def test_one_processor_keeps_python_code_here():
    code = """
import plait, os
def spin(n):
    for i in range(n): pass
    return os.getpid()
results = plait.map(spin, [50_000] * 60, backend="auto")
print(results.choice.backend, set(results) == {os.getpid()})
"""

    def stays():
        # Where other programs take the processor away from a call, it looks as if it waited.
        return run_program("-c", code, env={"PLAIT_MAX_WORKERS": "1"}).lines == ["serial True"]

    until(stays, "a map that stays here")


@pytest.mark.parametrize("backend_workers", [1, 3])
def test_workers_that_were_asked_for_are_kept(backend_workers):
    results = plait.map(nap, [0.01] * 40, backend="auto", workers=backend_workers)
    assert results.choice.workers <= backend_workers
    assert len(list(results)) == 40


def test_what_changes_a_list_of_its_caller_stays_here():
    seen = []

    def keep(n):
        spin(20_000)
        seen.append(n)
        return n

    results = plait.map(keep, range(200), backend="auto")
    assert list(results) == list(range(200))
    assert sorted(seen) == list(range(200))
    assert results.choice.backend in ("serial", "threads")
    assert "seen" in str(results.choice)


def test_what_cannot_be_sent_stays_here():
    lock = threading.Lock()

    def locked(n):
        with lock:
            return spin(20_000) + n

    results = plait.map(locked, range(100), backend="auto")
    assert list(results) == [spin(20_000) + n for n in range(100)]
    assert results.choice.backend in ("serial", "threads")


def test_a_function_that_says_it_shares_state_stays_here():
    results = plait.map(plait.task(pid_after_spin, shares_state=True), [20_000] * 100, backend="auto")
    assert set(results) == {os.getpid()}


def test_a_first_part_that_waits_and_a_second_that_computes():
    items = [("nap", 0.005)] * 60 + [("spin", 60_000)] * 120 + [("nap", 0.001)] * 60

    def either(kind, amount):
        return (nap if kind == "nap" else spin)(amount)

    expected = [amount if kind == "nap" else spin(amount) for kind, amount in items]
    assert list(plait.map(either, *zip(*items, strict=True), backend="auto")) == expected


def test_maps_within_maps():
    def inner(n):
        return sum(plait.map(w.add_one, range(n), backend="auto"))

    assert list(plait.map(inner, range(60), backend="auto")) == [sum(range(1, n + 1)) for n in range(60)]
    expected = [sum(range(1, n + 1)) for n in range(20)]
    assert list(plait.map(inner, range(20), backend="processes", workers=2)) == expected
    assert list(plait.map(inner, range(20), backend="threads", workers=2)) == expected


def test_many_maps_at_once():
    answers = []

    def run(n):
        answers.append(list(plait.map(nap if n % 2 else w.add_one, [0.001] * 30, backend="auto")))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(answer) for answer in answers) == [30] * 8


def test_maps_leave_few_threads_behind():
    # In a program of its own: executors that choose have such threads, too.
    code = """
import threading, time
import plait

def nap(seconds):
    time.sleep(seconds)

for _ in range(3):
    list(plait.map(nap, [0.01] * 120, backend="auto"))
for _ in range(4000):
    kept = sum(thread.name.startswith("plait-auto") for thread in threading.enumerate())
    if kept <= 44:
        break
    time.sleep(0.01)
print(kept <= 44)
"""
    assert run_program("-c", code).lines == ["True"]


def test_an_earlier_map_of_a_function_is_remembered_and_not_trusted_blindly():
    def either(n):
        return spin(n) if n else 0

    expected = [spin(20_000)] * 60

    def is_remembered():
        # On a busy machine too few calls are measured at times.
        results = plait.map(either, [20_000] * 60, backend="auto")
        assert list(results) == expected
        return "an earlier map" in str(results.choice)

    until(is_remembered, "a map that knows of an earlier one")
    other = plait.map(either, [0] * 2000, backend="auto")
    assert other.choice.backend == "serial"
    assert list(other) == [0] * 2000


@pytest.mark.quiet
def test_the_next_map_begins_with_the_threads_that_an_earlier_one_found():
    def wait(n):
        time.sleep(0.005)
        return n

    def begins_wide():
        results = plait.map(wait, range(800), backend="auto")
        begun = results.choice.workers
        assert list(results) == list(range(800))
        return begun > 16

    begins_wide()
    until(begins_wide, "a map that begins with more threads")


@pytest.mark.quiet
def test_a_slow_start_of_each_thread_does_not_keep_their_number_down():
    local = threading.local()

    def talk(n):
        if not hasattr(local, "session"):
            time.sleep(0.05)
            local.session = threading.get_ident()
        time.sleep(0.004)
        return local.session

    until(lambda: len(set(plait.map(talk, range(600), backend="auto"))) > 16, "more than 16 threads")


def test_where_a_map_was_moved_to_is_remembered(monkeypatch):
    def wait(n):
        time.sleep(0.002)
        return n

    def move(choice, figures, machine, bounds, switches):
        return None if switches else choice | {"backend": "serial", "workers": 1}

    monkeypatch.setattr(deciding, "revise", move)
    # On a busy machine a call may take far longer than the others, and only few be measured.
    monkeypatch.setattr(priors, "_UNEVEN", 1e9)
    monkeypatch.setattr(priors, "_FEWEST", 0)
    moved = plait.map(wait, range(300), workers=2, backend="auto")
    assert moved.choice.backend == "threads"
    assert list(moved) == list(range(300))
    assert moved.choice.backend == "serial"
    assert priors.get(wait)["settled"] == "serial"


def test_a_remembered_function_may_share_state_this_time():
    def build():
        seen = []

        def keep(n, into=None):
            spin(10_000)
            (seen if into is None else into).append(n)
            return n

        return seen, keep

    for _ in range(2):
        seen, keep = build()
        assert list(plait.map(keep, range(80), backend="auto")) == list(range(80))
        assert sorted(seen) == list(range(80))
