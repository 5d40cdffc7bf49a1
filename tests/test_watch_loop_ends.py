"""`plait.watch_loop`, its handles: limits, lines that are counted, loops that end, forks and exits."""

import asyncio
import gc
import os
import signal
import textwrap
import threading
import time

import nbformat
import plait
import pytest
from blocked import LIMIT, Told, here, soon, watchers
from nbclient import NotebookClient
from outside import PATIENCE, finish, run_program, start_program, stat_of, until


@pytest.fixture
def told():
    return Told()


@pytest.fixture(autouse=True)
def no_watcher_is_left():
    yield
    until(lambda: not watchers(), "the end of the thread that looks")


async def block(told, times=1):
    """Stalls at one and the same line, each told to somebody; gives that line."""
    for _ in range(times):
        await asyncio.sleep(0.01)
        told.news.clear()
        assert told.wait(PATIENCE), "nothing was told"
        line = here(1)
    return line


def test_a_line_is_counted_rather_than_repeated(told):
    once = []

    async def main():
        counted = plait.watch_loop(LIMIT, once.append, repeat_after=1000)
        with counted, plait.watch_loop(LIMIT, told, repeat_after=0):
            await block(told, 3)
            await soon(lambda: len(told.ended) == 3, "the end of each")
            told.news.clear()
            told.wait(PATIENCE)
            line = here(1)
            await soon(lambda: len(once) == 4 and len(told) == 8, "another line to be told")
        return line

    line = asyncio.run(main())
    assert [blocked.times for blocked in told.begun] == [1, 2, 3, 1]
    assert [blocked.times for blocked in told.ended] == [1, 2, 3, 1]
    assert ", 3 times so far" in str(told.begun[2])
    assert [(blocked.line == line, blocked.over) for blocked in once] == [
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    ]


def test_a_line_is_told_again_with_its_count_when_its_time_has_come(told):
    seldom = []

    async def main():
        counted = plait.watch_loop(LIMIT, seldom.append, repeat_after=0.5)
        with counted, plait.watch_loop(LIMIT, told, repeat_after=0):
            while len(seldom) < 3:
                await block(told)

    asyncio.run(main())
    first, _, again = seldom
    assert (first.line, first.times) == (again.line, 1) and again.times > 1


def test_a_limit_is_on_the_number_of_lines(told):
    from plait._watch_loop import handle

    watch = handle.LoopWatch(LIMIT, None, 10.0)
    places = [("file.py", line, "f") for line in range(handle._MOST_PLACES + 1)]
    assert [watch._count(place, 1.0) for place in places[:-1]] == [1] * handle._MOST_PLACES
    assert watch._count(places[-1], 2.0) is None
    # The one that was told longest ago makes room.
    assert watch._count(places[-1], 11.0) == 1
    assert watch._count(places[0], 12.0) == 1
    assert watch._count(places[2], 10.9) is None
    assert len(watch._told) == handle._MOST_PLACES


def test_handles_have_their_own_limits_and_one_thread(told):
    patient = []

    async def main():
        with plait.watch_loop(LIMIT, told, repeat_after=0), plait.watch_loop(1000, patient.append) as other:
            assert len(watchers()) == 1
            await block(told)
            other.stop()
            await block(told)
            # The other's loop is this one; only the last handle ends its heartbeat.
            assert len(watchers()) == 1

    asyncio.run(main())
    assert len(told.begun) == 2 and patient == []


def test_after_the_end_nothing_is_told(told):
    async def main():
        watch = plait.watch_loop(LIMIT, told)
        watch.stop()
        watch.stop()
        other = Told()
        with plait.watch_loop(LIMIT, other):
            await block(other)

    asyncio.run(main())
    assert told == []


def test_a_callback_can_end_it(told):
    async def main():
        watch = plait.watch_loop(LIMIT, lambda blocked: (watch.stop(), told(blocked)))
        await block(told)
        await soon(lambda: not watchers(), "the end of the thread that looks")

    asyncio.run(main())
    assert len(told) == 1


