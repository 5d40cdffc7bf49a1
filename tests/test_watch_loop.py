"""`plait.watch_loop`: what blocks an event loop is told while it does, with its line, and nothing else is."""

import asyncio
import gc
import logging
import os
import re
import socket
import subprocess
import threading
import time

import plait
import pytest
from blocked import LIMIT, Told, here, soon, watchers
from outside import PATIENCE, until
from platforms import needs_gil


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Runs a coroutine in a loop of its own, of each kind."""
    if request.param == "asyncio":
        return asyncio.run
    return pytest.importorskip("uvloop").run


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def no_garbage():
    """Collecting the garbage of all tests keeps the GIL for long, and would be told."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def no_watcher_is_left():
    yield
    until(lambda: not watchers(), "the end of the thread that looks")


@needs_gil
def test_it_is_told_while_it_blocks_and_once_more_when_it_is_over(run, told):
    async def serve():
        told.wait(PATIENCE)
        return here(1)

    async def main():
        with plait.watch_loop(LIMIT, told):
            task = asyncio.create_task(serve(), name="server-7")
            line = await task
            await soon(lambda: told.ended, "the end")
        return line

    line = run(main())
    first, last = told
    assert isinstance(first, plait.LoopBlocked)
    assert (first.over, last.over) == (False, True)
    assert len({first, last}) == 2
    assert LIMIT <= first.seconds <= last.seconds
    for blocked in told:
        assert (blocked.file, blocked.line) == (__file__, line)
        assert blocked.function == serve.__qualname__
        assert (blocked.task, blocked.callback) == ("server-7", serve.__qualname__)
        assert (blocked.thread, blocked.thread_id) == ("MainThread", threading.get_native_id())
        assert (blocked.call, blocked.computes, blocked.gil) == ("told.wait", False, False)
        assert blocked.times == 1
    inner = [call.rpartition(" ")[2] for call in first.stack]
    assert inner.index("Event.wait") < inner.index(serve.__qualname__)
    assert first.trace[0].name in {"<module>", "_run_module_as_main"}
    assert [frame.name for frame in first.trace].index("serve") < len(first.trace) - 1
    assert "told.wait(PATIENCE)" in "".join(first.trace.format())


def test_the_step_that_asks_for_the_watch_may_be_the_one_that_blocks(run, told):
    async def main():
        with plait.watch_loop(LIMIT, told):
            told.wait(PATIENCE)
            return here(1)

    line = run(main())
    assert (told[0].file, told[0].line) == (__file__, line)


def test_where_the_system_has_no_alarm_it_is_told_all_the_same(run, told, monkeypatch):
    monkeypatch.setattr("plait._watch_loop.pulse._alarm", lambda: None)

    async def main():
        with plait.watch_loop(LIMIT, told):
            await asyncio.sleep(0.2)
            told.wait(PATIENCE)
            line = here(1)
            await soon(lambda: told.ended, "the end")
        return line

    line = run(main())
    assert [(blocked.line, blocked.over) for blocked in told] == [(line, False), (line, True)]


def test_a_sleep_is_told_with_its_remedy(run, told):
    async def main():
        with plait.watch_loop(LIMIT, told):
            # On a busy machine nobody may have a processor to look meanwhile.
            while not told:
                time.sleep(0.3)
                await asyncio.sleep(0)
            return here(2)

    line = run(main())
    assert (told[0].file, told[0].line, told[0].call) == (__file__, line, "time.sleep")
    assert told[0].remedy == "use await asyncio.sleep(…)"


def test_a_loop_of_python_is_told(run, told):
    def compute():
        told.news.clear()
        while not told.news.is_set():
            sum(range(1000))

    async def main():
        with plait.watch_loop(LIMIT, told, repeat_after=0):
            # On a busy machine it may have no processor to compute with.
            while not [blocked for blocked in told if blocked.computes and not blocked.gil]:
                compute()
                await asyncio.sleep(0.01)

    run(main())
    blocked = next(blocked for blocked in told if blocked.computes and not blocked.gil)
    assert blocked.function == compute.__qualname__
    assert blocked.line - compute.__code__.co_firstlineno in {2, 3}
    assert "plait.ProcessPoolExecutor" in blocked.remedy and "GIL" not in blocked.remedy


