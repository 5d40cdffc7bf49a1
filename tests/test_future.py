"""plait's futures are the stdlib's: to `wait`, `as_completed`, asyncio, callbacks, and made by hand."""

import concurrent.futures as cf
import gc
import logging
import threading
import weakref

import plait
import pytest
import workloads as w
from outside import until


def test_is_a_stdlib_future(executor):
    future = executor.submit(w.add_one, 1)
    assert isinstance(future, cf.Future)
    assert isinstance(future, plait.Future)
    assert type(future) is plait.Future
    assert future.result() == 2


# --- states


def test_states_of_a_call(pool_face, gate):
    with pool_face(1) as pool:
        future = pool.submit(w.pass_gate, gate.folder, "a", 5)
        queued = pool.submit(w.add_one, 1)
        gate.wait_for("a")
        until(future.running, "a running future")
        assert (future.done(), future.cancelled(), future._state) == (False, False, "RUNNING")
        assert (queued.running(), queued.done(), queued._state) == (False, False, "PENDING")
        gate.open()
        assert future.result() == 5
        assert (future.running(), future.done(), future.cancelled(), future._state) == (
            False,
            True,
            False,
            "FINISHED",
        )


def test_done_turns_true_without_anybody_waiting(pool):
    future = pool.submit(w.add_one, 1)
    until(future.done, "the end of a call that nobody waits for")
    assert future.result(0) == 2


def test_repr_tells_state_and_outcome(pool_face, gate):
    with pool_face(1) as pool:
        running = pool.submit(w.pass_gate, gate.folder, "a", 5)
        gate.wait_for("a")
        until(running.running, "a running future")
        queued = pool.submit(w.add_one, 1)
        assert repr(running).startswith("<Future at 0x") and "state=running" in repr(running)
        assert "state=pending" in repr(queued)
        queued.cancel()
        assert "state=cancelled" in repr(queued)
        gate.open()
        failed = pool.submit(w.fail)
        failed.exception()
        running.result()
        assert repr(running).endswith("state=finished returned int>")
        assert repr(failed).endswith("state=finished raised ValueError>")


def test_result_and_exception_time_out(pool, gate):
    future = pool.submit(w.pass_gate, gate.folder, "a", 5)
    for wait in (future.result, future.exception):
        for timeout in (0, 0.01, -1):
            with pytest.raises(TimeoutError):
                wait(timeout)
            with pytest.raises(cf.TimeoutError):
                wait(timeout=timeout)
    gate.open()
    assert future.result(timeout=60) == 5
    assert future.exception(0) is None
    assert future.result(None) == 5


def test_a_result_may_be_asked_for_again_and_is_the_same(executor):
    future = executor.submit(w.identity, [1])
    assert future.result() is future.result()
    failed = executor.submit(w.fail)
    assert failed.exception() is failed.exception()


def test_result_from_many_threads_at_once(pool, gate):
    future = pool.submit(w.pass_gate, gate.folder, "a", [7])
    results = []
    threads = [threading.Thread(target=lambda: results.append(future.result())) for _ in range(16)]
    for thread in threads:
        thread.start()
    gate.wait_for("a")
    gate.open()
    for thread in threads:
        thread.join()
    assert len(results) == 16
    assert all(result is results[0] for result in results)


