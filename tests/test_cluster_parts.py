"""The plain parts of maps on clusters: what names one, versions, sizes of chunks, and calls on an engine.

The engine here is a fake one, told by the test what becomes of each chunk.
"""

import concurrent.futures
import queue

import plait
import pytest
from outside import until
from plait._cluster import job as jobs
from plait._cluster import work
from plait._cluster.crew import ClusterLost, Crew, Task
from plait._cluster.engine import ClusterGone, WorkerLost
from plait._cluster.place import place_of
from plait._cluster.sizer import Sizer
from plait._cluster.versions import differences, expression, versions

pytestmark = pytest.mark.once

# --- what names a cluster


@pytest.mark.parametrize(
    "backend, address", [("dask", None), ("dask://h:1", "h:1"), ("dask://[::1]:8786", "[::1]:8786")]
)
def test_clusters_are_named_by_engine_and_address(backend, address):
    place = place_of(backend)
    assert (place.engine, place.address, str(place)) == ("dask", address, backend)
    assert place.is_own is (address is None)


@pytest.mark.parametrize("backend", ["processes", "ray", "daskly", 3, None, object()])
def test_other_things_name_none(backend):
    assert place_of(backend) is None


@pytest.mark.parametrize(
    "backend", ["dask:", "dask:8786", "dask://", "dask://host", "dask://host:x", "dask://:1", "dask://h:1/x"]
)
def test_an_address_needs_host_and_port(backend):
    with pytest.raises(ValueError, match=r"needs a host and a port, as in 'dask://10.0.0.5:8786'"):
        plait.map(abs, [1], backend=backend)


@pytest.mark.parametrize("backend", ["ray", "ray://h:1", "interpreters"])
def test_what_is_not_there_yet_is_refused_by_name(backend):
    with pytest.raises(ValueError, match=f"backend '{backend}' is not in this version of plait; .* 'dask'"):
        plait.Executor(backend)


# --- what a cluster does not do


