"""`plait.map` on every backend: order, laziness, errors where they belong, and the pools it keeps."""

import gc
import itertools
import os
import threading

import plait
import pytest
import workloads as w
from outside import until

# Kept pools of two workers each, whatever the machine: the same for all tests here.
WORKERS = 2


@pytest.fixture
def pmap(backend):
    """`plait.map` on each backend, with two workers."""

    def pmap(fn, *iterables, **options):
        return plait.map(fn, *iterables, backend=backend, **{"workers": WORKERS, **options})

    return pmap


@pytest.fixture(params=["threads", "processes"])
def parallel(request):
    """The same on the backends whose calls run beside the caller."""

    def parallel(fn, *iterables, **options):
        return plait.map(fn, *iterables, backend=request.param, **{"workers": WORKERS, **options})

    parallel.backend = request.param
    return parallel


def on_processes(fn, *iterables, **options):
    """The same on processes."""
    return plait.map(fn, *iterables, backend="processes", workers=WORKERS, **options)


class Source:
    """Numbers without end (or up to one that raises), counting how many were taken."""

    def __init__(self, raises_at=None):
        self.taken = 0
        self.closed = False
        self.raises_at = raises_at

    def __iter__(self):
        try:
            for n in itertools.count():
                if n == self.raises_at:
                    raise OSError(f"no item {n}")
                self.taken += 1
                yield n
        finally:
            self.closed = True


# --- results


def test_results_come_in_order(pmap):
    assert list(pmap(w.add_one, range(1000))) == list(range(1, 1001))


def test_an_iterator_like_the_builtin(pmap):
    results = pmap(w.add_one, [1, 2])
    assert iter(results) is results
    assert (next(results), next(results)) == (2, 3)
    for _ in range(2):
        with pytest.raises(StopIteration):
            next(results)


def test_several_iterables_end_with_the_shortest(pmap):
    assert list(pmap(w.add, range(10), [10, 20, 30])) == [10, 21, 32]
    assert list(pmap(w.arguments, "ab", itertools.count(), (True, False, None))) == [
        (("a", 0, True), {}),
        (("b", 1, False), {}),
    ]
    assert list(pmap(pow, itertools.count(), [2] * 200)) == [n**2 for n in range(200)]


@pytest.mark.parametrize("empty", [[], (), "", {}, iter([]), range(0)], ids=repr)
def test_nothing_in_nothing_out(pmap, empty):
    assert list(pmap(w.add_one, empty)) == []


@pytest.mark.parametrize(
    "items",
    [[3, 1, 2], (3, 1, 2), {3: 0, 1: 0, 2: 0}, {3, 1, 2}, "312", b"312", range(3)],
    ids=repr,
)
def test_any_iterable_will_do(pmap, items):
    assert list(pmap(w.identity, items)) == list(items)
    assert list(pmap(w.identity, iter(items))) == list(items)


def test_items_that_are_tuples_stay_one_argument(pmap):
    assert list(pmap(w.identity, [(1, 2), (3,), ()])) == [(1, 2), (3,), ()]


@pytest.mark.parametrize("chunksize", [1, 2, 7, 1000])
def test_chunks_do_not_show(pmap, chunksize):
    assert list(pmap(w.add_one, range(100), chunksize=chunksize)) == list(range(1, 101))
    assert list(pmap(w.add, range(100), range(100), chunksize=chunksize)) == list(range(0, 200, 2))


def test_functions_by_value(pmap):
    offset = 5
    assert list(pmap(lambda x: x + offset, range(100))) == list(range(5, 105))
    assert list(pmap(w.Counter(3).plus, range(10))) == list(range(3, 13))
    assert list(pmap(w.tenfold, range(10))) == list(range(0, 100, 10))


def test_a_hundred_thousand_items(parallel):
    assert sum(parallel(w.add_one, range(100_000))) == sum(range(1, 100_001))


def test_items_of_very_different_lengths_keep_their_order(parallel):
    durations = [0.02 if n % 50 == 0 else 0 for n in range(200)]
    assert list(parallel(w.sleep, durations)) == durations


def test_big_items(parallel):
    items = [w.blob(1_000_000 + n) for n in range(10)]
    assert list(parallel(w.identity, items)) == items
    assert list(parallel(w.blob, [3_000_000] * 5)) == [w.blob(3_000_000)] * 5


# --- laziness


def test_an_endless_input_is_read_a_little_ahead(pmap):
    source = Source()
    results = pmap(w.add_one, source)
    assert [next(results) for _ in range(10)] == list(range(1, 11))
    assert source.taken < 50_000
    # However long nobody asks for results, no more is read.
    taken = source.taken
    until(lambda: list(pmap(w.add_one, range(50))), "other work, done in the meantime")
    assert source.taken == taken
    del results


def test_buffersize_bounds_the_reading(pmap):
    source = Source()
    results = pmap(w.add_one, source, buffersize=8)
    for n in range(100):
        assert next(results) == n + 1
        assert source.taken <= n + 9


def test_buffersize_below_the_chunksize_still_moves(pmap):
    source = Source()
    results = pmap(w.add_one, source, buffersize=2, chunksize=10)
    assert [next(results) for _ in range(50)] == list(range(1, 51))
    assert source.taken <= 70


def test_calls_start_before_anybody_asks(parallel, gate):
    results = parallel(w.pass_gate, [gate.folder] * 2, ["a", "b"], chunksize=1)
    gate.wait_for("a", "b")
    gate.open()
    assert list(results) == [None, None]