def test_a_socket_is_told(run, told):
    mine, other = socket.socketpair()

    def tell(blocked):
        told(blocked)
        other.send(b"x")

    async def main():
        with plait.watch_loop(LIMIT, tell):
            mine.recv(1)
            return here(1)

    with mine, other:
        line = run(main())
    assert (told[0].line, told[0].call) == (line, "mine.recv")
    assert "async client" in told[0].remedy


def test_a_read_is_told(run, told):
    mine, other = os.pipe()

    def tell(blocked):
        told(blocked)
        os.write(other, b"x")

    async def main():
        with plait.watch_loop(LIMIT, tell):
            os.read(mine, 1)
            return here(1)

    try:
        line = run(main())
    finally:
        os.close(mine)
        os.close(other)
    assert (told[0].line, told[0].call) == (line, "os.read")
    assert told[0].remedy == "await asyncio.to_thread(…)"


def test_a_child_that_is_waited_for_is_told_where_the_user_waits(run, told):
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:

        def tell(blocked):
            told(blocked)
            child.kill()

        async def main():
            with plait.watch_loop(LIMIT, tell):
                child.wait()
                return here(1)

        line = run(main())
    # It blocks within the standard library, which is of less use.
    assert told[0].stack[0].endswith(" Popen._try_wait")
    assert (told[0].file, told[0].line, told[0].call) == (__file__, line, "child.wait")
    assert "asyncio.create_subprocess_exec" in told[0].remedy


def test_a_future_that_is_waited_for_is_told(run, told):
    pool = plait.ThreadPoolExecutor(1)

    async def main():
        with plait.watch_loop(LIMIT, told):
            pool.submit(told.wait, PATIENCE).result()
            return here(1)

    with pool:
        line = run(main())
    assert (told[0].file, told[0].line) == (__file__, line)
    assert "await its future" in told[0].remedy


@needs_gil
@pytest.mark.parametrize("work", [lambda: re.findall(r"(x+x+)+y", "x" * 24), lambda: sum(range(20_000_000))])
def test_native_code_that_keeps_the_gil_is_told_afterwards(run, told, work):
    async def main():
        with plait.watch_loop(LIMIT, told):
            while not [blocked for blocked in told if blocked.gil and blocked.file]:
                work()
                await asyncio.sleep(0.01)

    run(main())
    blocked = next(blocked for blocked in told if blocked.gil and blocked.file)
    assert (blocked.file, blocked.line) == (__file__, work.__code__.co_firstlineno)
    assert blocked.computes and "plait.watch_gil()" in blocked.remedy


