"""Values that will not travel, or not arrive: the one call fails and says why.

Each case goes through each way to call worker processes, and each test ends with a call that the same worker
must answer.
"""

import pickle
import signal
import traceback

import hostile_values as h
import plait
import pytest
import workloads as w
from ways import WAYS, Way, one_worker

pytestmark = pytest.mark.once

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest"]


@pytest.fixture(params=WAYS)
def way(request):
    with one_worker(request.param) as way:
        yield way


# --- what cannot be pickled


@pytest.mark.parametrize("kind", h.UNSENDABLE)
def test_results_that_cannot_travel_are_named(way, kind):
    error = way.error_of(h.give, kind)
    assert type(error) is plait.NotPicklable
    assert isinstance(error, pickle.PicklingError)
    assert error.path == h.PATHS[kind].format("result")
    assert str(error).startswith(f"{error.path}: {h.WHY[kind]}; ")
    shown = "".join(traceback.format_exception(error))
    assert "The above exception was the direct cause of" in shown


@pytest.mark.parametrize("kind", h.UNSENDABLE)
def test_arguments_that_cannot_travel_are_named(way, kind):
    value = h.give(kind)
    error = way.error_of(h.take, value)
    assert type(error) is plait.NotPicklable
    assert error.path == h.PATHS[kind].format("args[0]" if way.name == "submit" else "items[0]")
    assert str(error).startswith(f"{error.path}: {h.WHY[kind]}; ")
    assert error.__cause__ is not None
    del error
    h.unravel(value)


def test_keywords_that_cannot_travel_are_named(processes):
    with pytest.raises(plait.NotPicklable) as caught:
        processes.submit(w.arguments, 1, x=h.give("lock")[3]).result()
    assert caught.value.path == "kwargs['x'].conn.lock"


@pytest.mark.parametrize("name", ["executor.map", "plait.map"])
def test_functions_of_maps_that_cannot_travel_are_named(name):
    with one_worker(name) as way:
        error = way.error_of(h.Conn(lock=h.give("lock")[3]).take, 1)
        assert error.path == "fn.__self__.lock.conn.lock"
        error = way.error_of(h.Conn(x=1).take, h.give("lock"))
        assert error.path == "items[0][3].conn.lock"


@pytest.mark.parametrize("chunksize", [1, 4])
def test_items_that_cannot_travel_are_counted_from_the_maps_first(processes, chunksize):
    items = [*range(10), h.give("lock"), 11]
    for fn in (w.identity, h.Conn().take):
        results = processes.map(fn, items, chunksize=chunksize)
        assert [next(results) for _ in range(10)] == [*range(10)]
        with pytest.raises(plait.NotPicklable) as caught:
            next(results)
        assert caught.value.path == "items[10][3].conn.lock"


# --- what cannot be unpickled


@pytest.mark.parametrize("kind", h.UNREADABLE)
def test_results_that_do_not_arrive_say_why(way, kind):
    error = way.error_of(h.give, kind)
    assert type(error) is plait.NotPicklable
    why = h.UNREADABLE_WHY[kind]
    assert str(error).startswith(f"result: the result could not be unpickled: {why}")
    assert error.path == "result"
    shown = "".join(traceback.format_exception(error))
    assert why.partition(":")[0] in shown
    if kind != "a bomb":
        assert "in fail" in shown
        assert "(made of hostile_values." in str(error)


@pytest.mark.parametrize("kind", h.UNREADABLE)
def test_arguments_that_do_not_arrive_say_why(way, kind):
    error = way.error_of(h.take, h.give(kind))
    assert type(error) is plait.NotPicklable
    path, what = ("args", "arguments") if way.name == "submit" else ("items", "items")
    why = h.UNREADABLE_WHY[kind]
    assert str(error).startswith(f"{path}: the {what} could not be unpickled in the worker process: {why}")
    assert error.path == path
    if kind != "a bomb":
        assert "in fail" in "".join(traceback.format_exception(error))


def test_a_class_that_the_parent_lacks_is_named(way):
    error = way.error_of(h.give_gone, None)
    assert type(error) is plait.NotPicklable
    assert "AttributeError: " in str(error) and "OnlyHere" in str(error)
    assert str(error).endswith("define its class in a module that both processes can import")
    assert type(error.__cause__) is AttributeError


@pytest.mark.parametrize("name", WAYS)
def test_arguments_that_end_the_process_cost_one_worker(name):
    with plait.ProcessPoolExecutor(1) as pool:
        way = Way(name, pool)
        error = way.error_of(h.take, h.ExitsProcess())
        assert isinstance(error, plait.WorkerDied)
        assert "code 7" in str(error)
        assert way(w.add_one, 1) == 2


@pytest.mark.parametrize("bad", ["lock", "exits", "endless"])
def test_one_bad_value_among_many_fails_alone(processes, bad):
    futures = [processes.submit(h.give, bad) if i == 5 else processes.submit(w.add_one, i) for i in range(10)]
    assert [f.result() for i, f in enumerate(futures) if i != 5] == [i + 1 for i in range(10) if i != 5]
    assert type(futures[5].exception()) is plait.NotPicklable


@pytest.mark.parametrize("bad", ["__setstate__ raises", "exits there", "a bomb"])
def test_one_unreadable_value_among_many_fails_alone(processes, bad):
    futures = [processes.submit(h.give, bad) if i == 5 else processes.submit(w.add_one, i) for i in range(10)]
    assert [f.result() for i, f in enumerate(futures) if i != 5] == [i + 1 for i in range(10) if i != 5]
    for _ in range(2):
        assert type(futures[5].exception()) is plait.NotPicklable
    assert repr(futures[5]).endswith("raised NotPicklable>")


# --- signals get through


class Signalled:
    """Gets a signal while it is pickled."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        signal.raise_signal(self.number)
        return Signalled, (self.number,)


# Signals to come while values are unpickled in this process, which is the only one with any.
coming = []


class SignalledThere:
    def __reduce__(self):
        return arrive, ()


def arrive():
    if coming:
        signal.raise_signal(coming.pop())
    return "arrived"


class Stopped(BaseException):
    pass


@pytest.fixture
def stopping():
    """A handler of a signal that raises."""

    def stop(*_):
        raise Stopped

    before = signal.signal(signal.SIGUSR1, stop)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_while_pickling_gets_through(processes, stopping):
    with pytest.raises(KeyboardInterrupt):
        processes.submit(w.identity, [Signalled(signal.SIGINT)])
    with pytest.raises(Stopped):
        processes.submit(w.identity, [Signalled(stopping)])
    assert processes.submit(w.add_one, 1).result() == 2


@pytest.mark.parametrize("number, raised", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGUSR1, Stopped)])
def test_a_signal_while_unpickling_gets_through_and_costs_no_result(processes, stopping, number, raised):
    future = processes.submit(h.make, SignalledThere)
    coming.append(number)
    with pytest.raises(raised):
        future.result()
    assert future.result() == ["arrived"]
    assert processes.submit(w.add_one, 1).result() == 2
