"""`plait.Executor("asyncio")`: coroutine functions submitted from plain code and from event loops."""

import asyncio
import concurrent.futures
import contextvars
import gc
import os
import threading

import plait
import pytest
from crowds import ENV, Crowd, add, add_one, fail_on, plain
from outside import run_program, until


@pytest.fixture
def executor():
    with plait.Executor("asyncio") as executor:
        yield executor


def test_results(executor):
    futures = [executor.submit(add, n, b=1) for n in range(500)]
    assert [future.result() for future in futures] == list(range(1, 501))
    assert list(executor.map(add, range(10), range(10), buffersize=3)) == list(range(0, 20, 2))
    assert isinstance(futures[0], plait.Future) and isinstance(futures[0], concurrent.futures.Future)


def test_futures_are_awaitable(executor):
    async def main():
        return await asyncio.gather(*[executor.submit(add_one, n) for n in range(100)])

    assert asyncio.run(main()) == list(range(1, 101))
    done = concurrent.futures.wait([executor.submit(add_one, n) for n in range(10)]).done
    assert sorted(future.result() for future in done) == list(range(1, 11))


def test_the_limit_holds():
    crowd = Crowd(opened=True)
    with plait.Executor("asyncio", 7) as executor:
        futures = [executor.submit(crowd.enter, n) for n in range(300)]
        assert [future.result() for future in futures] == list(range(300))
    assert crowd.most == 7


def test_leaving_the_block_waits_for_all():
    crowd = Crowd()
    with plait.Executor("asyncio", 3) as executor:
        futures = [executor.submit(crowd.enter, n) for n in range(9)]
        until(lambda: crowd.inside == 3, "three at a time")
        crowd.opened = True
    assert all(future.done() for future in futures) and crowd.ended == 9
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(add_one, 1)


def test_async_with():
    async def main():
        async with plait.Executor("asyncio") as executor:
            future = executor.submit(add_one, 1)
        assert future.done()
        return await future

    assert asyncio.run(main()) == 2


def test_cancelling_a_running_one_cancels_its_coroutine(executor):
    crowd = Crowd()
    future = executor.submit(crowd.enter)
    until(lambda: crowd.inside == 1 and future.running(), "its start")
    assert future.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        future.result()
    with pytest.raises(concurrent.futures.CancelledError):
        future.exception()
    assert future.cancelled() and future.cancel() and future.done()
    assert (crowd.cancelled, crowd.inside) == (1, 0)


def test_cancelling_one_that_has_not_begun():
    crowd = Crowd()
    with plait.Executor("asyncio", 1) as executor:
        first, second, third = (executor.submit(crowd.enter, n) for n in range(3))
        until(lambda: crowd.inside == 1, "the first")
        assert second.cancel() and second.cancelled()
        crowd.opened = True
        assert (first.result(), third.result()) == (0, 2)
    assert crowd.begun == 2


def test_cancelling_what_awaits_it(executor):
    crowd = Crowd()

    async def main():
        task = asyncio.ensure_future(asyncio.wrap_future(executor.submit(crowd.enter)))
        while not crowd.inside:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    until(lambda: crowd.inside == 0, "the end of the coroutine")
    assert crowd.cancelled == 1


def test_one_that_has_ended_cannot_be_cancelled(executor):
    future = executor.submit(add_one, 1)
    assert future.result() == 2
    assert not future.cancel() and not future.cancelled() and future.exception() is None


def test_shutdown_cancels_what_has_not_begun():
    crowd = Crowd()
    executor = plait.Executor("asyncio", 2)
    futures = [executor.submit(crowd.enter, n) for n in range(6)]
    until(lambda: crowd.inside == 2, "two at a time")
    executor.shutdown(wait=False, cancel_futures=True)
    crowd.opened = True
    executor.shutdown()
    assert [future.cancelled() for future in futures] == [False, False, True, True, True, True]


def test_failures_tries_and_timeouts(executor):
    with pytest.raises(ValueError, match="item 3"):
        executor.submit(fail_on, 3, 3).result()
    with pytest.raises(ValueError) as caught:
        executor.options(retries=1).submit(fail_on, 3, 3).result()
    assert caught.value.__notes__ == ["plait: failed in each of 2 tries"]
    with pytest.raises(plait.TaskTimeout, match=r"sleep took longer than its timeout of 0\.02 s"):
        executor.options(timeout=0.02).submit(asyncio.sleep, 3600).result()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_an_exit_in_one_leaves_the_others_alone(executor, kind):
    async def leave():
        raise kind("now")

    futures = [executor.submit(leave), executor.submit(add_one, 1)]
    with pytest.raises(kind):
        futures[0].result()
    assert futures[1].result() == 2


