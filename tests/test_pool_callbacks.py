"""Callbacks of `plait.Pool` and `plait.ThreadPool`: their thread, their order, and who waits for them."""

import threading

import plait
import pytest
import workloads as w
from outside import until


@pytest.fixture(params=["Pool", "ThreadPool"])
def kind(request):
    return getattr(plait, request.param)


@pytest.fixture
def pool(kind):
    with kind(2) as pool:
        yield pool
    pool.join()


def test_the_one_that_is_due_is_called(pool):
    good, bad = [], []
    told = {"callback": good.append, "error_callback": bad.append}
    assert pool.apply_async(w.add_one, (1,), **told).get() == 2
    assert pool.map_async(w.add_one, [1, 2, 3], 2, **told).get() == [2, 3, 4]
    assert pool.starmap_async(w.add, [(1, 2)], **told).get() == [3]
    assert pool.map_async(w.add_one, [], **told).get() == []
    assert (good, bad) == ([2, [2, 3, 4], [3], []], [])
    results = [
        pool.apply_async(w.fail, ("one",), **told),
        pool.map_async(w.fail, ["two", "three"], 1, **told),
    ]
    for result in results:
        with pytest.raises(ValueError) as caught:
            result.get()
        assert caught.value in bad
    assert len(good) == 4 and sorted(map(str, bad)) == ["one", "two"]


def test_one_of_them_is_enough(pool):
    told = []
    assert pool.apply_async(w.add_one, (1,), error_callback=told.append).get() == 2
    with pytest.raises(ValueError):
        pool.apply_async(w.fail, callback=told.append).get()
    assert told == []


def test_who_waits_waits_for_the_callback(pool):
    go, begun = threading.Event(), threading.Event()

    def slow(value):
        begun.set()
        go.wait()

    result = pool.apply_async(w.add_one, (1,), callback=slow)
    begun.wait()
    assert not result.ready()
    result.wait(0.01)
    assert not result.ready()
    import multiprocessing

    with pytest.raises(multiprocessing.TimeoutError):
        result.get(0.01)
    go.set()
    result.wait()
    assert result.ready() and result.successful() and result.get() == 2


def test_they_run_on_one_thread_that_is_not_the_callers(pool):
    threads, busy, overlaps = set(), threading.Lock(), []

    def note(_):
        overlaps.append(not busy.acquire(blocking=False))
        threads.add(threading.current_thread())
        busy.release()

    for result in [pool.apply_async(w.identity, (x,), callback=note) for x in range(200)]:
        result.wait()
    assert len(overlaps) == 200 and not any(overlaps)
    [thread] = threads
    assert thread is not threading.current_thread() and thread.daemon


def test_they_run_in_the_order_in_which_calls_end(kind, tmp_path):
    from conftest import Gate

    gates = [Gate(tmp_path / str(x)) for x in range(3)]
    for x in range(3):
        (tmp_path / str(x)).mkdir()
    order = []
    with gates[0], gates[1], gates[2], kind(3) as pool:
        results = [
            pool.apply_async(w.pass_gate, (gate.folder, "x", x), callback=order.append)
            for x, gate in enumerate(gates)
        ]
        for x in (2, 0, 1):
            gates[x].open()
            results[x].wait()
    assert order == [2, 0, 1]


def test_one_may_call_the_pool(pool):
    got = []

    def more(value):
        if value < 5:
            pool.apply_async(w.add_one, (value,), callback=more)
        got.append(value)

    pool.apply_async(w.add_one, (0,), callback=more)
    until(lambda: got == [1, 2, 3, 4, 5], lambda: f"five callbacks, not {got}")


def test_one_may_hold_a_lock_of_the_callers(pool):
    """A call that has ended before `apply_async` returns runs no callback there."""
    lock, got = threading.Lock(), []

    def note(value):
        with lock:
            got.append(value)

    for x in range(300):
        with lock:
            result = pool.apply_async(w.identity, (x,), callback=note)
    result.wait()
    until(lambda: len(got) == 300, "all callbacks")


def test_one_that_raises_stops_nothing(pool, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))

    def fail(_):
        raise OSError("no")

    result = pool.apply_async(w.add_one, (1,), callback=fail)
    assert result.get() == 2 and [str(error) for error in told] == ["no"]
    again = []
    assert pool.map_async(w.add_one, [1], callback=again.append).get() == [2]
    assert again == [[2]]


def test_joining_waits_for_them(kind):
    got = []

    def slow(value):
        threading.Event().wait(0.01)
        got.append(value)

    pool = kind(2)
    for x in range(20):
        pool.apply_async(w.identity, (x,), callback=slow)
    pool.close()
    pool.join()
    assert sorted(got) == list(range(20))

    def names():
        return [thread.name for thread in threading.enumerate()]

    until(lambda: "plait-callbacks" not in names(), lambda: f"the end of one of {names()}")


def test_one_may_close_and_join_the_pool(kind):
    pool, done = kind(1), threading.Event()

    def end(_):
        pool.close()
        pool.join()
        done.set()

    pool.apply_async(w.nothing, callback=end)
    until(done.is_set, "the end of the pool")


def test_a_terminated_pool_calls_none(kind, gate):
    got = []
    with kind(1) as pool:
        results = [pool.apply_async(w.pass_gate, (gate.folder, "a"), callback=got.append) for _ in range(3)]
        several = pool.map_async(w.pass_gate, [], error_callback=got.append)
        several.wait()
        gate.wait_for("a")
        pool.terminate()
        gate.open()
    for result in results:
        result.wait()
        assert result.ready()
    pool.join()
    assert got == []


def test_no_thread_without_callbacks(pool):
    before = set(threading.enumerate())
    pool.map_async(w.add_one, range(10)).get()
    list(pool.imap(w.add_one, range(10)))
    pool.apply_async(w.add_one, (1,)).get()
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("plait-")]
