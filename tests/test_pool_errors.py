"""Errors of `plait.Pool` and `plait.ThreadPool`: those that programs written for multiprocessing catch."""

import concurrent.futures
import multiprocessing.pool
import pickle
import threading
import traceback

import hostile_exceptions as hostile
import plait
import pytest
import workloads as w


@pytest.fixture(params=["Pool", "ThreadPool"])
def kind(request):
    return getattr(plait, request.param)


@pytest.fixture
def pool(kind):
    with kind(2) as pool:
        yield pool
    pool.join()


@pytest.fixture
def processes():
    with plait.Pool(2) as pool:
        yield pool
    pool.join()


def ways(pool, function, arg):
    """The calls of one function by each method."""
    return [
        lambda: pool.apply(function, (arg,)),
        lambda: pool.apply_async(function, (arg,)).get(),
        lambda: pool.map(function, [arg]),
        lambda: pool.map(function, [arg, arg, arg], 2),
        lambda: pool.map_async(function, [arg, arg]).get(),
        lambda: pool.starmap(function, [(arg,)]),
        lambda: next(pool.imap(function, [arg])),
        lambda: next(pool.imap(function, [arg], 2)),
        lambda: next(pool.imap_unordered(function, [arg])),
        lambda: next(pool.imap_unordered(function, [arg], 2)),
    ]


def test_what_a_call_raised_is_raised(pool):
    for way in ways(pool, w.fail, "no good"):
        with pytest.raises(ValueError, match="no good"):
            way()


def test_the_workers_traceback_is_the_cause(processes):
    for way in ways(processes, w.fail, "no good"):
        with pytest.raises(ValueError) as caught:
            way()
        cause = caught.value.__cause__
        assert type(cause) is multiprocessing.pool.RemoteTraceback
        assert "in fail" in cause.tb
        assert "in fail" in "".join(traceback.format_exception(caught.value))


def test_threads_have_their_own_traceback():
    with plait.ThreadPool(1) as pool, pytest.raises(ValueError) as caught:
        pool.apply(w.fail)
    assert caught.value.__cause__ is None
    assert "in fail" in "".join(traceback.format_exception(caught.value))


def test_a_result_raises_the_same_each_time(pool):
    for result in (pool.apply_async(w.fail), pool.map_async(w.fail, [1, 2])):
        with pytest.raises(ValueError) as first:
            result.get()
        with pytest.raises(ValueError) as second:
            result.get()
        assert first.value is second.value
        assert result.ready() and not result.successful()


def test_a_map_makes_all_calls_and_raises_what_came_first(pool, tmp_path):
    def note(x):
        (tmp_path / str(x)).touch()
        if x in (3, 7):
            raise ValueError(f"not {x}")

    with pytest.raises(ValueError, match="not 3"):
        pool.map(note, range(20), 1)
    assert len(list(tmp_path.iterdir())) == 20
    with pytest.raises(ValueError, match="not 3"):
        pool.map_async(note, range(20), 1).get()


def test_of_a_chunk_the_rest_is_not_called(pool, tmp_path):
    def note(x):
        (tmp_path / str(x)).touch()
        if x == 3:
            raise ValueError("not 3")

    with pytest.raises(ValueError, match="not 3"):
        pool.map(note, range(20), 5)
    assert len(list(tmp_path.iterdir())) == 19


def test_a_builtin_timeout_of_the_calls_own_is_not_the_pools(pool):
    def late():
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        pool.apply_async(late).get(30)


def test_an_argument_that_cannot_be_sent(processes):
    for way in ways(processes, w.identity, threading.Lock()):
        with pytest.raises(TypeError, match=r"cannot pickle '_thread\.lock' object") as caught:
            way()
        assert isinstance(caught.value, plait.NotPicklable)
        assert isinstance(caught.value, pickle.PicklingError)
        assert caught.value.path
    assert processes.apply(w.add_one, (1,)) == 2


def test_it_is_raised_where_the_result_is_asked_for(processes):
    errors = []
    result = processes.apply_async(w.identity, (threading.Lock(),), error_callback=errors.append)
    with pytest.raises(plait.NotPicklable) as caught:
        result.get()
    assert errors == [caught.value]
    results = processes.imap(w.identity, [1, threading.Lock(), 3])
    assert next(results) == 1
    with pytest.raises(plait.NotPicklable):
        next(results)
    assert list(results) == [3]


def test_such_errors_can_be_pickled(processes):
    for function in (w.identity, w.give_lock):
        with pytest.raises(plait.NotPicklable) as caught:
            processes.apply(*((function, (threading.Lock(),)) if function is w.identity else (function,)))
        again = pickle.loads(pickle.dumps(caught.value))
        assert isinstance(again, plait.NotPicklable) and "cannot pickle" in str(again)