def test_a_slow_input_does_not_hold_results_back(parallel):
    """With room for one item ahead, a result is there though the input would block after the next item."""
    blocked = threading.Event()

    def slow():
        yield 1
        yield 2
        assert blocked.wait(60)
        yield 3

    results = parallel(w.add_one, slow(), buffersize=1, chunksize=1)
    assert next(results) == 2
    blocked.set()
    assert list(results) == [3, 4]


def test_a_dropped_iterator_closes_its_input_and_stops(pmap):
    source = Source()
    results = pmap(w.add_one, source)
    next(results)
    del results
    until(lambda: gc.collect() is not None and source.closed, "the end of the input's generator")
    assert list(pmap(w.add_one, [1])) == [2]


def test_a_closed_iterator_takes_back_what_has_not_begun(parallel, gate, tmp_path):
    record = tmp_path / "record"

    def work(n):
        if n > 0:
            w.pass_gate(gate.folder, n)
        w.append(record, n)
        return n

    results = parallel(work, range(10), chunksize=1, buffersize=10)
    assert next(results) == 0
    gate.wait_for(1, 2)
    results.close()
    gate.open()
    assert list(results) == []
    # Both workers are free again once these have run.
    assert list(parallel(w.add_one, range(100))) == list(range(1, 101))
    until(lambda: len(record.read_text().split()) == 3, "the end of the calls that had begun")
    assert sorted(record.read_text().split()) == ["0", "1", "2"]


# --- errors


@pytest.mark.parametrize("chunksize", [None, 1, 4, 100])
def test_a_call_that_raises_comes_after_the_results_before_it(pmap, chunksize):
    results = pmap(w.fail_on, range(50), [21] * 50, chunksize=chunksize)
    assert [next(results) for _ in range(21)] == list(range(21))
    with pytest.raises(ValueError, match="item 21"):
        next(results)
    assert list(pmap(w.add_one, range(3))) == [1, 2, 3]


@pytest.mark.parametrize("at", [0, 1, 5, 137])
def test_an_input_that_raises_comes_after_the_results_before_it(pmap, at):
    results = pmap(w.add_one, Source(raises_at=at))
    assert [next(results) for _ in range(at)] == list(range(1, at + 1))
    with pytest.raises(OSError, match=f"no item {at}"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("at", [0, 1, 5, 20])
@pytest.mark.parametrize("chunksize", [None, 1, 4])
def test_an_item_that_cannot_be_sent_comes_after_the_results_before_it(at, chunksize):
    items = [*range(at), threading.Lock(), *range(5)]
    results = on_processes(w.identity, items, chunksize=chunksize)
    assert [next(results) for _ in range(at)] == list(range(at))
    with pytest.raises(plait.NotPicklable):
        next(results)
    assert list(on_processes(w.add_one, range(3))) == [1, 2, 3]


def test_a_result_that_cannot_be_sent_comes_after_the_results_before_it():
    def work(n):
        return threading.Lock() if n == 5 else n

    results = on_processes(work, range(10), chunksize=1)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(plait.NotPicklable):
        next(results)


@pytest.mark.parametrize("bad", ["spark", "nonsense", "", None, 7, "Threads"])
def test_an_unknown_backend_is_one_clear_error(bad):
    with pytest.raises(ValueError) as caught:
        plait.map(w.add_one, [1], backend=bad)
    assert repr(bad) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["workers", "chunksize", "buffersize"])
@pytest.mark.parametrize("bad", [0, -1, 1.5, "2"])
def test_numbers_below_one_are_refused(pmap, name, bad):
    with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1"):
        pmap(w.add_one, [1], **{name: bad})


def test_bad_input_is_refused_at_once(pmap):
    with pytest.raises(TypeError, match=r"needs a function, not int: .*, without calling fn"):
        pmap(w.add_one(1), [1])
    with pytest.raises(TypeError, match="iterable"):
        pmap(w.add_one)
    with pytest.raises(TypeError, match="not iterable"):
        pmap(w.add_one, 5)


# --- where it is called from


@pytest.mark.parametrize("inner", ["serial", "threads", "processes"])
def test_a_map_within_a_call(pmap, inner):
    assert list(pmap(w.sum_by_map, [10, 20], [inner] * 2)) == [55, 210]


def test_maps_from_many_threads(pmap):
    sums = []

    def work(k):
        sums.append(sum(pmap(w.add_one, range(k, k + 500))))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sums) == [sum(range(k + 1, k + 501)) for k in range(8)]


def test_maps_side_by_side(pmap):
    first, second = pmap(w.add_one, itertools.count()), pmap(w.identity, itertools.count())
    for n in range(300):
        assert (next(first), next(second)) == (n + 1, n)


def test_one_iterator_for_many_threads(parallel):
    results = parallel(w.identity, range(2000))
    lock, seen = threading.Lock(), []

    def work():
        while True:
            with lock:
                value = next(results, None)
            if value is None:
                return
            seen.append(value)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(2000))


def test_workers_are_kept_from_map_to_map():
    first = set(on_processes(w.pid, range(200)))
    second = set(on_processes(w.pid, range(200)))
    assert os.getpid() not in first | second
    assert len(first | second) <= WORKERS


def test_workers_follow_the_working_directory(tmp_path, monkeypatch):
    assert {seen["cwd"] for seen in on_processes(lambda _: w.sees(), range(3))} == {os.getcwd()}
    monkeypatch.chdir(tmp_path)
    assert {seen["cwd"] for seen in on_processes(lambda _: w.sees(), range(3))} == {str(tmp_path)}


def test_modules_made_importable_later_are_found(tmp_path, monkeypatch):
    assert list(on_processes(w.add_one, [1])) == [2]
    (tmp_path / "written_later.py").write_text("def double(x):\n    return 2 * x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import written_later

    assert list(on_processes(written_later.double, range(5))) == [0, 2, 4, 6, 8]
