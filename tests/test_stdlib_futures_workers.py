"""What programs written for the stdlib do with workers: initializers, locks, managers."""

import multiprocessing
import os
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path

import plait
import pytest
from outside import TESTS, run_program

# Locks of spawned processes need it; it lives as long as this process.
resource_tracker.ensure_running()


@pytest.fixture
def run_script(tmp_path):
    """Runs a main script, whose functions workers cannot import, and gives the lines that it prints."""

    def run(text):
        script = tmp_path / "script.py"
        script.write_text(text)
        path = [str(TESTS), str(Path(plait.__file__).parent.parent)]
        return run_program(script, env={"PYTHONPATH": os.pathsep.join(path)})

    return run


def test_tasks_see_what_the_initializer_has_set(run_script):
    ended = run_script("""if True:
        import plait
        connection = None
        settings = {"mode": "none"}
        untouched = [1]
        number = 5

        class Store:
            kept = 0
        store = Store()

        def connect(to):
            return f"to {to}"

        def initialize(to, mode):
            global connection
            connection = connect(to)
            settings["mode"] = mode
            store.kept = 7
            global fresh
            fresh = untouched + [2]

        def use():
            return connection, settings["mode"], store.kept, fresh, untouched, number

        def change():
            settings["mode"] += "!"
            return settings["mode"]

        with plait.ProcessPoolExecutor(1, initializer=initialize, initargs=("there", "fast")) as pool:
            print(*pool.submit(use).result())
            # What was not the initializer's goes on being the program's.
            untouched.append(3)
            number = 6
            settings["mode"] = "slow"
            print(*pool.submit(use).result())
            print(*pool.map(lambda i: (i, connection), [1]))
            # It is the same object for all functions.
            print(pool.submit(change).result(), pool.submit(use).result()[1])
        print(connection)
    """)
    assert ended.lines == [
        "to there fast 7 [1, 2] [1] 5",
        "to there fast 7 [1, 2] [1, 3] 6",
        "(1, 'to there')",
        "fast! fast!",
        "None",
    ]


def test_each_pool_has_its_own(run_script):
    ended = run_script("""if True:
        import plait
        value = 0

        def initialize(new):
            global value
            value = new

        def get():
            return value

        pools = [plait.ProcessPoolExecutor(1, None, initialize, (number,)) for number in (1, 2)]
        pools.append(plait.ProcessPoolExecutor(1))
        print([pool.submit(get).result() for pool in pools], value)
        for pool in pools:
            pool.shutdown()
    """)
    assert ended.lines == ["[1, 2, 0] 0"]


def test_multiprocessings_locks_and_queues_go_to_the_initializer(run_script):
    ended = run_script("""if True:
        import multiprocessing, os, plait

        context = multiprocessing.get_context("spawn")
        lent = context.Lock(), context.Queue(), context.Value("i", 7), context.Event(), context.Array("d", 2)

        def initialize(*given):
            global lock, queue, value, event, array
            lock, queue, value, event, array = given

        def use(number):
            with lock:
                value.value += 1
            array[number % 2] += number
            queue.put(number)
            event.set()

        with plait.ProcessPoolExecutor(2, context, initialize, lent) as pool:
            list(pool.map(use, range(10)))
            print(sorted(lent[1].get(timeout=30) for _ in range(10)))
        print(lent[2].value, lent[3].is_set(), sum(lent[4]))
    """)
    assert ended.lines == ["[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "17 True 45.0"]


@pytest.mark.parametrize("late", [False, True])
def test_managers_serve_workers(run_script, late):
    imported = "import multiprocessing"
    ended = run_script(f"""if True:
        import plait
        {"pass" if late else imported}
        # The manager's process imports this script, since Python 3.14.
        if __name__ == "__main__":
            pool = plait.ProcessPoolExecutor(1)
            pool.submit(int).result()
            {imported if late else "pass"}
            with pool, multiprocessing.Manager() as manager:
                queue, shared = manager.Queue(), manager.dict()
                pool.submit(queue.put, "heard").result()
                pool.submit(shared.update, kept=1).result()
                print(queue.get(timeout=30), dict(shared))
    """)
    assert ended.lines == ["heard {'kept': 1}"]


def test_a_worker_is_a_child_in_multiprocessings_eyes(run_script):
    ended = run_script("""if True:
        import os, plait

        def look():
            import multiprocessing
            parent = multiprocessing.parent_process()
            return multiprocessing.current_process().name, parent.pid, parent.is_alive()

        with plait.ProcessPoolExecutor(1) as pool:
            name, pid, alive = pool.submit(look).result()
            print(name, pid == os.getpid(), alive)
        import multiprocessing
        print(multiprocessing.current_process().name, multiprocessing.parent_process())
    """)
    assert ended.lines == ["plait-worker-0 True True", "MainProcess None"]


def test_what_cannot_be_lent_is_said():
    import multiprocessing

    with pytest.raises(plait.NotPicklable, match=r"^args\[0\].*multiprocessing.get_context\('spawn'\)"):
        plait.ProcessPoolExecutor(1, None, print, (multiprocessing.get_context("fork").Lock(),))
    ends = multiprocessing.get_context("spawn").Pipe()
    with pytest.raises(plait.NotPicklable, match=r"^args\[0\].*Pipe\(duplex=False\)"):
        plait.ProcessPoolExecutor(1, None, print, ends)
    for end in ends:
        end.close()


def test_a_failing_initializer_is_logged(run_script):
    ended = run_script("""if True:
        import logging, plait
        from concurrent.futures.process import BrokenProcessPool

        def initialize():
            raise LookupError("nothing there")

        logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
        with plait.ProcessPoolExecutor(1, initializer=initialize) as pool:
            try:
                pool.submit(int).result()
            except BrokenProcessPool as error:
                print(error)
    """)
    assert ended.code == 0
    assert "CRITICAL concurrent.futures Exception in initializer:" in ended.err
    assert "LookupError: nothing there" in ended.err
    assert "LookupError: nothing there" in ended.out


def test_what_a_failing_initializer_has_sent_is_there_when_the_pool_breaks():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with plait.ProcessPoolExecutor(1, initializer=put_and_fail, initargs=(queue,)) as executor:
        with pytest.raises(BrokenProcessPool, match="no database"):
            executor.submit(abs, -1).result()
        # A worker's thread writes to the queue; the worker has waited for it.
        assert queue.get_nowait() == "trying"
    queue.close()
    queue.join_thread()


def put_and_fail(queue):
    queue.put("trying")
    raise ValueError("no database")
