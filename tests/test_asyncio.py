"""Pools and event loops: awaiting, cancelling, default executors, and how often a loop is woken."""

import asyncio
import concurrent.futures
import contextvars
import gc
import signal
import threading
import time
import weakref

import plait
import pytest
from outside import until
from plait import _awaiting
from workloads import pass_gate

# More than a loop can get round to while it is held up, and enough to count.
MANY = 2000


def fail_with(error):
    raise error


def loops():
    """The event loops that there are: asyncio's own, in debug mode too, and uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return {"asyncio": {}, "debug": {"debug": True}}
    return {"asyncio": {}, "debug": {"debug": True}, "uvloop": {"loop_factory": uvloop.new_event_loop}}


LOOPS = loops()


@pytest.fixture(params=LOOPS)
def run(request):
    """Runs a coroutine in an event loop of each kind."""

    def run(coroutine):
        with asyncio.Runner(**LOOPS[request.param]) as runner:
            return runner.run(coroutine)

    return run


def count_calls(loop):
    """A list that gets an item for each time that the running loop is called from elsewhere."""
    calls = []
    genuine = loop.call_soon_threadsafe

    def counted(*args, **options):
        calls.append(args)
        return genuine(*args, **options)

    loop.call_soon_threadsafe = counted
    return calls


def fail(text):
    raise LookupError(text)


def test_many_awaited_futures_wake_their_loop_once(pool):
    async def main():
        calls = count_calls(asyncio.get_running_loop())
        futures = [pool.submit(abs, -number) for number in range(MANY)]
        waiting = [asyncio.wrap_future(future) for future in futures]
        # The loop is held up meanwhile: what ends now is told together.
        concurrent.futures.wait(futures)
        assert await asyncio.gather(*waiting) == list(range(MANY))
        assert len(calls) < MANY / 20

    asyncio.run(main())


def test_many_calls_in_an_executor_wake_their_loop_once(pool):
    async def main():
        loop = asyncio.get_running_loop()
        calls = count_calls(loop)
        waiting = [loop.run_in_executor(pool, abs, -number) for number in range(MANY)]
        pool.shutdown()
        assert await asyncio.gather(*waiting) == list(range(MANY))
        assert len(calls) < MANY / 20

    asyncio.run(main())


def test_the_stdlibs_pool_wakes_the_loop_for_each():
    """What this is measured against; a count that could not grow would prove nothing."""

    async def main():
        loop = asyncio.get_running_loop()
        calls = count_calls(loop)
        # Since Python 3.14 what has ended before it is waited for wakes nobody.
        begin = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = [loop.run_in_executor(pool, begin.wait) for _ in range(MANY)]
            begin.set()
        await asyncio.gather(*waiting)
        assert len(calls) == MANY

    asyncio.run(main())


def test_results_and_exceptions_arrive(executor, run):
    async def main():
        loop = asyncio.get_running_loop()
        assert await executor.submit(abs, -1) == 1
        assert await loop.run_in_executor(executor, abs, -2) == 2
        done = executor.submit(abs, -3)
        assert done.result() == 3
        assert await done == 3
        assert await asyncio.wait_for(executor.submit(abs, -4), 30) == 4
        with pytest.raises(LookupError, match="here"):
            await executor.submit(fail, "here")
        with pytest.raises(LookupError, match="there"):
            await loop.run_in_executor(executor, fail, "there")
        found = await asyncio.gather(
            *[executor.submit(fail, "all") for _ in range(5)], return_exceptions=True
        )
        assert [type(error) for error in found] == [LookupError] * 5
        one_by_one = [await end for end in asyncio.as_completed([wait(executor.submit(abs, -5))] * 1)]
        assert one_by_one == [5]

    async def wait(future):
        return await future

    run(main())


def test_the_loop_goes_on_while_a_call_runs(pool, run, gate):
    async def main():
        future = pool.submit(pass_gate, gate.folder, "call")
        task = asyncio.ensure_future(asyncio.wrap_future(future))
        while "call" not in gate.entered():
            await asyncio.sleep(0.005)
        assert not task.done()
        gate.open()
        await task

    run(main())


def test_cancelling_the_task_cancels_the_future(pool_face, run, gate):
    async def main():
        async with pool_face(1) as pool:
            first = pool.submit(pass_gate, gate.folder, "first")
            while "first" not in gate.entered():
                await asyncio.sleep(0.005)
            second = pool.submit(pass_gate, gate.folder, "second")
            task = asyncio.ensure_future(asyncio.wrap_future(second))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while not second.cancelled():
                await asyncio.sleep(0.001)
            gate.open()
            await first
            assert "second" not in gate.entered()

    run(main())


def test_a_process_stops_the_call_that_nobody_awaits_any_more(process_face, run, gate):
    async def main():
        async with process_face(1) as pool:
            future = pool.submit(pass_gate, gate.folder, "call")
            while "call" not in gate.entered():
                await asyncio.sleep(0.005)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(future, 0.01)
            assert future.cancelled()
            # The gate is closed: only a stopped call lets the next one run.
            assert await pool.submit(abs, -1) == 1

    run(main())


def test_calls_that_are_answered_at_once_leave_others_their_turns(process_face, run):
    """Whoever awaits one small call after the other looks for the answers itself, and starves nobody."""

    async def main(executor):
        turns = []

        async def other():
            while True:
                turns.append(len(results))
                await asyncio.sleep(0)

        results = []
        task = asyncio.create_task(other())
        while len(set(turns)) < 20:
            results.append(await executor.submit(abs, -len(results)))
        task.cancel()
        assert results == list(range(len(results)))

    with process_face(1) as executor:
        run(main(executor))


def test_what_asyncio_calls_otherwise_is_called_so(process_face, run):
    """Also where the answer is there at once."""

    async def main(executor):
        for _ in range(4):
            with pytest.raises(ZeroDivisionError):
                await executor.submit(divmod, 1, 0)
            with pytest.raises(asyncio.InvalidStateError):
                await executor.submit(fail_with, concurrent.futures.InvalidStateError)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(executor.submit(time.sleep, 60), 0.001)
            future = executor.submit(time.sleep, 60)
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future

    with process_face(1) as executor:
        run(main(executor))


def test_async_with_does_not_hold_up_the_loop(pool_face, run, gate):
    async def main():
        async def open_the_gate():
            while "call" not in gate.entered():
                await asyncio.sleep(0.005)
            gate.open()

        opening = asyncio.ensure_future(open_the_gate())
        async with pool_face(1) as pool:
            future = pool.submit(pass_gate, gate.folder, "call")
        # Leaving waited for the call, and the loop let it through meanwhile.
        assert future.done() and opening.done()

    run(main())


def test_as_the_default_executor(run):
    name = contextvars.ContextVar("name", default="nobody")

    def look():
        return name.get(), threading.current_thread().name

    async def main():
        loop = asyncio.get_running_loop()
        pool = plait.ThreadPoolExecutor(2, "plaited")
        loop.set_default_executor(pool)
        name.set("somebody")
        found, thread = await asyncio.to_thread(look)
        assert found == "somebody" and thread.startswith("plaited")
        assert (await loop.run_in_executor(None, look))[1].startswith("plaited")
        # The loop uses it for more than the program does.
        assert await loop.getaddrinfo("127.0.0.1", 80)
        return pool

    pool = run(main())
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(look)
    # The runner has shut it down.
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("plaited")]


def test_two_loops_wait_for_one_future(pool, gate):
    future = pool.submit(pass_gate, gate.folder, "call")
    found = []

    async def wait():
        found.append(await future)

    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(2)]
    for thread in threads:
        thread.start()
    gate.wait_for("call")
    gate.open()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == future.result()


def test_a_loop_that_was_closed_is_not_told(pool, gate, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        futures = [pool.submit(pass_gate, gate.folder, "call"), *[pool.submit(abs, -1) for _ in range(10)]]
        for future in futures:
            asyncio.wrap_future(future)
        return weakref.ref(loop), futures

    loop, futures = asyncio.run(main())
    gate.open()
    told = threading.Event()
    futures[0].add_done_callback(lambda _: told.set())
    assert told.wait(30)
    concurrent.futures.wait(futures)
    assert not caplog.records
    # And it is not kept.
    del futures
    until(lambda: gc.collect() >= 0 and loop() is None, "the end of the loop")


def test_what_does_not_look_as_known_is_left_alone():
    def make(**cells):
        dest_loop, destination = cells["dest_loop"], cells["destination"]

        def _call_set_state(source):
            return dest_loop, destination, source

        return _call_set_state

    def _call_set_state(source):
        return source

    other = make(dest_loop=None, destination=None)
    assert _awaiting.chain(other) is other
    assert _awaiting.chain(_call_set_state) is _call_set_state
    future = plait.Future()
    called = []

    def note(source):
        called.append(source)

    note.__name__ = "_call_set_state"
    future.add_done_callback(note)
    future.set_result(1)
    assert called == [future]


def test_an_error_while_the_loop_is_told_is_reported(pool):
    async def main():
        loop = asyncio.get_running_loop()
        reported = []
        loop.set_exception_handler(lambda _, context: reported.append(context))

        def tell(destination, source):
            raise LookupError("no way to tell")

        inbox = _awaiting._inbox_of(loop)
        inbox.put(tell, loop.create_future(), None)
        later = loop.create_future()
        inbox.put(lambda destination, source: destination.set_result(source), later, 2)
        # What comes after it is told all the same.
        assert await asyncio.wrap_future(pool.submit(abs, -1)) == 1
        assert await later == 2
        assert [type(context["exception"]) for context in reported] == [LookupError]

    asyncio.run(main())


def test_ctrl_c_while_the_loop_is_told_is_no_error():
    reported = []

    class Source(plait.Future):
        def cancelled(self):
            # asyncio asks this when it has found that somebody waits. By Ctrl-C it cancels the main task, and
            # so what that waits for.
            signal.raise_signal(signal.SIGINT)
            return False

        def _get_snapshot(self):
            # The same since Python 3.15.
            signal.raise_signal(signal.SIGINT)
            return super()._get_snapshot()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        source = Source()
        loop.call_soon(source.set_result, 1)
        await source

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert reported == []
