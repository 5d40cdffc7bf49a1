"""On every Python the executors take what the newest stdlib's take, and refuse the rest in its words."""

import concurrent.futures
import inspect
import os
import signal
import time

import plait
import pytest
from outside import until
from workloads import pass_gate

PAIRS = {
    "threads": (concurrent.futures.ThreadPoolExecutor, plait.ThreadPoolExecutor),
    "processes": (concurrent.futures.ProcessPoolExecutor, plait.ProcessPoolExecutor),
}

# What Python 3.15 has: the parameters in their order, with defaults; after `*` by name alone.
NEWEST = {
    "threads": {
        "__init__": "max_workers=None, thread_name_prefix='', initializer=None, initargs=()",
        "map": "fn, *iterables, timeout=None, chunksize=1, buffersize=None",
        "shutdown": "wait=True, *, cancel_futures=False",
    },
    "processes": {
        "__init__": "max_workers=None, mp_context=None, initializer=None, initargs=(), *, "
        "max_tasks_per_child=None",
        "map": "fn, *iterables, timeout=None, chunksize=1, buffersize=None",
        "shutdown": "wait=True, *, cancel_futures=False",
        "terminate_workers": "",
        "kill_workers": "",
    },
}


@pytest.fixture(params=PAIRS)
def pair(request):
    return PAIRS[request.param]


def parameters(function):
    found = list(inspect.signature(function).parameters.values())
    # What 3.14 passes to what derives from its class is none of the caller's.
    found = [one for one in found if one.kind is not inspect.Parameter.VAR_KEYWORD]
    return [(one.name, one.kind, one.default) for one in found if one.name != "self"]


def parameters_of(text):
    namespace = {}
    exec(f"def function({text}): pass", namespace)
    return parameters(namespace["function"])


@pytest.mark.parametrize(("kind", "method"), [(kind, method) for kind in NEWEST for method in NEWEST[kind]])
def test_every_argument_of_the_newest_stdlib(kind, method):
    newest, (stdlib, ours) = parameters_of(NEWEST[kind][method]), PAIRS[kind]
    taken = parameters(getattr(ours, method))
    assert taken[: len(newest)] == newest
    # More may be given by name alone.
    assert all(parameter[1] is inspect.Parameter.KEYWORD_ONLY for parameter in taken[len(newest) :])
    # This Python's has no other ones.
    if hasattr(stdlib, method):
        assert {name for name, *_ in parameters(getattr(stdlib, method))} <= {name for name, *_ in newest}


def test_every_public_method_of_this_pythons_stdlib(pair):
    stdlib, ours = pair
    assert {name for name in dir(stdlib) if not name.startswith("_")} <= set(dir(ours))


def test_they_are_the_stdlibs_classes_to_isinstance(pair):
    stdlib, ours = pair
    with ours(1) as pool:
        assert (
            isinstance(pool, stdlib)
            and isinstance(pool, ours)
            and isinstance(pool, concurrent.futures.Executor)
        )
        assert isinstance(pool.submit(int), concurrent.futures.Future)
        other = next(cls for cls, _ in PAIRS.values() if cls is not stdlib)
        assert not isinstance(pool, other)


MISUSE = {
    "no workers": lambda cls: cls(0),
    "fewer than none": lambda cls: cls(max_workers=-1),
    "workers that are no number": lambda cls: cls("2"),
    "an initializer that cannot be called": lambda cls: cls(1, initializer=3),
    "an unknown option": lambda cls: cls(1, colour=1),
    "a late submit": lambda cls: late(cls).submit(int),
    "a late map": lambda cls: late(cls).map(int, [1]),
    "no iterable": lambda cls: use(cls, lambda pool: pool.map(int, 3)),
    "an input that fails": lambda cls: use(cls, lambda pool: pool.map(int, failing())),
    "a result that is late": lambda cls: use(cls, lambda pool: pool.submit(time.sleep, 0.2).result(0)),
    "a map that is late": lambda cls: use(cls, lambda pool: list(pool.map(time.sleep, [0.2], timeout=0))),
    "no callable": lambda cls: use(cls, lambda pool: pool.submit(3).result()),
    "a result set twice": lambda cls: use(cls, lambda pool: set_twice(pool.submit(int))),
}
FOR_PROCESSES = {
    "a chunk of nothing": lambda cls: use(cls, lambda pool: pool.map(int, [1], chunksize=0)),
    "no calls for a child": lambda cls: cls(1, max_tasks_per_child=0),
    "calls of a child that are no number": lambda cls: cls(1, max_tasks_per_child="1"),
}


def late(cls):
    pool = cls(1)
    pool.shutdown()
    return pool


def use(cls, how):
    with cls(1) as pool:
        return how(pool)


def failing():
    yield 1
    raise LookupError("in the input")


def set_twice(future):
    future.result()
    future.set_result(1)


def refused(misuse, cls):
    with pytest.raises(Exception) as caught:
        misuse(cls)
    # Of a future its message tells the address, and a class its name.
    message = str(caught.value).partition(" at 0x")[0].replace("plait", "concurrent.futures")
    # Where 3.14 looks at options is none of the caller's, either.
    return caught.type, message.replace("prepare_context()", "__init__()")


@pytest.mark.parametrize("misuse", MISUSE)
def test_misuse_is_refused_in_the_same_words(pair, misuse):
    stdlib, ours = pair
    assert refused(MISUSE[misuse], ours) == refused(MISUSE[misuse], stdlib)


