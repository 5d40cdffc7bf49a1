"""How pools end: by `close`, by `terminate`, with their block, with their program."""

import concurrent.futures
import os
import signal
import threading

import plait
import pytest
import workloads as w
from outside import finish, is_alive, run_program, start_program, until

pytestmark = pytest.mark.once


@pytest.fixture(params=["Pool", "ThreadPool"])
def kind(request):
    return getattr(plait, request.param)


def test_a_closed_pool_finishes(kind):
    pool = kind(2)
    results = [pool.apply_async(w.identity, (x,)) for x in range(100)]
    several = pool.map_async(w.identity, range(100), 7)
    pool.close()
    pool.close()
    pool.join()
    pool.join()
    assert [result.get(0) for result in results] == several.get(0) == list(range(100))


def test_a_block_terminates(gate):
    with plait.Pool(2) as pool:
        running = pool.apply_async(w.pass_gate, (gate.folder, "a"))
        waiting = [pool.apply_async(w.pass_gate, (gate.folder, "b")) for _ in range(10)]
        done = pool.apply_async
        [pid] = gate.wait_for("a")
    # It has waited for its workers.
    assert not is_alive(pid)
    pool.join()
    for result in (running, *waiting):
        assert result.ready() and not result.successful()
        with pytest.raises(concurrent.futures.CancelledError, match="the pool was terminated"):
            result.get()
    with pytest.raises(ValueError, match="Pool not running"):
        done(w.nothing)


def test_what_was_done_before_can_be_had_after(kind):
    with kind(2) as pool:
        single, several = pool.apply_async(w.add_one, (1,)), pool.map_async(w.add_one, range(5))
        single.wait()
        several.wait()
    assert single.get() == 2 and several.get() == [1, 2, 3, 4, 5]


def test_threads_end_what_they_have_begun(gate):
    with plait.ThreadPool(1) as pool:
        running = pool.apply_async(w.pass_gate, (gate.folder, "a", 5))
        waiting = pool.apply_async(w.pass_gate, (gate.folder, "b", 5))
        gate.wait_for("a")
    with pytest.raises(concurrent.futures.CancelledError, match="the pool was terminated"):
        waiting.get()
    gate.open()
    pool.join()
    assert running.get() == 5


def test_workers_that_ignore_sigterm_are_gone_too(gate):
    def ignore():
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        w.pass_gate(gate.folder, "a")

    pool = plait.Pool(1)
    pool.apply_async(ignore)
    [pid] = gate.wait_for("a")
    pool.terminate()
    assert not is_alive(pid)
    pool.join()


def test_terminate_while_another_thread_waits(kind, gate):
    told = []

    def wait(pool):
        try:
            pool.map(lambda name: w.pass_gate(gate.folder, name), ["a", "b"], 1)
        except BaseException as error:
            told.append(error)

    pool = kind(1)
    thread = threading.Thread(target=wait, args=(pool,))
    thread.start()
    gate.wait_for("a")
    pool.terminate()
    gate.open()
    thread.join()
    pool.join()
    assert [type(error) for error in told] == [concurrent.futures.CancelledError]


# Programs that end with a pool in each state; none may hang, be killed or say anything.
PROGRAMS = {
    "running": "results = [pool.apply_async(wait) for _ in range(3)]; begin()",
    "closed": "results = [pool.apply_async(wait) for _ in range(3)]; begin(); pool.close()",
    "forgotten": "results = [pool.apply_async(wait)]; begin(); del pool",
    "with a callback": "pool.apply_async(wait, callback=print); begin()",
    "with an input": "results = pool.imap(wait, endless()); begin()",
    "with an input that waits": "results = pool.imap(abs, stuck()); print(next(results))",
    "unused": "pool",
}


@pytest.mark.parametrize("state", PROGRAMS)
def test_the_end_of_a_program_waits_for_no_pool(kind, state, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"""
import itertools, os, threading, time, warnings
import plait

warnings.simplefilter("ignore", ResourceWarning)
here = {str(tmp_path)!r}

def wait(*_):
    open(os.path.join(here, "begun"), "w").close()
    time.sleep(1000)

def begin():
    while not os.path.exists(os.path.join(here, "begun")):
        time.sleep(0.002)

def endless():
    yield from itertools.count()

def stuck():
    yield -7
    threading.Event().wait()

pool = plait.{kind.__name__}(2)
{PROGRAMS[state]}
print("end")
""")
    assert run_program(script).lines[-1] == "end"