variable = contextvars.ContextVar("variable", default="unset")


def test_context_variables_are_those_of_each_submit(executor):
    async def look():
        seen = variable.get()
        variable.set("changed")
        return seen

    def submit(value):
        variable.set(value)
        return executor.submit(look)

    futures = [contextvars.copy_context().run(submit, n) for n in range(5)]
    assert [future.result() for future in futures] == list(range(5))
    assert executor.submit(look).result() == "unset"


def test_coroutines_may_submit_further_ones(executor):
    async def fib(n):
        if n < 2:
            return n
        return sum(await asyncio.gather(executor.submit(fib, n - 1), executor.submit(fib, n - 2)))

    with plait.Executor("asyncio", 1000) as executor:
        assert executor.submit(fib, 10).result() == 55


def test_a_dropped_executor_finishes_what_is_pending():
    crowd = Crowd()
    future = plait.Executor("asyncio").submit(crowd.enter, 5)
    gc.collect()
    crowd.opened = True
    assert future.result() == 5


def test_bad_input():
    with plait.Executor("asyncio") as executor:
        with pytest.raises(TypeError, match="backend='threads'"):
            executor.submit(plain, 1)
        with pytest.raises(TypeError, match="backend='threads'"):
            executor.map(plain, [1])
        with pytest.raises(TypeError, match="positional argument"):
            executor.submit(add, 1).result()
    with pytest.raises(ValueError, match="max_workers"):
        plait.Executor("asyncio", 0)
    with pytest.raises(ValueError, match="initializer is for workers"):
        plait.Executor("asyncio", initializer=print)
    with pytest.raises(ValueError, match="memory_limit is an option of backend 'processes'"):
        plait.Executor("asyncio", memory_limit="1GB")


def test_many_threads_submit(executor):
    sums = []

    def work():
        futures = [executor.submit(add_one, n) for n in range(300)]
        sums.append(sum(future.result() for future in futures))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sums == [sum(range(1, 301))] * 5


def test_pending_work_is_finished_when_the_interpreter_ends():
    script = """
import asyncio, plait
async def work(n):
    await asyncio.sleep(0.05)
    print(n, flush=True)
executor = plait.Executor("asyncio", 1)
for n in range(3):
    executor.submit(work, n)
"""
    assert run_program("-c", script, env=ENV).lines == ["0", "1", "2"]


def test_ctrl_c_cancels_what_a_block_has_begun():
    script = """
import asyncio, os, plait, signal
async def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        print("tidied up")
try:
    with plait.Executor("asyncio", 1) as executor:
        futures = [executor.submit(work), executor.submit(work)]
        futures[0].result()
except KeyboardInterrupt:
    print(all(future.cancelled() for future in futures))
"""
    assert run_program("-c", script, env=ENV).lines == ["tidied up", "True"]


def test_in_a_forked_child(executor):
    assert executor.submit(add_one, 1).result() == 2
    pid = os.fork()
    if pid == 0:
        try:
            executor.submit(add_one, 1)
        except RuntimeError as error:
            os._exit(7 if "belongs to the parent process" in str(error) else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


# --- on other backends


@pytest.mark.parametrize("backend", ["auto", "serial"])
def test_a_coroutine_function_elsewhere_is_one_clear_error(backend):
    with plait.Executor(backend, 2) as executor:
        with pytest.raises(TypeError, match=f"backend '{backend}' does not run here; take backend='asyncio'"):
            executor.submit(add_one, 1)
        assert executor.submit(plain, 1).result() == 2


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_coroutine_does_not_leave_a_worker_process():
    says = pytest.raises(plait.NotPicklable, match=r"plait\.Executor\('asyncio'\)")
    with plait.ProcessPoolExecutor(1) as executor, says:
        executor.submit(add_one, 1).result()


def test_threads_hand_the_coroutine_over_as_the_stdlib_does():
    with plait.ThreadPoolExecutor(1) as executor:
        coroutine = executor.submit(add_one, 1).result()
    assert asyncio.run(coroutine) == 2