def for_a_while(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def test_many_small_callbacks_are_not_told(run, told, no_garbage):
    async def main():
        loop = asyncio.get_running_loop()
        with plait.watch_loop(0.25, told):
            await asyncio.sleep(0.1)
            # One turn of the loop, which lasts a second.
            for _ in range(10_000):
                loop.call_soon(for_a_while, 0.0001)
            await asyncio.sleep(0.01)
            line = here() + 1
            told.wait(PATIENCE)
        return line

    line = run(main())
    assert [blocked.line for blocked in told] == [line]


def test_tasks_that_go_on_in_small_steps_are_not_told(run, told, no_garbage):
    async def steps():
        for _ in range(3):
            for_a_while(0.0005)
            await asyncio.sleep(0)

    async def main():
        with plait.watch_loop(0.25, told):
            # Each turn lasts half a second.
            await asyncio.gather(*(steps() for _ in range(1000)))
            line = here() + 1
            told.wait(PATIENCE)
        return line

    line = run(main())
    assert [blocked.line for blocked in told] == [line]


def test_an_idle_loop_is_not_told(run, told, no_garbage):
    async def main():
        with plait.watch_loop(LIMIT, told):
            await asyncio.sleep(0.5)
            line = here() + 1
            told.wait(PATIENCE)
        return line

    line = run(main())
    assert [blocked.line for blocked in told] == [line]


@needs_gil
def test_gathered_and_nested_tasks_are_told_apart(run, told):
    async def deep(name):
        await asyncio.sleep(0.01)
        if name == "b":
            told.wait(PATIENCE)

    async def outer(name):
        await deep(name)

    async def main():
        async with asyncio.TaskGroup() as group:
            with plait.watch_loop(LIMIT, told):
                tasks = [group.create_task(outer(name), name=f"task-{name}") for name in "abc"]
                await asyncio.gather(*tasks, asyncio.sleep(0.01))

    run(main())
    assert (told[0].task, told[0].callback) == ("task-b", outer.__qualname__)
    assert told[0].function == deep.__qualname__
    assert told[0].line == deep.__code__.co_firstlineno + 3


def test_a_callback_that_is_no_task_is_told(run, told):
    def called():
        told.wait(PATIENCE)

    async def main():
        with plait.watch_loop(LIMIT, told):
            asyncio.get_running_loop().call_later(0.01, called)
            await soon(lambda: told.ended, "the end")

    run(main())
    assert (told[0].task, told[0].callback) == (None, called.__qualname__)
    assert told[0].line == called.__code__.co_firstlineno + 1


def test_a_callback_that_is_no_python_function_is_told(told):
    async def main():
        with plait.watch_loop(LIMIT, told):
            while not told:
                asyncio.get_running_loop().call_soon(time.sleep, 0.3)
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert (told[0].callback, told[0].call, told[0].task) == ("time.sleep", "time.sleep", None)
    assert told[0].remedy == "use await asyncio.sleep(…)"


@needs_gil
def test_native_calls_that_keep_the_gil_for_a_short_time_each_are_one_stall(run, told):
    import ctypes

    libc = ctypes.PyDLL(None)

    def calls():
        while not told.begun:
            libc.usleep(65_000)

    async def main():
        with plait.watch_loop(LIMIT, told):
            calls()

    run(main())
    assert told.begun[0].function == calls.__qualname__


@needs_gil
def test_another_thread_that_keeps_the_gil_is_not_put_down_to_the_loop(run, told):
    import ctypes

    libc = ctypes.PyDLL(None)
    over = threading.Event()

    def hog():
        while not over.is_set():
            libc.usleep(400_000)
            time.sleep(0.05)

    async def main():
        with plait.watch_loop(LIMIT, told):
            await soon(lambda: told, "anything to be told")

    thread = threading.Thread(target=hog)
    thread.start()
    try:
        run(main())
    finally:
        over.set()
        thread.join()
    assert told[0].file is None and told[0].gil and told[0].over
    assert "plait.watch_gil()" in told[0].remedy
    assert str(told[0]).startswith("the event loop of MainThread was held up for ")


def test_without_a_callback_it_is_a_warning(run, caplog):
    async def main():
        with plait.watch_loop(LIMIT):
            while not caplog.records:
                time.sleep(0.3)
                await asyncio.sleep(0)
            line = here(2)
            await soon(lambda: len(caplog.records) == 2, "the end to be told")
        return line

    line = run(main())
    assert {(record.name, record.levelno) for record in caplog.records} == {("plait", logging.WARNING)}
    first, last = (record.getMessage() for record in caplog.records)
    place = rf" in time\.sleep at {re.escape(__file__)}:{line} \S+\.main \(task \S+, \S+\)"
    span = r"(\d+ ms|\d+\.\d\d s)"
    assert re.fullmatch(rf"MainThread has blocked its event loop for {span}{place}: use await .*", first)
    assert re.fullmatch(rf"MainThread blocked its event loop for {span}{place}", last)
