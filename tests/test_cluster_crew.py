"""The calls on a cluster, on an engine that is told by the test what becomes of each chunk."""

import concurrent.futures
import queue

import plait
import pytest
from outside import until
from plait._cluster.crew import ClusterLost, Crew, Task
from plait._cluster.engine import ClusterGone, WorkerLost
from plait._cluster.job import Job

pytestmark = pytest.mark.once


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
    job = Job(b"", b"", name)
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


def test_of_two_that_went_together_neither_is_the_culprit_yet(crew, engine):
    first, second = submit(crew, "first"), submit(crew, "second")
    handles = sent(engine, 2)
    handles["first"].die()
    handles["second"].die()
    for name in ("first", "second"):
        sent(engine, 1)[name].answer()
    assert (first.result(10), second.result(10)) == (b"first", b"second")


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
