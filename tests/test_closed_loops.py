"""Event loops that are closed while something runs for them: it ends, and nobody waits for ever."""

import asyncio
import gc
import threading
import warnings

import plait
import pytest
from crowds import Crowd, add_one
from outside import until
from workloads import pass_gate

pytestmark = pytest.mark.filterwarnings(
    # A loop that is closed in the middle leaves tasks behind: that is the program's own doing.
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def loop():
    """A loop that nobody cleans up."""
    loop = asyncio.new_event_loop()
    yield loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.mark.parametrize("backend", ["threads", "processes"])
def test_a_call_that_was_awaited(loop, gate, backend):
    with plait.Executor(backend, 1) as executor:
        future = executor.submit(pass_gate, gate.folder, "a", "done")

        async def wait():
            return await future

        async def begin():
            loop.waiting = asyncio.ensure_future(wait())
            await asyncio.sleep(0.01)

        loop.run_until_complete(begin())
        loop.close()
        gate.wait_for("a")
        gate.open()
        # Its result is there all the same, and the pool goes on.
        assert future.result() == "done"
        assert executor.submit(abs, -1).result() == 1
    loop.waiting = None


@pytest.mark.parametrize("backend", ["threads", "processes", "auto"])
@pytest.mark.parametrize("options", [{}, {"errors": "return"}], ids=["plain", "long"])
def test_a_map_in_the_middle(loop, backend, options):
    results = plait.amap(abs, range(50), backend=backend, workers=2, **options)
    assert loop.run_until_complete(anext(results)) == 0
    loop.close()
    del results
    # What it used serves others.
    assert list(plait.map(abs, range(-3, 0), backend=backend, workers=2)) == [3, 2, 1]


def test_coroutines_in_a_loop_of_plaits_own(loop):
    crowd = Crowd()

    async def begin():
        executor = plait.Executor("asyncio")
        futures = [executor.submit(crowd.enter) for _ in range(3)]
        await asyncio.sleep(0.01)
        return executor, futures

    executor, futures = loop.run_until_complete(begin())
    loop.close()
    crowd.opened = True
    assert [future.result(60) for future in futures] == [0, 0, 0]
    executor.shutdown()


def test_a_map_that_runs_on_another_loop_while_one_is_closed(loop):
    """`plait.map` within a loop has a loop of its own, which the closing of that one does not touch."""
    results = []

    async def begin():
        results.append(plait.map(add_one, range(100), backend="asyncio"))
        return next(results[0])

    assert loop.run_until_complete(begin()) == 1
    loop.close()
    assert list(results[0]) == list(range(2, 101))


def test_a_loop_that_is_closed_by_its_own_thread_while_others_end(gate):
    """A call ends after the loop that awaited it is gone: its news has nobody to reach, and harms nobody."""
    heard = []

    def other():
        loop = asyncio.new_event_loop()
        future = executor.submit(pass_gate, gate.folder, "a", 1)

        async def wait():
            task = asyncio.ensure_future(listen())
            await asyncio.sleep(0.01)
            task.cancel()

        async def listen():
            heard.append(await future)

        loop.run_until_complete(wait())
        loop.close()

    with plait.Executor("threads", 2) as executor:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        gate.open()
        until(lambda: executor.submit(abs, -2).result() == 2, "further results")
    assert heard == []