def test_many_threads_gather_from_one_pool(pool):
    futures = [pool.submit(w.add_one, n) for n in range(4000)]
    sums = []

    def gather(part):
        sums.append(sum(future.result() for future in part))

    threads = [threading.Thread(target=gather, args=(futures[k::8],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sums) == sum(range(1, 4001))


# --- cancelling


def test_cancel_takes_back_what_has_not_begun(pool_face, gate, tmp_path):
    record = tmp_path / "record"
    with pool_face(1) as pool:
        running = pool.submit(w.pass_gate, gate.folder, "a", 5)
        gate.wait_for("a")
        queued = [pool.submit(w.append, record, "ran") for _ in range(200)]
        assert all(future.cancel() for future in queued)
        assert all(future.cancel() and future.cancelled() and future.done() for future in queued)
        for wait in (queued[0].result, queued[0].exception):
            with pytest.raises(cf.CancelledError):
                wait()
        gate.open()
        assert running.result() == 5
        assert pool.submit(w.add_one, 1).result() == 2
    assert not record.exists()


def test_cancel_of_what_is_done_or_cannot_be_stopped(executor):
    future = executor.submit(w.add_one, 1)
    future.result()
    assert future.cancel() is False
    assert future.result() == 2


def test_cancel_wakes_those_who_wait(pool_face, gate):
    with pool_face(1) as pool:
        pool.submit(w.pass_gate, gate.folder, "a")
        gate.wait_for("a")
        queued = pool.submit(w.add_one, 1)
        caught = []
        begun = threading.Event()

        def wait():
            begun.set()
            try:
                queued.result()
            except cf.CancelledError as error:
                caught.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        begun.wait()
        assert queued.cancel()
        thread.join()
        assert len(caught) == 1
        gate.open()


def test_cancelled_futures_are_done_to_wait_and_as_completed(pool_face, gate):
    with pool_face(1) as pool:
        running = pool.submit(w.pass_gate, gate.folder, "a")
        gate.wait_for("a")
        before, during = pool.submit(w.add_one, 1), pool.submit(w.add_one, 2)
        before.cancel()
        assert cf.wait([before], timeout=0).done == {before}
        assert next(cf.as_completed([running, before], timeout=60)) is before
        canceller = threading.Timer(0.02, during.cancel)
        canceller.start()
        assert cf.wait([running, during], return_when=cf.FIRST_COMPLETED).done == {during}
        canceller.join()
        gate.open()


# --- callbacks


def test_callbacks_run_in_order_with_the_future(pool, gate):
    future = pool.submit(w.pass_gate, gate.folder, "a", 5)
    called = []
    for n in range(5):
        future.add_done_callback(lambda f, n=n: called.append((n, f is future, f.result())))
    assert called == []
    gate.open()
    until(lambda: len(called) == 5, "five callbacks")
    assert called == [(n, True, 5) for n in range(5)]


def test_a_callback_added_late_runs_at_once(executor):
    future = executor.submit(w.add_one, 1)
    future.result()
    called = []
    future.add_done_callback(called.append)
    assert called == [future]


def test_callbacks_run_though_nobody_waits_or_holds_the_future(pool):
    called = []
    for n in range(100):
        pool.submit(w.add_one, n).add_done_callback(lambda f: called.append(f.result()))
    until(lambda: len(called) == 100, "a hundred callbacks")
    assert sorted(called) == list(range(1, 101))


def test_callbacks_of_failed_and_cancelled_calls(pool_face, gate):
    called = []
    with pool_face(1) as pool:
        pool.submit(w.pass_gate, gate.folder, "a")
        gate.wait_for("a")
        failed, cancelled = pool.submit(w.fail), pool.submit(w.add_one, 1)
        failed.add_done_callback(lambda f: called.append(type(f.exception())))
        cancelled.add_done_callback(lambda f: called.append(f.cancelled()))
        cancelled.cancel()
        assert called == [True]
        gate.open()
        until(lambda: len(called) == 2, "both callbacks")
    assert called == [True, ValueError]


def test_a_raising_callback_is_logged_and_the_others_run(pool, gate, caplog):
    future = pool.submit(w.pass_gate, gate.folder, "a", 5)
    called = []
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(called.append)
    with caplog.at_level(logging.ERROR, "concurrent.futures"):
        gate.open()
        until(lambda: called, "the second callback")
        future.add_done_callback(lambda f: 1 / 0)
    assert [record.exc_info[0] for record in caplog.records] == [ZeroDivisionError, ZeroDivisionError]
    assert "exception calling callback" in caplog.text


def test_a_callback_may_submit(pool):
    results = []

    def more(future):
        n = future.result()
        results.append(n)
        if n < 50:
            pool.submit(w.add_one, n).add_done_callback(more)

    pool.submit(w.add_one, 0).add_done_callback(more)
    until(lambda: len(results) == 50, "fifty calls, each submitted by the callback of the one before")
    assert results == list(range(1, 51))


def test_a_callback_may_wait_for_another_call(pool):
    results = []
    pool.submit(w.add_one, 1).add_done_callback(
        lambda f: results.append(pool.submit(w.add_one, f.result()).result())
    )
    until(lambda: results, "a callback that waits for another future")
    assert results == [3]


def test_a_callback_never_sees_a_future_that_is_not_done(pool, gate):
    """`_state`, too, says so: asyncio looks at it from Python 3.14 on, in the callback that it adds."""
    future = pool.submit(w.pass_gate, gate.folder, "a", 5)
    states = []
    with future._condition:
        gate.open()
        until(future.done, "the end of the call")
        # Who counts what is not done holds the condition, and is told nothing meanwhile.
        assert future._state == "RUNNING"
        future.add_done_callback(lambda future: states.append((future._state, future.result())))
    until(lambda: states, "the callback")
    assert states == [("FINISHED", 5)]


# --- made by hand


def test_a_future_made_by_hand():
    future = plait.Future()
    called = []
    future.add_done_callback(called.append)
    assert future.set_running_or_notify_cancel() is True
    assert future.running() and not future.cancel()
    future.set_result(5)
    assert future.result(0) == 5 and called == [future]
    for again in (lambda: future.set_result(6), lambda: future.set_exception(ValueError())):
        with pytest.raises(cf.InvalidStateError):
            again()
    assert future.result() == 5


def test_a_future_made_by_hand_fails_or_is_cancelled():
    failed = plait.Future()
    error = ValueError("mine")
    failed.set_exception(error)
    assert failed.exception() is error
    cancelled = plait.Future()
    assert cancelled.cancel() and cancelled._state == "CANCELLED"
    assert cancelled.set_running_or_notify_cancel() is False
    assert cancelled._state == "CANCELLED_AND_NOTIFIED"
    with pytest.raises(cf.InvalidStateError):
        cancelled.set_result(1)


def test_a_future_made_by_hand_wakes_those_who_wait():
    future = plait.Future()
    waiting = [threading.Thread(target=future.result), threading.Thread(target=cf.wait, args=([future],))]
    for thread in waiting:
        thread.start()
    future.set_result(1)
    for thread in waiting:
        thread.join()


# --- memory


def test_futures_go_when_nobody_holds_them(executor):
    future = executor.submit(w.identity, 1)
    future.result()
    future.add_done_callback(lambda f: None)
    reference = weakref.ref(future)
    del future
    until(lambda: gc.collect() is not None and reference() is None, "the end of the future")


def test_a_future_outlives_its_executor(pool_face):
    with pool_face(1) as pool:
        future, failed = pool.submit(w.identity, [1]), pool.submit(w.fail)
    del pool
    gc.collect()
    assert future.result() == [1]
    assert isinstance(failed.exception(), ValueError)


def test_arguments_and_results_are_not_kept(pool_face):
    class Thing:
        pass

    with pool_face(1) as pool:
        thing = w.Holder(None)
        reference = weakref.ref(thing)
        future = pool.submit(w.count, [thing])
        assert future.result() == 1
        del thing
        until(
            lambda: gc.collect() is not None and reference() is None,
            "the end of an argument whose call is done",
        )
