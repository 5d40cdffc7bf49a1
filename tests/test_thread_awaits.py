"""Calls on threads that wait for calls of thread pools: somebody always runs those, on few threads."""

import asyncio
import concurrent.futures
import threading

import plait
import pytest
from outside import until
from workloads import pass_gate


def threads_of(pool):
    """The threads of a pool that run now."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(pool._thread_name_prefix)]


class Most:
    """How many were within at the same time, at most."""

    def __init__(self):
        self._lock = threading.Lock()
        self._now = self.most = 0

    def __enter__(self):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)

    def __exit__(self, *_):
        with self._lock:
            self._now -= 1


def by_await(future):
    async def main():
        return await future

    return asyncio.run(main())


def by_wrapping(future):
    async def main():
        return await asyncio.wait_for(asyncio.wrap_future(future), 60)

    return asyncio.run(main())


def by_wait(future):
    [done], _ = concurrent.futures.wait([future])
    return done.result()


def by_as_completed(future):
    [done] = concurrent.futures.as_completed([future])
    return done.result()


def by_result(future):
    return future.result()


WAYS = [by_await, by_wrapping, by_wait, by_as_completed, by_result]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("limits", [{}, {"timeout": 60}, {"retries": 1}], ids=str)
def test_the_only_thread_waits_for_a_call_of_its_pool(way, limits):
    with plait.ThreadPoolExecutor(1, **limits) as pool:
        assert pool.submit(lambda: way(pool.submit(abs, -7))).result() == 7
        # It ends as any other, and the pool works on.
        assert pool.submit(lambda: way(pool.submit(int, "8"))).result() == 8
        with pytest.raises(ValueError, match="no number"):
            pool.submit(lambda: way(pool.submit(int, "no number"))).result()
    until(lambda: not threads_of(pool), "the end of the pool's threads")


@pytest.mark.parametrize("way", WAYS)
def test_loops_within_loops_on_one_thread(way):
    def count(depth):
        return 1 + way(pool.submit(count, depth - 1)) if depth else 0

    with plait.ThreadPoolExecutor(1) as pool:
        assert pool.submit(count, 12).result() == 12
        until(lambda: len(threads_of(pool)) <= 1, "the end of the threads that were lent a place")


@pytest.mark.parametrize("first", WAYS)
@pytest.mark.parametrize("second", WAYS)
def test_two_pools_wait_for_each_other(first, second):
    def there(depth):
        return 1 + first(b.submit(back, depth)) if depth else 0

    def back(depth):
        return 1 + second(a.submit(there, depth - 1))

    with plait.ThreadPoolExecutor(1) as a, plait.ThreadPoolExecutor(1) as b:
        assert [future.result() for future in [a.submit(there, 4) for _ in range(3)]] == [8] * 3
        until(lambda: len(threads_of(a)) <= 1 and len(threads_of(b)) <= 1, "the end of the further threads")


def test_three_pools_wait_in_a_circle():
    def ask(pools, depth):
        if not depth:
            return 0
        return 1 + by_await(pools[1].submit(ask, [*pools[1:], pools[0]], depth - 1))

    with (
        plait.ThreadPoolExecutor(1) as a,
        plait.ThreadPoolExecutor(1) as b,
        plait.ThreadPoolExecutor(1) as c,
    ):
        assert a.submit(ask, [a, b, c], 10).result() == 10


def test_who_waits_for_another_pool_keeps_its_place(gate):
    """One thread makes one call at a time, though the call waits: nothing of its own pool depends on it."""

    def ask():
        with within:
            return by_await(others.submit(pass_gate, gate.folder, "asked"))

    within = Most()
    with plait.ThreadPoolExecutor(2) as others, plait.ThreadPoolExecutor(1) as one:
        asked = [one.submit(ask) for _ in range(3)]
        gate.wait_for("asked")
        # A stranger: a call of the other pool waits for the one thread, whose call does not wait for that.
        stranger = others.submit(lambda: by_await(one.submit(abs, -3)))
        until(lambda: one._queued == 3, "the calls to wait")
        gate.open()
        assert [future.result() for future in asked] == [None] * 3 and stranger.result() == 3
        assert within.most == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_as_many_calls_as_workers_run_beside_those_that_wait(workers):
    """Calls that wait, three deep: what is waited for comes first, so that they do not all begin."""

    def leaf(number):
        with leaves:
            return number

    def middle(number):
        return sum(asyncio.run(gathered(leaf, [number, 1])))

    def outer(number):
        with outers:
            return sum(asyncio.run(gathered(middle, [number, 2])))

    async def gathered(fn, numbers):
        return await asyncio.gather(*[pool.submit(fn, number) for number in numbers])

    leaves, outers = Most(), Most()
    with plait.ThreadPoolExecutor(workers) as pool:
        assert list(pool.map(outer, range(100))) == [number + 4 for number in range(100)]
    assert 1 <= leaves.most <= workers and 1 <= outers.most <= workers


def test_a_callback_lends_no_place():
    """Calls that only ask to be told leave one thread what it is for: one call at a time."""

    def first():
        with within:
            future = pool.submit(second)
            future.add_done_callback(lambda _: told.set())
            return not future.done()

    def second():
        with within:
            pass

    within, told = Most(), threading.Event()
    with plait.ThreadPoolExecutor(1) as pool:
        assert pool.submit(first).result()
        assert told.wait(60)
    assert within.most == 1


def test_a_wait_that_is_given_up_gives_the_place_back(gate):
    def give_up():
        async def main():
            held = pool.submit(pass_gate, gate.folder, "held")
            waiting = asyncio.ensure_future(asyncio.wrap_future(held))
            while not gate.entered():
                await asyncio.sleep(0.005)
            waiting.cancel()
            await asyncio.wait([waiting])
            return held

        return asyncio.run(main())

    with plait.ThreadPoolExecutor(1) as pool:
        held = pool.submit(give_up).result()
        gate.open()
        concurrent.futures.wait([held])
        until(lambda: len(threads_of(pool)) <= 1, "the end of the further thread")
        assert pool.submit(abs, -1).result() == 1


def test_a_call_waits_while_its_pool_shuts_down(gate):
    def outer():
        inner = pool.submit(abs, -5)
        pass_gate(gate.folder, "outer")
        return by_await(inner)

    pool = plait.ThreadPoolExecutor(1)
    future = pool.submit(outer)
    gate.wait_for("outer")
    pool.shutdown(wait=False)
    gate.open()
    assert future.result() == 5
    until(lambda: not threads_of(pool), "the end of the pool's threads")


def test_what_is_cancelled_ends_the_wait(gate):
    def outer():
        inner = pool.submit(abs, -5)
        inners.append(inner)

        async def main():
            try:
                return await inner
            except asyncio.CancelledError:
                return "cancelled"

        pass_gate(gate.folder, "outer")
        return asyncio.run(main())

    inners = []
    with plait.ThreadPoolExecutor(1) as pool:
        future = pool.submit(outer)
        gate.wait_for("outer")
        assert inners[0].cancel()
        gate.open()
        assert future.result() == "cancelled"
        assert pool.submit(abs, -1).result() == 1


def test_no_thread_to_be_had_is_an_error_of_who_awaits(monkeypatch):
    def outer():
        inner = pool.submit(abs, -5)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        try:
            by_await(inner)
        except RuntimeError as error:
            return str(error)
        finally:
            monkeypatch.undo()

    def refuse(self):
        raise RuntimeError("can't start new thread")

    with plait.ThreadPoolExecutor(1) as pool:
        assert pool.submit(outer).result() == "can't start new thread"
        assert pool.submit(abs, -1).result() == 1