@pytest.mark.parametrize("backend", ["dask", "dask://127.0.0.1:1"])
def test_options_of_other_backends_are_refused_before_anything_is_started(backend):
    for options in (
        {"max_tasks_per_child": 3},
        {"memory_limit": "1GiB"},
        {"max_pending": 4},
        {"preload": ["json"]},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is an option of backend"):
            plait.Executor(backend, **options)
    with pytest.raises(
        ValueError, match=r"initializer is for workers that plait starts itself.*client.register_plugin"
    ):
        plait.Executor(backend, initializer=print)
    with pytest.raises(ValueError, match="concurrency"):
        plait.map(abs, [1], backend=backend, concurrency=2)


def test_the_number_of_workers_is_that_of_the_cluster():
    with pytest.raises(ValueError, match=r"dask://127.0.0.1:1 has as many as it has"):
        plait.map(abs, [1], backend="dask://127.0.0.1:1", workers=2)
    with pytest.raises(ValueError, match=r"dask://127.0.0.1:1 has as many as it has"):
        plait.Executor("dask://127.0.0.1:1", 2)


async def fetch(number):
    return number


def test_coroutine_functions_are_refused():
    with pytest.raises(TypeError, match="fetch is a coroutine function, which backend 'dask' does not run"):
        plait.map(fetch, [1], backend="dask")
    with pytest.raises(TypeError, match="fetch is a coroutine function, which backend 'dask' does not run"):
        plait.amap(fetch, [1], backend="dask")


# --- versions


def test_versions_are_told_by_text_alone():
    found = eval(expression(), {})
    assert found == versions()
    assert found["plait"] == plait.__version__ and found["cloudpickle"]


@pytest.mark.parametrize(
    "there, said",
    [
        ({}, []),
        ({"Python": "3.99"}, ["Python 3.11 here, 3.99 there"]),
        ({"plait": None}, ["plait 1.2.3 here, missing there"]),
        ({"plait": "1.2.4"}, ["plait 1.2.3 here, 1.2.4 there"]),
        ({"cloudpickle": "3.1.9", "numpy": "2.0.5"}, []),
        (
            {"cloudpickle": "3.2.0", "numpy": "1.26.0"},
            ["cloudpickle 3.1.2 here, 3.2.0 there", "numpy 2.0.1 here, 1.26.0 there"],
        ),
        ({"numpy": None}, []),
    ],
)
def test_differences_name_both_sides(there, said):
    here = {"Python": "3.11", "plait": "1.2.3", "cloudpickle": "3.1.2", "numpy": "2.0.1"}
    assert differences(here, {**here, **there}) == said


# --- sizes of chunks


def sizer(fixed=None, left=None, aim=0.1):
    return Sizer(fixed, aim, 0.004, lambda: left)


def test_sizes_grow_by_steps_to_the_aim():
    grown = sizer()
    sizes = [grown.size]
    for _ in range(6):
        grown.learn(1e-4 * grown.size, grown.size, grown.size)
        sizes.append(grown.size)
    assert sizes == [1, 8, 64, 512, 1000, 1000, 1000]


def test_long_items_go_alone_at_once():
    grown = sizer()
    grown.learn(1e-6, 1, 1)
    assert grown.size == 8
    grown.learn(8.0, 8, 8)
    assert grown.size == 1


def test_heavy_items_go_by_weight():
    grown = sizer()
    grown.learn(1e-6, 1, 1 << 19)
    assert grown.size == 2


def test_what_is_left_is_shared_out_unless_it_is_not_worth_sending():
    shared = sizer(left=80)
    shared.places = 2
    for _ in range(4):
        shared.learn(1e-3 * shared.size, shared.size, shared.size)
    assert shared.size == 10
    tiny = sizer(left=80)
    tiny.places = 2
    for _ in range(4):
        tiny.learn(1e-8 * tiny.size, tiny.size, tiny.size)
    assert tiny.size == 40


def test_a_given_size_stays():
    fixed = sizer(7, left=3)
    fixed.learn(100.0, 1, 1)
    assert fixed.size == 7 and fixed.is_fixed


# --- what a worker runs


def ran(fn, calls, goes_on=True, limits=(None, 0)):
    job = jobs.job_of(fn)
    return jobs.opened(
        work.run(job.digest, job.function, jobs.chunk_of(calls, 0, goes_on, limits)), job.name, "here"
    )


def odd(number):
    if number % 2:
        raise ValueError(number)
    return [number]


def test_each_call_has_an_outcome_of_its_own():
    answer = ran(odd, [(0,), (1,), (2,)])
    assert answer.values == [[0], None, [2]]
    assert list(answer.failures) == [1] and isinstance(answer.failures[1], ValueError)


def test_the_first_failure_ends_a_chunk_that_shall_not_go_on():
    answer = ran(odd, [(0,), (1,), (2,)], goes_on=False)
    assert answer.values == [[0], None] and list(answer.failures) == [1]


def test_a_result_that_cannot_be_sent_is_its_own_calls_failure():
    answer = ran(lambda n: (i for i in ()) if n == 1 else {n}, [(0,), (1,), (2,)])
    assert answer.values == [{0}, None, {2}]
    assert isinstance(answer.failures[1], plait.NotPicklable)


def test_sets_and_several_arguments_travel():
    assert ran(lambda a, b: {a, b}, [(1, 2), (3, 4)]).values == [{1, 2}, {3, 4}]


def test_tries_are_counted_in_the_worker():

    def fails():
        fails.tries += 1
        raise OSError(fails.tries)

    fails.tries = 0
    [error] = ran(fails, [()], limits=(None, 2)).failures.values()
    assert error.args == (3,) and error.__notes__ == ["plait: failed in each of 3 tries"]


def test_a_worker_of_another_version_says_so(monkeypatch):
    job = jobs.job_of(abs)
    monkeypatch.setattr(work, "own_versions", lambda: {**versions(), "plait": "0.0.0"})
    answer = work.run(job.digest + b"!", job.function, jobs.chunk_of([(1,)], 0, True, (None, 0)))
    with pytest.raises(
        plait.PlaitError, match=rf"plait {plait.__version__} here, 0.0.0 there.*install the same"
    ):
        jobs.opened(answer, job.name, "the cluster")


# --- calls on an engine


class FakeEngine:
    """Takes chunks, and answers when it is told to."""

    where, advice, aim, overhead, patience = "the fake cluster", "start one", 0.1, 0.004, 60.0

    def __init__(self):
        self.sent = queue.Queue()
        self.out = []
        self.workers = 2
        self.wrong = None
        self.closed = []

    def places(self):
        return self.workers

    def submit(self, job, calls, done):
        handle = FakeHandle(calls, done)
        self.out.append(handle)
        self.sent.put(handle)
        return handle

    def trouble(self):
        return self.wrong

    def close(self, at_once):
        self.closed.append(at_once)


class FakeHandle:
    def __init__(self, calls, done):
        self.calls, self.done, self.cancelled = calls, done, False

    def cancel(self):
        self.cancelled = True

    def answer(self):
        self.done(self.calls, None)

    def die(self):
        self.done(None, WorkerLost("worker-1", 1))


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def crew(engine):
    crew = Crew(engine)
    yield crew
    crew.retire(at_once=True)
    crew.join(10)
    assert engine.closed


def submit(crew, name, retries=0, splits=False):
    job = jobs.Job(b"", b"", name)
    return crew.submit(
        Task(job, name.encode(), retries, splits, lambda future, answer: future.set_result(answer))
    )


def sent(engine, number):
    return {handle.calls.decode(): handle for handle in (engine.sent.get(timeout=10) for _ in range(number))}


def test_answers_end_futures(crew, engine):
    futures = [submit(crew, name) for name in "abc"]
    handles = sent(engine, 3)
    for name in "cab":
        handles[name].answer()
    assert [future.result(10) for future in futures] == [b"a", b"b", b"c"]


def test_so_many_are_on_the_engine_and_the_others_wait(crew, engine):
    futures = [submit(crew, str(number)) for number in range(100)]
    first = sent(engine, 64)
    assert futures[99].cancel() and futures[99].cancelled()
    for handle in first.values():
        handle.answer()
    for handle in sent(engine, 35).values():
        handle.answer()
    concurrent.futures.wait(futures[:99], 10)
    assert futures[98].result(10) == b"98" and engine.sent.empty()


def test_who_was_beside_a_death_is_tried_again_alone_and_the_culprit_found(crew, engine):
    good, bad, late = (submit(crew, name) for name in ("good", "bad", "late"))
    handles = sent(engine, 3)
    handles["good"].die()
    handles["bad"].die()
    # One suspect at a time.
    [(name, again)] = sent(engine, 1).items()
    assert name == "good" and engine.sent.empty()
    again.answer()
    assert good.result(10) == b"good"
    [(name, again)] = sent(engine, 1).items()
    assert name == "bad"
    again.die()
    with pytest.raises(
        plait.WorkerDied, match="2 workers of the fake cluster died with bad on, the last at worker-1"
    ) as died:
        bad.result(10)
    assert (died.value.task, died.value.tries) == ("bad", 1)
    handles["late"].answer()
    assert late.result(10) == b"late"


def test_who_was_alone_is_the_culprit_at_once(crew, engine):
    bad = submit(crew, "bad")
    sent(engine, 1)["bad"].die()
    with pytest.raises(plait.WorkerDied, match="a worker of the fake cluster died with bad on"):
        bad.result(10)


def test_tries_that_are_left_are_made(crew, engine):
    bad = submit(crew, "bad", retries=2)
    for _ in range(3):
        sent(engine, 1)["bad"].die()
    with pytest.raises(plait.WorkerDied, match="in each of 3 tries") as died:
        bad.result(10)
    assert died.value.tries == 3


def test_chunks_are_given_back_to_be_split(crew, engine):
    chunk, _ = submit(crew, "chunk", splits=True), submit(crew, "other")
    sent(engine, 2)["chunk"].die()
    with pytest.raises(plait.WorkerDied):
        chunk.result(10)


def test_cancelling_reaches_the_engine(crew, engine):
    future = submit(crew, "a")
    handle = sent(engine, 1)["a"]
    assert future.cancel() and future.cancel() and future.cancelled()
    until(lambda: handle.cancelled, "the engine to hear of it")
    handle.answer()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(10)
    assert concurrent.futures.wait([future], 10).done == {future}


def test_a_cluster_that_is_gone_ends_everything_with_one_error(crew, engine):
    futures = [submit(crew, name) for name in "abc"]
    sent(engine, 3)["b"].done(None, ClusterGone("the fake cluster is gone: start it"))
    for future in futures:
        with pytest.raises(concurrent.futures.BrokenExecutor, match="the fake cluster is gone: start it"):
            future.result(10)
    with pytest.raises(ClusterLost, match="is gone"):
        submit(crew, "d")


def test_trouble_is_seen_though_nothing_comes_back(crew, engine):
    future = submit(crew, "a")
    sent(engine, 1)
    engine.wrong = "the client was closed"
    with pytest.raises(concurrent.futures.BrokenExecutor, match="the client was closed"):
        future.result(20)


def test_calls_wait_for_a_worker_but_not_for_ever(crew, engine):
    engine.workers, engine.patience = 0, 0.5
    future = submit(crew, "a")
    with pytest.raises(concurrent.futures.BrokenExecutor, match=r"has had no worker for 0.5 s; start one"):
        future.result(20)


def test_shutting_down_finishes_what_is_pending(engine):
    crew = Crew(engine)
    future = submit(crew, "a")
    handle = sent(engine, 1)["a"]
    crew.retire()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        submit(crew, "b")
    assert not engine.closed
    handle.answer()
    assert future.result(10) == b"a"
    crew.join(10)
    assert engine.closed == [False]


def test_the_thread_is_there_only_while_there_is_something_to_do(crew, engine):
    future = submit(crew, "a")
    sent(engine, 1)["a"].answer()
    future.result(10)
    until(lambda: crew._thread is None, "the end of the thread")
    again = submit(crew, "b")
    sent(engine, 1)["b"].answer()
    assert again.result(10) == b"b"
