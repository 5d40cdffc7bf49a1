"""Executors as a user's program has them; every type is stated. Read by type checkers, never run."""

import asyncio
import concurrent.futures
from collections.abc import Iterator
from typing import assert_type

import plait


def size(path: str, *, follow: bool = True) -> int:
    return len(path) + follow


def area(width: float, height: int) -> float:
    return width * height


def processes() -> None:
    with plait.ProcessPoolExecutor(4, timeout=2.5, memory_limit="1.5GiB", preload=["numpy"]) as pool:
        assert_type(pool, plait.ProcessPoolExecutor)
        future = pool.submit(size, "a", follow=False)
        assert_type(future, plait.Future[int])
        assert_type(future.result(timeout=1), int)
        assert_type(future.exception(), BaseException | None)
        assert_type(pool.map(size, ["a", "b"], chunksize=2), Iterator[int])
        assert_type(list(pool.map(lambda name: name.upper(), ["a", "b"])), list[str])
        assert_type(pool.map(area, [1.5], [2], timeout=3, buffersize=8), Iterator[float])
        view = pool.options(timeout=1.0, retries=2)
        assert_type(view.submit(area, 1.5, 2), plait.Future[float])
        assert_type(view.options(retries=0).map(size, ["a"]), Iterator[int])
    pool.shutdown(wait=True, cancel_futures=True)
    pool.terminate_workers()
    pool.kill_workers()


def threads() -> None:
    with plait.ThreadPoolExecutor(8, thread_name_prefix="fetch", retries=1) as pool:
        assert_type(pool.submit(size, "a"), plait.Future[int])
        assert_type(pool.map(str.upper, ["a"]), Iterator[str])
        assert_type(pool.options(retries=3).submit(size, "a").result(), int)


def either(backend: str) -> int:
    with plait.Executor(backend, 2, initializer=print, initargs=("here",)) as executor:
        assert_type(executor, plait.Executor)
        futures = [executor.submit(size, name) for name in ("a", "bc")]
        assert_type(futures, list[plait.Future[int]])
        # What takes the stdlib's futures and executors takes plait's.
        for future in concurrent.futures.as_completed(futures):
            assert_type(future.result(), int)
        done, pending = concurrent.futures.wait(futures)
        assert_type(len(done) + len(pending), int)
        return run_on(executor)


def run_on(executor: concurrent.futures.Executor) -> int:
    return executor.submit(size, "a").result()


def told(future: plait.Future[int]) -> None:
    future.result()


async def coroutine() -> None:
    async with plait.ProcessPoolExecutor() as pool:
        assert_type(pool, plait.ProcessPoolExecutor)
        assert_type(await pool.submit(size, "a"), int)
        pool.submit(size, "a").add_done_callback(told)
        loop = asyncio.get_running_loop()
        assert_type(await loop.run_in_executor(pool, size, "a"), int)
    async with plait.Executor("threads") as executor:
        assert_type(await executor.submit(area, 1.5, 2), float)


def errors(pool: plait.ProcessPoolExecutor) -> str | None:
    try:
        pool.submit(size, "a").result()
    except plait.WorkerDied as error:
        assert_type(error.signal, int | None)
        assert_type(error.output, str)
        return error.task
    except plait.TaskTimeout as error:
        return error.stack
    except plait.NotPicklable as error:
        return error.path
    except plait.RemoteError as error:
        return error.type_name
    except plait.PlaitError:
        return None
    return "none"


def figures(pool: plait.ProcessPoolExecutor, threads: plait.ThreadPool) -> int:
    stats = pool.stats()
    assert_type(stats, plait.Stats)
    assert_type(stats.workers, tuple[plait.WorkerStats, ...])
    assert_type([worker.seconds for worker in stats.workers], list[float | None])
    return plait.Executor("threads").stats().done + threads.stats().done