@pytest.mark.parametrize("misuse", FOR_PROCESSES)
def test_misuse_of_processes_is_refused_in_the_same_words(misuse):
    stdlib, ours = PAIRS["processes"]
    assert refused(FOR_PROCESSES[misuse], ours) == refused(FOR_PROCESSES[misuse], stdlib)


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (1.0, TypeError)]
)
def test_a_bad_buffersize(pair, size, error):
    with pair[1](1) as pool, pytest.raises(error, match=r"^buffersize must be "):
        pool.map(int, [1], buffersize=size)


def test_what_waits_can_be_counted(pair, gate):
    cls = pair[1]
    threads = cls is plait.ThreadPoolExecutor
    with gate, cls(1) as pool:
        pool.submit(pass_gate, gate.folder, "first")
        gate.wait_for("first")
        for _ in range(3):
            pool.submit(int)
        if threads:
            assert pool._work_queue.qsize() == 3 and not pool._work_queue.empty()
            assert len(pool._threads) == 1
        else:
            assert len(pool._pending_work_items) == 4 and pool._pending_work_items
            assert len(pool._processes) == 1
        assert pool._max_workers == 1
        gate.open()
    if threads:
        assert pool._work_queue.qsize() == 0 and pool._work_queue.empty()
    else:
        assert len(pool._pending_work_items) == 0 and not pool._pending_work_items
        assert pool._processes == {}


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_worker_can_be_ended_by_its_handle(how, gate):
    with plait.ProcessPoolExecutor(1) as pool:
        future = pool.submit(pass_gate, gate.folder, "call")
        (pid,) = gate.wait_for("call")
        worker = pool._processes[pid]
        assert worker.pid == worker.ident == pid and worker.is_alive() and worker.exitcode is None
        assert pool._processes[pid] is worker and "started" in repr(worker)
        worker.join(timeout=0.01)
        assert worker.is_alive()
        getattr(worker, how)()
        worker.join()
        assert not worker.is_alive() and "stopped" in repr(worker)
        with pytest.raises(concurrent.futures.process.BrokenProcessPool) as caught:
            future.result()
        assert caught.value.signal == (signal.SIGTERM if how == "terminate" else signal.SIGKILL)
        # The dead can be ended again, and the pool heals.
        getattr(worker, how)()
        assert pool.submit(abs, -1).result() == 1


def test_there_is_a_worker_once_a_call_was_submitted():
    with plait.ProcessPoolExecutor(2) as pool:
        assert pool._processes == {}
        pool.submit(int)
        assert all(worker.is_alive() or worker.join() is None for worker in pool._processes.values())
        assert len(pool._processes) == 1


@pytest.mark.parametrize("how", ["terminate_workers", "kill_workers"])
def test_all_workers_can_be_ended(how, gate):
    pool = plait.ProcessPoolExecutor(1)
    running = pool.submit(pass_gate, gate.folder, "call")
    (pid,) = gate.wait_for("call")
    waiting = [pool.submit(abs, -1) for _ in range(3000)]
    worker = pool._processes[pid]
    getattr(pool, how)()
    worker.join()
    with pytest.raises(concurrent.futures.process.BrokenProcessPool):
        running.result()
    until(lambda: all(future.done() for future in waiting), "the end of all calls")
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        pool.submit(int)
    # It does no harm to a pool that has ended, or has not begun.
    getattr(pool, how)()
    pool.shutdown()
    new = plait.ProcessPoolExecutor(1)
    getattr(new, how)()
    new.shutdown()


def test_the_context_is_kept_and_not_needed():
    import multiprocessing

    spawn = multiprocessing.get_context("spawn")
    with plait.ProcessPoolExecutor(1, spawn) as pool:
        assert pool._mp_context is spawn
    with plait.ProcessPoolExecutor(1, max_tasks_per_child=2) as pool:
        assert pool._mp_context.get_start_method() == "spawn"
    fork = multiprocessing.get_context("fork")
    with plait.ProcessPoolExecutor(1, fork, max_tasks_per_child=1) as pool:
        assert pool._mp_context is fork
        pids = {pool.submit(os.getpid).result() for _ in range(3)}
        assert len(pids) == 3


def test_a_broken_thread_pool_says_so():
    def initialize():
        raise LookupError("nothing there")

    with plait.ThreadPoolExecutor(1, initializer=initialize) as pool:
        assert not pool._broken
        with pytest.raises(concurrent.futures.thread.BrokenThreadPool):
            pool.submit(int).result()
        until(lambda: pool._broken, "the pool to be broken")
        with pytest.raises(concurrent.futures.thread.BrokenThreadPool, match="initializer failed"):
            pool.submit(int)


def add(one, two):
    return one + two


@pytest.mark.parametrize("how", ["class", "instance"])
def test_a_submit_of_ones_own_sees_the_calls_of_a_map(pair, how):
    seen = []

    def note(submit):
        def noted(fn, /, *args, **kwargs):
            seen.append(args)
            return submit(fn, *args, **kwargs)

        return noted

    class Noting(pair[1]):
        def submit(self, fn, /, *args, **kwargs):
            return note(super().submit)(fn, *args, **kwargs)

    with (Noting if how == "class" else pair[1])(1) as pool:
        if how == "instance":
            pool.submit = note(pool.submit)
        assert list(pool.map(add, range(5), range(1, 9))) == [1, 3, 5, 7, 9]
        assert seen == [(number, number + 1) for number in range(5)]
        for options in (
            {"chunksize": 2},
            {"chunksize": 3, "buffersize": 1},
            {"buffersize": 2, "timeout": 30},
        ):
            seen.clear()
            assert list(pool.map(add, range(5), range(1, 9), **options)) == [1, 3, 5, 7, 9]
            assert seen
        assert list(pool.map(add, [], [], chunksize=2)) == []