def test_a_callback_that_fails_is_logged_and_called_again(told, caplog):
    def fail(blocked):
        told(blocked)
        raise SystemExit("of the callback")

    async def main():
        with plait.watch_loop(LIMIT, fail, repeat_after=0):
            await block(told, 2)
            await soon(lambda: len(caplog.records) == 4, "the errors")

    asyncio.run(main())
    assert all("the callback of plait.watch_loop failed" in record.getMessage() for record in caplog.records)
    assert caplog.records[0].exc_info[0] is SystemExit


def test_loops_of_several_threads_are_told_apart_by_one_thread():
    told = {name: Told() for name in ("loop-a", "loop-b")}
    lines, both = {}, threading.Barrier(2)

    def serve(name):
        async def main():
            with plait.watch_loop(LIMIT, told[name]):
                both.wait(PATIENCE)
                assert len(watchers()) == 1
                # Both are blocked at a time.
                both.wait(PATIENCE)
                lines[name] = await block(told[name])
                await soon(lambda: told[name].ended, "the end")

        asyncio.run(main())

    threads = [threading.Thread(target=serve, args=(name,), name=name) for name in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, mine in told.items():
        blocked = [blocked for blocked in mine if blocked.line == lines[name]]
        assert [blocked.over for blocked in blocked] == [False, True]
        assert {blocked.thread for blocked in mine} == {name}


def test_a_loop_that_is_run_later_and_elsewhere(told):
    loop = asyncio.new_event_loop()
    with plait.watch_loop(LIMIT, told, loop=loop, repeat_after=0):
        thread = threading.Thread(target=lambda: loop.run_until_complete(block(told)), name="elsewhere")
        thread.start()
        thread.join()
        assert told[0].thread == "elsewhere"
        # Now in this thread; not while it is stopped.
        time.sleep(2 * LIMIT)
        loop.run_until_complete(block(told, 2))
        until(lambda: len(told.ended) >= 1, "the end")
        loop.close()
    assert {blocked.function for blocked in told} == {"block"}


def test_a_running_loop_is_watched_from_another_thread(told):
    running = threading.Event()
    loop = asyncio.new_event_loop()

    def serve():
        loop.call_soon(running.set)
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    assert running.wait(PATIENCE)
    with plait.watch_loop(LIMIT, told, loop=loop):
        asyncio.run_coroutine_threadsafe(block(told), loop).result(PATIENCE)
        until(lambda: told.ended, "the end")
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
    assert told[0].thread == "server"


def test_a_loop_that_is_closed_is_forgotten(told):
    async def main():
        plait.watch_loop(LIMIT, told, repeat_after=0)
        await block(told)

    asyncio.run(main())
    until(lambda: not watchers(), "the thread to end with the loop")
    asyncio.run(main())
    assert len(told.begun) == 2


def test_the_heartbeat_ends_with_the_watch():
    loop = asyncio.new_event_loop()

    async def main():
        with plait.watch_loop(LIMIT, print):
            await asyncio.sleep(0.01)
            assert [handle for handle in loop._scheduled if not handle.cancelled()]
        assert not [handle for handle in loop._scheduled if not handle.cancelled()]

    loop.run_until_complete(main())
    loop.close()


def test_no_descriptor_is_left():
    async def main():
        with plait.watch_loop(LIMIT, print):
            await asyncio.sleep(0.01)

    asyncio.run(main())
    until(lambda: not watchers(), "the end of the first thread")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        asyncio.run(main())
    until(lambda: gc.collect() or len(os.listdir("/proc/self/fd")) <= before, "all descriptors to be closed")


def test_the_watcher_sleeps_while_nothing_is_late(told, monkeypatch):
    from plait._watch_loop.pulse import Pulse

    looks, beats = [], []
    look, beat = Pulse.look, Pulse._beat
    monkeypatch.setattr(Pulse, "look", lambda pulse, *times: (looks.append(pulse), look(pulse, *times)))
    monkeypatch.setattr(Pulse, "_beat", lambda pulse: (beats.append(pulse), beat(pulse)))

    async def main():
        with plait.watch_loop(1, told):
            await soon(lambda: len(beats) >= 8, "the heart to beat")

    asyncio.run(main())
    # A busy machine makes a heartbeat late now and then.
    assert len(looks) < len(beats)


def test_a_fork_has_no_watch():
    source = """
        import asyncio, os, plait, threading
        from blocked import block_told
        def told():
            return asyncio.run(block_told())
        def on_a_thread(function):
            with plait.ThreadPoolExecutor(1) as pool:
                return pool.submit(function).result()
        async def main():
            watch = plait.watch_loop(0.05, print)
            child = os.fork()
            if child == 0:
                watch.stop()
                # Since Python 3.14 a child is not in the loop that it was forked in, and cannot leave it.
                os._exit(0 if threading.active_count() == 1 and on_a_thread(told) else 1)
            return child
        child = asyncio.run(main())
        print(os.waitpid(child, 0)[1], told())
    """
    ended = run_program("-W", "ignore", "-c", textwrap.dedent(source))
    assert ended.lines == ["0 True"]


def test_a_program_ends_while_it_watches():
    source = """
        import asyncio, plait, threading
        from blocked import Told
        loop = asyncio.new_event_loop()
        told = Told()
        plait.watch_loop(0.05, told, loop=loop)
        loop.call_soon(told.wait)
        threading.Thread(target=loop.run_forever, daemon=True).start()
        told.wait()
        loop.call_soon_threadsafe(threading.Event().wait)
    """
    ended = run_program("-c", textwrap.dedent(source))
    assert ended.code == 0 and ended.err == "", ended


def test_ctrl_c_while_it_is_blocked():
    source = """
        import asyncio, plait, time
        async def main():
            with plait.watch_loop(0.05, lambda blocked: print("told", flush=True)):
                while True:
                    time.sleep(0.3)
                    await asyncio.sleep(0)
        asyncio.run(main())
    """
    program = start_program("-c", textwrap.dedent(source))
    assert program.stdout.readline() == "told\n"
    program.send_signal(signal.SIGINT)
    ended = finish(program)
    assert ended.code == -signal.SIGINT and ended.err.rstrip().endswith("KeyboardInterrupt"), ended


def test_time_in_which_the_program_is_stopped_does_not_count():
    source = """
        import asyncio, os, plait, signal, time
        from blocked import Told
        told = Told()
        async def main():
            with plait.watch_loop(0.5, told):
                end = time.monotonic() + 0.2
                while time.monotonic() < end:
                    pass
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(0.1)
                await asyncio.sleep(0.1)
                told.wait(40)
        asyncio.run(main())
        print(*(blocked.line for blocked in told))
    """
    program = start_program("-c", textwrap.dedent(source))
    until(lambda: stat_of(program.pid)[1] == "T", "the program to stop")
    time.sleep(1)
    program.send_signal(signal.SIGCONT)
    assert finish(program).lines == ["13"]


@pytest.mark.once
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::RuntimeWarning")
def test_a_cell_of_a_notebook_is_told(tmp_path):
    cells = [
        "import plait, threading\ntold, news = [], threading.Event()\n"
        "watch = plait.watch_loop(0.1, lambda blocked: (told.append(blocked), news.set()))",
        "1 + 1\nnews.wait(40)\n'a line that does not block'",
        "watch.stop()\nblocked = told[0]\nprint(blocked.line, blocked.call, blocked.over)",
    ]
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()
    assert "".join(out.get("text", "") for out in notebook.cells[2].outputs) == "2 news.wait False\n"


@pytest.mark.parametrize("limit", [0, -1, float("inf"), float("nan")])
def test_a_limit_is_above_zero(limit):
    with pytest.raises(ValueError, match="limit must be above 0"):
        plait.watch_loop(limit)


def test_what_cannot_be_watched():
    with pytest.raises(TypeError, match="limit must be a number of seconds, not str"):
        plait.watch_loop("1")
    with pytest.raises(TypeError, match="repeat_after must be a number of seconds, not bool"):
        plait.watch_loop(1, repeat_after=True)
    with pytest.raises(ValueError, match="repeat_after must be 0 seconds or more, not -1"):
        plait.watch_loop(1, repeat_after=-1)
    with pytest.raises(TypeError, match="callback must be callable, and int is not"):
        plait.watch_loop(1, 5)
    with pytest.raises(plait.PlaitError, match=r"no event loop runs here: call plait\.watch_loop"):
        plait.watch_loop()
    with pytest.raises(TypeError, match="loop must be an event loop, not str"):
        plait.watch_loop(loop="loop")
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(ValueError, match="the loop is closed"):
        plait.watch_loop(loop=loop)
    assert not watchers()