@pytest.mark.parametrize("give", [w.give_lock, w.give_nested_lock, w.give_generator])
def test_a_result_that_cannot_be_sent(processes, give):
    scratch = []
    result = processes.apply_async(give, error_callback=scratch.append)
    with pytest.raises(multiprocessing.pool.MaybeEncodingError, match="Error sending result") as caught:
        result.get()
    assert isinstance(caught.value, plait.NotPicklable)
    assert "cannot pickle" in caught.value.exc and "result" in caught.value.value
    assert scratch == [caught.value]
    assert processes.apply(w.add_one, (1,)) == 2


def test_an_exception_that_cannot_be_sent(processes):
    with pytest.raises(multiprocessing.pool.MaybeEncodingError) as caught:
        processes.apply(hostile.raise_class_that_cannot_travel, (None,))
    assert isinstance(caught.value, plait.RemoteError)
    assert caught.value.type_name.endswith("Unsendable") and "cannot go" in caught.value.exc
    assert "raise Unsendable" in str(caught.value.__cause__)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), plait.RemoteError)


def test_an_input_that_raises(pool):
    def items(n):
        yield from range(n)
        raise KeyError("input")

    for method in (pool.map, pool.map_async, pool.starmap, pool.starmap_async):
        with pytest.raises(KeyError, match="input"):
            method(w.add_one, items(3), 1)
    for method in (pool.imap, pool.imap_unordered):
        results = method(w.add_one, items(0))
        with pytest.raises(KeyError, match="input"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
    results = pool.imap(w.add_one, items(3))
    assert [next(results) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(KeyError, match="input") as caught:
        next(results)
    assert caught.value.__cause__ is None
    # A chunk that was not complete is not called.
    results = pool.imap(w.add_one, items(7), 2)
    assert [next(results) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(KeyError, match="input"):
        next(results)


def test_what_has_a_length_and_raises(pool):
    class Items:
        def __len__(self):
            return 3

        def __iter__(self):
            yield 1
            raise KeyError("input")

    with pytest.raises(KeyError, match="input"):
        pool.map(w.add_one, Items())
    result = pool.map_async(w.add_one, Items())
    with pytest.raises(KeyError, match="input"):
        result.get()


def test_what_is_no_iterable(pool):
    for method in (pool.map, pool.map_async, pool.imap, pool.starmap):
        with pytest.raises(TypeError):
            method(w.add_one, 5)
    with pytest.raises(TypeError):
        pool.apply_async(w.add_one, 5).get()
    with pytest.raises(TypeError):
        pool.apply(5)


def test_a_dead_worker_fails_its_call_alone(processes):
    for way in ways(processes, w.exit_self, 5):
        with pytest.raises(plait.WorkerDied, match="code 5") as caught:
            way()
        assert isinstance(caught.value, concurrent.futures.process.BrokenProcessPool)

    def die_on(x):
        if x == 5:
            w.exit_self()
        return x

    results = processes.imap(die_on, range(10))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(plait.WorkerDied):
        next(results)
    assert list(results) == [6, 7, 8, 9]
    assert processes.map(w.add_one, range(5)) == [1, 2, 3, 4, 5]


def test_an_initializer_that_raises_breaks_the_pool(kind, caplog, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_value))
    with kind(2, w.bad_initializer) as pool:
        for way in ways(pool, w.add_one, 1):
            with pytest.raises(concurrent.futures.BrokenExecutor, match="initializer"):
                way()
    if kind is plait.ThreadPool:
        assert [str(error) for error in told] == ["no licence server"]
    else:
        assert "no licence server" in caplog.text


def test_what_an_initializer_cannot_be_given():
    with pytest.raises(plait.NotPicklable) as caught:
        plait.Pool(1, w.arguments, (1, {"a": threading.Lock()}))
    assert caught.value.path == "initargs[1]['a']"
    assert str(caught.value).startswith("initargs[1]['a']: cannot pickle")


def test_a_pool_that_does_not_run(kind):
    pool = kind(1)
    with pytest.raises(ValueError, match="Pool is still running"):
        pool.join()
    pool.close()
    for _ in range(2):
        for way in ways(pool, w.add_one, 1):
            with pytest.raises(ValueError, match="Pool not running"):
                way()
        with pytest.raises(ValueError, match="Pool not running"), pool:
            pass
        pool.terminate()
    pool.join()


def test_a_forked_child_is_told(kind):
    import os

    with kind(1) as pool:
        assert pool.apply(w.add_one, (1,)) == 2
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pool.apply(w.add_one, (1,))
            except BaseException as error:
                os.write(write, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        with open(read) as told:
            assert told.read().startswith("RuntimeError: this pool belongs to the parent process")
        assert pool.apply(w.add_one, (1,)) == 2
