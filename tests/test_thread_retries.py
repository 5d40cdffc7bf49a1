"""Retries of calls on threads and on the serial backend, and views with other limits than their executor."""

import functools
import threading

import plait
import pytest
import workloads as w
from outside import PATIENCE, until

# Long enough for a call that does nothing, however busy the machine.
AMPLE = 30


@pytest.fixture(
    params=[plait.ThreadPoolExecutor, functools.partial(plait.Executor, "threads")], ids=["TPE", "Executor"]
)
def make(request):
    """Makes an executor on threads."""
    return request.param


class Flaky:
    """Fails so many times."""

    def __init__(self, times, error=ValueError):
        self.calls = []
        self._times, self._error = times, error

    def __call__(self):
        self.calls.append(threading.current_thread())
        if len(self.calls) <= self._times:
            raise self._error(f"failure {len(self.calls)}")
        return "at last"


@pytest.fixture(params=["threads", "serial", "threads with a timeout"])
def tries_twice_more(request):
    backend = request.param.split()[0]
    limits = {"timeout": AMPLE} if "timeout" in request.param else {}
    with plait.Executor(backend, 2, retries=2, **limits) as executor:
        yield executor


def test_a_failed_call_is_tried_again(tries_twice_more):
    flaky = Flaky(2)
    assert tries_twice_more.submit(flaky).result() == "at last"
    assert len(flaky.calls) == 3
    assert len(set(flaky.calls)) == 1, "in the same thread"


def test_the_last_exception_is_the_outcome(tries_twice_more):
    flaky = Flaky(3)
    error = tries_twice_more.submit(flaky).exception()
    assert (type(error), str(error)) == (ValueError, "failure 3")
    assert error.__notes__ == ["plait: failed in each of 3 tries"]
    error = tries_twice_more.options(retries=0).submit(w.fail).exception()
    assert not hasattr(error, "__notes__"), "there was one try"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_no_failure_is_not_tried_again(tries_twice_more, kind):
    flaky = Flaky(1, kind)
    with pytest.raises(kind):
        tries_twice_more.submit(flaky).result()
    assert len(flaky.calls) == 1


def test_an_abandoned_try_counts_and_the_next_is_made_elsewhere():
    first_may_end, first_has_ended = threading.Event(), threading.Event()
    threads = []

    def call():
        threads.append(threading.current_thread())
        if len(threads) == 1:
            assert first_may_end.wait(PATIENCE)
            first_has_ended.set()
            return "first"
        first_may_end.set()
        assert first_has_ended.wait(PATIENCE)
        return "second"

    with plait.ThreadPoolExecutor(1, retries=1) as pool:
        future = pool.options(timeout=0.5).submit(call)
        until(lambda: len(threads) == 2, "the second try")
        assert not future.cancel()
        assert future.result() == "second"
        assert threads[0] is not threads[1]


def test_views_share_the_pool(make):
    with make(1) as pool:
        flaky = Flaky(2)
        view = pool.options(retries=2)
        assert view.submit(flaky).result() == "at last"
        assert view.options(timeout=AMPLE).submit(threading.current_thread).result() is flaky.calls[0]
        assert list(view.map(w.add, [1, 2], [3, 4])) == [4, 6]
        assert view.submit(w.arguments, 1, key=2).result() == pool.submit(w.arguments, 1, key=2).result()
        view.shutdown()
        with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
            pool.submit(w.nothing)


def test_the_serial_backend_says_that_it_cannot_stop_a_call():
    says = pytest.raises(ValueError, match="the serial backend cannot stop a call; use processes")
    with says:
        plait.Executor("serial", timeout=1)
    with plait.Executor("serial") as executor, says:
        executor.options(timeout=1).submit(w.nothing)
    with says:
        plait.map(w.nothing, [], backend="serial", timeout=1)


@pytest.mark.parametrize("backend", ["threads", "serial"])
def test_map_tries_again(backend):
    flaky = Flaky(1)
    assert list(plait.map(lambda _: flaky(), [1, 2], backend=backend, retries=1)) == ["at last"] * 2
    with pytest.raises(ValueError, match="failure 1"):
        list(plait.map(lambda call: call(), [Flaky(1)], backend=backend))
