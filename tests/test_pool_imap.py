"""`imap` and `imap_unordered`: how inputs are read, and in what order and when results come."""

import itertools
import multiprocessing
import threading

import plait
import pytest
import workloads as w
from outside import until
from plait._pool import feeds

pytestmark = pytest.mark.once


@pytest.fixture(params=["Pool", "ThreadPool"])
def kind(request):
    return getattr(plait, request.param)


@pytest.fixture
def pool(kind):
    with kind(2) as pool:
        yield pool
    pool.join()


@pytest.fixture(params=["imap", "imap_unordered"])
def method(request):
    return request.param


class Source:
    """An endless input that says how far it was read."""

    def __init__(self):
        self.read = 0

    def __iter__(self):
        for x in itertools.count():
            self.read = x + 1
            yield x


def test_an_endless_input_is_read_a_little_ahead(pool, method):
    source = Source()
    results = getattr(pool, method)(w.identity, source)
    until(lambda: source.read >= feeds.AHEAD, "the input to be read ahead")
    taken = [next(results) for _ in range(5 * feeds.AHEAD)]
    assert len(set(taken)) == len(taken) and max(taken) < len(taken) + 3 * feeds.AHEAD
    if method == "imap":
        assert taken == list(range(len(taken)))
    until(lambda: results._feed.is_waiting, "the end of the reading")
    assert source.read - len(taken) <= 3 * feeds.AHEAD
    pool.terminate()


def test_what_has_a_length_is_done_though_nobody_asks(pool, method):
    class Items(list):
        pass

    n = 3 * feeds.AHEAD
    done = []
    items = Items(range(n))
    results = getattr(pool, method)(w.identity, items)
    until(lambda: results._feed.complete, "the input to be read to its end")
    pool.close()
    pool.join()
    done.extend(results)
    assert sorted(done) == list(range(n))


def test_joining_reads_an_input_to_its_end(pool, method):
    n = 4 * feeds.AHEAD
    results = getattr(pool, method)(w.identity, iter(range(n)))
    pool.close()
    pool.join()
    assert sorted(results) == list(range(n))


def test_calls_are_made_when_nobody_has_the_iterator(pool, method, tmp_path):
    def touch(x):
        if x % 500 == 0:
            (tmp_path / str(x)).touch()

    n = 4 * feeds.AHEAD
    getattr(pool, method)(touch, iter(range(n)))
    pool.close()
    pool.join()
    assert len(list(tmp_path.iterdir())) == len(range(0, n, 500))


def test_an_input_that_waits_for_results(pool, method):
    """As programs do that hold imap back by a semaphore."""
    room = threading.Semaphore(4)

    def items():
        for x in range(100):
            room.acquire()
            yield x

    taken = []
    for value in getattr(pool, method)(w.identity, items()):
        taken.append(value)
        room.release()
    assert sorted(taken) == list(range(100))


def test_a_result_comes_while_the_input_waits_for_its_next_item(pool, method):
    more = threading.Event()

    def items():
        yield 1
        more.wait()
        yield 2

    results = getattr(pool, method)(w.add_one, items())
    assert next(results) == 2
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(0.01)
    more.set()
    assert results.next(60) == 3
    with pytest.raises(StopIteration):
        results.next(0.01)


def test_results_come_in_order(kind, gate):
    with kind(2) as pool:
        calls = [(gate.folder, "slow", 0), (None, None, 1), (None, None, 2)]
        results = pool.imap(gate_or_value, calls)
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(0.01)
        gate.open()
        assert list(results) == [0, 1, 2]


def test_results_come_as_calls_end(kind, gate):
    with kind(2) as pool:
        calls = [(gate.folder, "slow", 0)] + [(None, None, x) for x in range(1, 3000)]
        results = pool.imap_unordered(gate_or_value, calls)
        # All but the one that waits.
        assert sorted(results.next(60) for _ in range(2999)) == list(range(1, 3000))
        with pytest.raises(multiprocessing.TimeoutError):
            results.next(0.01)
        gate.open()
        assert list(results) == [0]


def test_a_slow_one_among_slow_ones_holds_nobody_up(kind, tmp_path):
    from conftest import Gate

    gates = [Gate(tmp_path / str(x)) for x in range(3)]
    for gate in gates:
        (tmp_path / gate.folder).mkdir()
    with gates[0], gates[1], gates[2], kind(3) as pool:
        results = pool.imap_unordered(gate_or_value, [(gate.folder, "x", x) for x, gate in enumerate(gates)])
        for x in (1, 2, 0):
            with pytest.raises(multiprocessing.TimeoutError):
                results.next(0.02)
            gates[x].open()
            assert results.next(60) == x
        with pytest.raises(StopIteration):
            next(results)


def gate_or_value(call):
    folder, name, value = call
    return value if folder is None else w.pass_gate(folder, name, value)


def test_it_goes_on_after_an_exception(pool):
    results = pool.imap(lambda x: 1 // x, [1, 0, 1])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [1]
    results = pool.imap_unordered(lambda x: 1 // x, [0, 1, 0])
    raised, values = 0, []
    for _ in range(3):
        try:
            values.append(next(results))
        except ZeroDivisionError:
            raised += 1
    assert (raised, values, list(results)) == (2, [1], [])


def test_with_chunks_it_ends_with_one(pool):
    results = pool.imap(lambda x: 1 // x, [1, 1, 1, 0, 1, 1], 2)
    assert [next(results), next(results)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == []


def test_several_threads_take_from_one(pool, method):
    results = getattr(pool, method)(w.identity, iter(range(2000)))
    taken = []

    def take():
        for value in results:
            taken.append(value)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(2000))


def test_an_iterator_keeps_its_pool(kind, method):
    pool = kind(1)
    results = getattr(pool, method)(w.identity, iter(range(3000)))
    del pool
    with pytest.warns(ResourceWarning, match="unclosed running"):
        assert sorted(results) == list(range(3000))


def test_an_iterator_of_a_terminated_pool_ends(kind, method):
    from concurrent.futures import CancelledError

    block = threading.Event()

    def items():
        yield 1
        block.wait()

    with kind(1) as pool:
        results = getattr(pool, method)(w.add_one, items())
        assert next(results) == 2
    with pytest.raises(CancelledError, match="the pool was terminated"):
        next(results)
    assert list(results) == []
    block.set()
    pool.join()
