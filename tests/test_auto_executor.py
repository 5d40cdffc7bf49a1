"""`plait.Executor` with backend "auto": real futures, whatever is chosen, and nothing lost on the way."""

import asyncio
import concurrent.futures
import os
import threading
import time

import plait
import pytest
import workloads as w
from outside import PATIENCE, run_program, until
from platforms import needs_gil


def spin(n):
    total = 0
    for i in range(n):
        total += i * i
    return total


def nap(seconds):
    time.sleep(seconds)
    return seconds


def fail(text):
    raise LookupError(text)


@pytest.fixture
def executor():
    with plait.Executor("auto") as executor:
        yield executor


@pytest.mark.parametrize(
    ("fn", "items"), [(w.add_one, range(500)), (spin, [20_000] * 100), (nap, [0.003] * 100)], ids=str
)
def test_results_are_those_of_plain_calls(executor, fn, items):
    futures = [executor.submit(fn, item) for item in items]
    assert [future.result() for future in futures] == [fn(item) for item in items]
    assert all(isinstance(future, concurrent.futures.Future) for future in futures)
    assert list(executor.map(fn, items)) == [fn(item) for item in items]


def test_one_call_after_the_other(executor):
    assert [executor.submit(w.add_one, n).result() for n in range(600)] == list(range(1, 601))
    assert executor.choice is not None


def test_the_choice(executor):
    assert executor.choice is None
    futures = [executor.submit(nap, 0.02) for _ in range(40)]
    assert [future.result() for future in futures] == [0.02] * 40
    assert executor.choice.backend == "threads"
    assert executor.choice.workers > 2


@needs_gil
@pytest.mark.skipif(plait.cpu_count() < 2, reason="one processor")
def test_each_function_has_its_own(executor):
    list(executor.map(nap, [0.02] * 40))
    assert executor.choice.backend == "threads"
    list(executor.map(spin, [200_000] * 30))
    assert executor.choice.backend == "processes"
    pids = {future.result() for future in [executor.submit(pid_after, 200_000) for _ in range(30)]}
    assert pids - {os.getpid()}


def pid_after(n):
    spin(n)
    return os.getpid()


def test_an_exception_is_the_calls_own(executor):
    futures = [executor.submit(fail, str(n)) for n in range(50)]
    for n, future in enumerate(futures):
        assert isinstance(future.exception(), LookupError)
        assert str(future.exception()) == f"'{n}'" or future.exception().args == (str(n),)


def test_arguments_by_name(executor):
    futures = [executor.submit(w.arguments, n, name=n) for n in range(300)]
    assert [future.result() for future in futures] == [((n,), {"name": n}) for n in range(300)]


def test_what_waits_can_be_cancelled(executor):
    release = threading.Event()
    first = executor.submit(release.wait, 60)
    others = [executor.submit(release.wait, 60) for _ in range(3)]
    until(first.running, "the first call")
    last = [executor.submit(release.wait, 60) for _ in range(2000)]
    cancelled = [future.cancel() for future in reversed(last)]
    release.set()
    assert any(cancelled)
    for future, was in zip(reversed(last), cancelled, strict=True):
        assert future.cancelled() == was
        if was:
            for ask in (future.result, future.exception):
                with pytest.raises(concurrent.futures.CancelledError):
                    ask()
            assert future.done() and not future.running()
        else:
            assert future.result() is True
    assert all(future.result() for future in [first, *others])


def test_leaving_the_block_waits_for_all():
    with plait.Executor("auto") as executor:
        futures = [executor.submit(nap, 0.002) for _ in range(200)]
    assert all(future.done() for future in futures)
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(nap, 0)


def test_shutdown_without_waiting(tmp_path):
    executor = plait.Executor("auto")
    futures = [executor.submit(nap, 0.002) for _ in range(50)]
    executor.shutdown(wait=False)
    assert [future.result() for future in futures] == [0.002] * 50


def test_shutdown_that_cancels():
    executor = plait.Executor("auto", 1)
    release = threading.Event()
    first = executor.submit(release.wait, 60)
    others = [executor.submit(release.wait, 60) for _ in range(5)]
    until(first.running, "the first call")
    threading.Timer(0.05, release.set).start()
    executor.shutdown(cancel_futures=True)
    assert first.result() is True
    assert all(future.done() for future in others)
    assert all(future.cancelled() for future in others[1:])


def test_calls_that_submit_to_the_same_executor(executor):
    def tree(depth):
        if depth == 0:
            return 1
        return sum(future.result() for future in [executor.submit(tree, depth - 1) for _ in range(2)])

    assert executor.submit(tree, 6).result() == 64


def test_the_initializer_runs_in_each_worker():
    names = []
    with plait.Executor("auto", 2, initializer=names.append, initargs=("here",)) as executor:
        assert list(executor.map(nap, [0.005] * 20)) == [0.005] * 20
    assert set(names) == {"here"}


def test_an_option_of_processes_decides_for_them():
    with plait.Executor("auto", 1, max_tasks_per_child=2) as executor:
        assert executor.submit(os.getpid).result() != os.getpid()


def test_limits_of_calls(executor):
    with pytest.raises(plait.TaskTimeout):
        executor.options(timeout=0.05).submit(nap, 30 if plait.cpu_count() == 0 else 0.5).result()
    tries = []

    def second_time():
        tries.append(1)
        if len(tries) < 2:
            raise ValueError
        return "well"

    assert executor.options(retries=1).submit(second_time).result() == "well"


def test_tries_that_fail_while_it_decides_hold_up_no_call(executor):
    def odd_fails(n):
        nap(0.0003)
        if n % 2:
            raise ValueError(n)
        return n

    tried = executor.options(retries=1)
    futures = [tried.submit(odd_fails, n) for n in range(60)]
    assert not concurrent.futures.wait(futures, PATIENCE).not_done
    assert [n for n, future in enumerate(futures) if future.exception()] == list(range(1, 60, 2))


def test_with_asyncio():
    async def main():
        async with plait.Executor("auto") as executor:
            return await asyncio.gather(
                *(asyncio.wrap_future(executor.submit(nap, 0.001)) for _ in range(100))
            )

    assert asyncio.run(main()) == [0.001] * 100


def test_many_threads_submit(executor):
    answers = []

    def work():
        answers.extend(future.result() for future in [executor.submit(w.add_one, n) for n in range(200)])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(list(range(1, 201)) * 6)


@pytest.mark.parametrize("work", ["time.sleep(0.001)", "sum(range(20_000))"])
def test_the_program_may_end_without_a_shutdown(work):
    code = f"""
import os, time, plait
def work(n):
    {work}
    os.write(1, b"%d\\n" % n)
executor = plait.Executor("auto")
for n in range(60):
    executor.submit(work, n)
"""
    assert sorted(int(line) for line in run_program("-c", code).lines) == list(range(60))


def test_no_workers_make_no_sense():
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        plait.Executor("auto", 0)
    with pytest.raises(TypeError, match="initializer must be a callable"):
        plait.Executor("auto", initializer=3)
