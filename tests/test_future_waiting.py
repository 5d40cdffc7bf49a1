"""plait's futures in `wait`, `as_completed` and asyncio."""

import asyncio
import concurrent.futures as cf
import threading

import plait
import pytest
import workloads as w

# --- wait and as_completed


def test_wait_for_all(pool):
    futures = [pool.submit(w.add_one, n) for n in range(1000)]
    done, rest = cf.wait(futures)
    assert (done, rest) == (set(futures), set())


def test_wait_for_the_first(pool, gate):
    held = pool.submit(w.pass_gate, gate.folder, "a")
    quick = pool.submit(w.add_one, 1)
    done, rest = cf.wait([held, quick], return_when=cf.FIRST_COMPLETED)
    assert (done, rest) == ({quick}, {held})
    gate.open()
    assert cf.wait([held, quick]).not_done == set()


def test_wait_for_the_first_exception(pool, gate):
    held = pool.submit(w.pass_gate, gate.folder, "a")
    good = pool.submit(w.add_one, 1)
    good.result()
    bad = pool.submit(w.fail)
    done, rest = cf.wait([held, good, bad], return_when=cf.FIRST_EXCEPTION)
    assert (done, rest) == ({good, bad}, {held})
    gate.open()


def test_wait_for_the_first_exception_when_none_comes(pool):
    futures = [pool.submit(w.add_one, n) for n in range(50)]
    assert cf.wait(futures, return_when=cf.FIRST_EXCEPTION).done == set(futures)


def test_wait_times_out(pool, gate):
    held = pool.submit(w.pass_gate, gate.folder, "a")
    assert cf.wait([held], timeout=0.01).not_done == {held}
    gate.open()
    assert cf.wait([held]).done == {held}


def test_waiting_wakes_when_the_worker_dies(processes, gate):
    held = processes.submit(w.pass_gate, gate.folder, "a")
    doomed = processes.submit(w.kill_self)
    assert cf.wait([held, doomed], return_when=cf.FIRST_EXCEPTION).done == {doomed}
    assert isinstance(doomed.exception(), plait.WorkerDied)
    gate.open()


def test_as_completed_gives_each_once(pool):
    futures = [pool.submit(w.add_one, n) for n in range(1000)]
    futures += [pool.submit(w.fail) for _ in range(10)]
    assert sorted(map(id, cf.as_completed(futures + futures))) == sorted(map(id, futures))


def test_as_completed_gives_the_first_first(pool, gate):
    held = pool.submit(w.pass_gate, gate.folder, "a")
    gate.wait_for("a")
    quick = pool.submit(w.add_one, 1)
    completed = cf.as_completed([held, quick])
    assert next(completed) is quick
    gate.open()
    assert list(completed) == [held]


def test_as_completed_times_out(pool, gate):
    held = pool.submit(w.pass_gate, gate.folder, "a")
    with pytest.raises(TimeoutError, match=r"1 \(of 1\) futures unfinished"):
        list(cf.as_completed([held], timeout=0.01))
    gate.open()


def test_wait_mixes_with_the_stdlibs_futures(pool):
    with cf.ThreadPoolExecutor(1) as other:
        futures = [pool.submit(w.add_one, 1), other.submit(w.add_one, 2)]
        assert cf.wait(futures).done == set(futures)
        assert {future.result() for future in cf.as_completed(futures)} == {2, 3}


# --- asyncio


def test_awaiting(executor):
    async def main():
        assert await executor.submit(w.add_one, 1) == 2
        with pytest.raises(ValueError, match="on purpose"):
            await executor.submit(w.fail)
        assert await asyncio.wrap_future(executor.submit(w.add_one, 2)) == 3
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(executor, w.add_one, 3) == 4
        many = await asyncio.gather(*(loop.run_in_executor(executor, w.add_one, n) for n in range(500)))
        assert many == list(range(1, 501))
        assert (
            sum(
                await asyncio.gather(
                    *map(asyncio.wrap_future, [executor.submit(w.add_one, n) for n in range(100)])
                )
            )
            == 5050
        )

    asyncio.run(main())


def test_awaiting_leaves_the_loop_free(pool, gate):
    async def main():
        future = asyncio.ensure_future(asyncio.wrap_future(pool.submit(w.pass_gate, gate.folder, "a", 5)))
        for _ in range(10):
            await asyncio.sleep(0)
            assert not future.done()
        gate.open()
        return await future

    assert asyncio.run(main()) == 5


def test_asyncio_timeout_and_cancel_reach_what_has_not_begun(pool_face, gate):
    async def main(pool):
        queued = pool.submit(w.add_one, 1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(queued), 0.01)
        assert queued.cancelled()

        other = pool.submit(w.add_one, 1)
        task = asyncio.ensure_future(asyncio.wrap_future(other))
        assert other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with pool_face(1) as pool:
        pool.submit(w.pass_gate, gate.folder, "a")
        gate.wait_for("a")
        asyncio.run(main(pool))
        gate.open()


def test_a_thread_pool_may_be_the_default_executor():
    async def main(pool):
        asyncio.get_running_loop().set_default_executor(pool)
        name = await asyncio.to_thread(lambda: threading.current_thread().name)
        assert name.startswith("mine")
        assert await asyncio.get_running_loop().run_in_executor(None, w.add_one, 1) == 2

    with plait.ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        asyncio.run(main(pool))
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(w.add_one, 1)  # asyncio.run has shut its default executor down
