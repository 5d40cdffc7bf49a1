"""What only the thread pool does: a subclass of the stdlib's, its threads start late and end in time."""

import concurrent.futures as cf
import contextlib
import gc
import threading

import plait
import pytest
import workloads as w
from outside import run_program, until


def names(prefix):
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_is_the_stdlibs_class():
    with plait.ThreadPoolExecutor(1) as pool:
        assert isinstance(pool, cf.ThreadPoolExecutor)


def test_stdlib_arguments_by_position_and_name():
    with plait.ThreadPoolExecutor(1, "named", w.set_state, ("position", 1)) as pool:
        assert pool.submit(w.get_state, "position").result()[0] == 1
    with plait.ThreadPoolExecutor(
        max_workers=1, thread_name_prefix="named", initializer=w.set_state, initargs=("name", 2)
    ) as pool:
        assert pool.submit(w.get_state, "name").result()[0] == 2
        assert pool.submit(lambda: threading.current_thread().name).result().startswith("named")


def test_threads_start_as_work_comes_in_and_are_used_again():
    with plait.ThreadPoolExecutor(8, thread_name_prefix="lazy") as pool:
        assert names("lazy") == []
        for n in range(50):
            assert pool.submit(w.add_one, n).result() == n + 1
            until(lambda: pool._queued == 0, "an empty queue")
        assert 1 <= len(names("lazy")) <= 8


def test_as_many_threads_as_asked_for_run_at_once():
    meet = threading.Barrier(5)
    with plait.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(meet.wait, 60) for _ in range(4)]
        meet.wait(60)
        assert len({future.result() for future in futures}) == 4


def test_never_more_threads_than_asked_for():
    with plait.ThreadPoolExecutor(3, thread_name_prefix="few") as pool:
        idents = {pool_thread for pool_thread in pool.map(lambda _: threading.get_ident(), range(500))}
        assert len(idents) <= 3
        assert len(names("few")) <= 3


def test_values_are_not_copied():
    value = [threading.Lock()]
    with plait.ThreadPoolExecutor(1) as pool:
        assert pool.submit(w.identity, value).result() is value


def test_an_exception_is_the_very_object():
    error = ValueError("mine")
    with plait.ThreadPoolExecutor(1) as pool:
        assert pool.submit(w.raise_itself, error).exception() is error


def test_shutdown_ends_the_threads():
    pool = plait.ThreadPoolExecutor(4, thread_name_prefix="ending")
    list(pool.map(w.add_one, range(100)))
    pool.shutdown()
    assert names("ending") == []


def test_a_forgotten_pool_ends_its_threads():
    pool = plait.ThreadPoolExecutor(4, thread_name_prefix="forgotten")
    list(pool.map(w.add_one, range(100)))
    del pool
    gc.collect()
    until(lambda: names("forgotten") == [], "the end of the threads of a pool that nobody holds")


def test_a_broken_pool_says_so_like_the_stdlib(caplog):
    from concurrent.futures.thread import BrokenThreadPool

    pool = plait.ThreadPoolExecutor(1, initializer=w.bad_initializer)
    with pytest.raises(
        BrokenThreadPool, match="A thread initializer failed, the thread pool is not usable anymore"
    ):
        pool.submit(w.add_one, 1).result()
    with pytest.raises(
        BrokenThreadPool, match="A thread initializer failed, the thread pool is not usable anymore"
    ):
        until(lambda: pool.submit(w.add_one, 1) is None, "a refusal")
    pool.shutdown()
    assert "Exception in initializer" in caplog.text
    assert "no licence server" in caplog.text


def test_calls_may_submit_to_their_own_pool():
    with plait.ThreadPoolExecutor(4) as pool:

        def outer(n):
            return [pool.submit(w.add_one, n) for _ in range(3)]

        inner = [future for futures in pool.map(outer, range(50)) for future in futures]
        assert sorted(future.result() for future in inner) == sorted(list(range(1, 51)) * 3)


def test_calls_may_wait_for_calls_of_their_own_pool():
    script = """
import plait, workloads

with plait.ThreadPoolExecutor(2) as pool:
    def total(n):
        return n if n == 0 else n + pool.submit(total, n - 1).result()

    print(list(pool.map(total, range(10))))
"""
    assert run_program("-c", script).lines == [str([n * (n + 1) // 2 for n in range(10)])]


def test_a_thread_that_exits_by_an_exception_of_the_interpreter_goes_on():
    with plait.ThreadPoolExecutor(1) as pool:
        ident = pool.submit(threading.get_ident).result()
        with pytest.raises(SystemExit):
            pool.submit(w.raise_exit).result()
        assert pool.submit(threading.get_ident).result() == ident


def test_submitting_while_another_thread_shuts_down_never_hangs():
    for _ in range(10):
        pool = plait.ThreadPoolExecutor(2)
        futures = []

        def submit():
            with contextlib.suppress(RuntimeError):
                while len(futures) < 100_000:
                    futures.append(pool.submit(w.nothing))

        thread = threading.Thread(target=submit)
        thread.start()
        until(lambda: len(futures) > 20, "some futures")
        pool.shutdown()
        thread.join()
        assert cf.wait(futures, timeout=60).not_done == set()


def test_submit_at_the_end_of_the_interpreter_is_refused():
    script = """
import atexit, plait, workloads

pool = plait.ThreadPoolExecutor(1)
pool.submit(workloads.nothing).result()

@atexit.register
def late():
    try:
        pool.submit(workloads.nothing)
    except RuntimeError as error:
        print(error)
"""
    assert run_program("-c", script).lines == ["cannot schedule new futures after interpreter shutdown"]


def test_daemon_threads_of_the_user_do_not_hinder_the_end():
    script = """
import threading, plait, workloads

pool = plait.ThreadPoolExecutor(2)
waiting = [plait.Future(), pool.submit(workloads.nothing), plait.Future()]
for future in waiting:
    threading.Thread(target=future.result, daemon=True).start()
futures = [pool.submit(workloads.add_one, n) for n in range(100)]
print(sum(f.result() for f in futures))
"""
    ended = run_program("-c", script)
    assert (ended.code, ended.out) == (0, "5050\n"), ended