def test_a_pool_serves_threads_that_outlive_the_main_thread(kind, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"""
import threading, time
import plait

def use():
    while threading.main_thread().is_alive():
        time.sleep(0.002)
    print(pool.map(abs, [-1, -2]))
    print(pool.apply_async(abs, (-3,), callback=print).get())
    print(sorted(pool.imap_unordered(abs, iter([-4, -5]))))
    pool.close()
    pool.join()

pool = plait.{kind.__name__}(2)
threading.Thread(target=use).start()
""")
    assert run_program(script).lines == ["[1, 2]", "3", "3", "[4, 5]"]


def test_a_script_needs_no_guard(tmp_path):
    script = tmp_path / "program.py"
    script.write_text("""
import plait

counter = None

def begin(value):
    global counter
    counter = value

def use(x):
    return counter + x

with plait.Pool(2, begin, (10,)) as pool:
    print(pool.map(use, range(3)), list(pool.imap(lambda x: x * 2, range(3))))
""")
    assert run_program(script).lines == ["[10, 11, 12] [0, 2, 4]"]


def test_workers_look_like_those_of_multiprocessing(tmp_path):
    script = tmp_path / "program.py"
    script.write_text("""
import multiprocessing
import plait

def look():
    process = multiprocessing.current_process()
    return process._identity, process.name, process.daemon

def send(args):
    queue, x = args
    queue.put(x)

with multiprocessing.get_context("fork").Manager() as manager:  # no default any more
    queue = manager.Queue()
    with plait.Pool(1) as pool:
        pool.map(send, [(queue, x) for x in range(3)])
        print([queue.get() for _ in range(3)])
queue = None
for _ in range(2):
    with plait.Pool(1) as pool:
        print(*pool.apply(look))
""")
    lines = run_program(script).lines
    assert lines == ["[0, 1, 2]", "(2,) PoolWorker-2 True", "(3,) PoolWorker-3 True"]


def test_no_file_and_no_thread_is_left(kind):
    def use():
        with kind(2) as pool:
            pool.map_async(w.add_one, range(10), callback=abs_of).get()
            list(pool.imap_unordered(w.add_one, iter(range(10))))
        pool.join()

    def abs_of(values):
        return values

    # Those that `plait.map` keeps are others'.
    before = set(threading.enumerate())
    use()
    files = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        use()
    names = ("plait-", "ThreadPool")
    until(
        lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith(names)],
        lambda: f"the end of threads: {threading.enumerate()}",
    )
    until(lambda: len(os.listdir("/proc/self/fd")) <= files, "files to be closed")


def test_a_pool_that_is_closed_while_a_map_is_under_way(kind):
    n = 4000
    pool = kind(1)
    begun = threading.Event()
    results = []

    def items():
        for x in range(n):
            if x == n // 2:
                begun.set()
            yield x

    class Sized:
        def __len__(self):
            return n

        def __iter__(self):
            return items()

    thread = threading.Thread(target=lambda: results.extend(pool.map(w.identity, Sized(), 1)))
    thread.start()
    begun.wait()
    pool.close()
    pool.join()
    thread.join()
    assert results == list(range(n))


@pytest.mark.parametrize(
    "use",
    [
        "with pool: pool.map(wait, range(5), 1)",
        "list(pool.imap(wait, endless()))",
        "list(pool.imap_unordered(wait, endless()))",
        "pool.apply_async(wait, (1,), callback=print).get()",
        "pool.map_async(wait, range(5), 1).wait()",
        "pool.apply_async(wait, (1,)); pool.close(); pool.join()",
    ],
)
def test_ctrl_c_ends_a_program_that_waits(kind, use, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(f"""
import itertools, os, time
import plait

def wait(_):
    open({str(tmp_path / "begun")!r}, "w").close()
    time.sleep(1000)

def endless():
    yield from itertools.count()

pool = plait.{kind.__name__}(2)
{use}
""")
    program = start_program(script)
    until((tmp_path / "begun").exists, "the start of a call")
    program.send_signal(signal.SIGINT)
    ended = finish(program)
    assert ended.code == -signal.SIGINT
    assert ended.err.count("Traceback") == 1 and ended.err.rstrip().endswith("KeyboardInterrupt")
