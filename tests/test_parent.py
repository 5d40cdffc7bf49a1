"""What becomes of worker processes when their parent is killed, interrupted, or forks."""

import os
import signal
import threading
import warnings

import plait
import pytest
import workloads as w
from outside import children, finish, is_alive, nurseries, run_program, start_program, until

pytestmark = pytest.mark.once

# --- the parent's fate

PARENT = """
import os, sys, time
import plait, workloads

with plait.ProcessPoolExecutor(2) as pool:
    {work}
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("work", [
    "futures = [pool.submit(workloads.pass_gate, sys.argv[1], n) for n in range(2)]",
    "futures = [pool.submit(pow, 7, 10**9) for n in range(2)]; pool.submit(workloads.add_one, 1)",
    "print(pool.submit(workloads.add_one, 1).result())",
], ids=["busy", "holding the GIL", "idle"])  # fmt: skip
def test_a_killed_parent_leaves_nothing(tmp_path, work):
    program = start_program("-c", PARENT.format(work=work), tmp_path, stdin=None)
    try:
        until(lambda: program.stdout.readline().strip() == str(program.pid), "the parent's readiness")
        [nursery] = nurseries(program.pid)
        workers = until(lambda: children(nursery), "a worker")
    finally:
        program.kill()
        program.stdout.close(), program.stderr.close()
        program.wait()
    for pid in [nursery, *workers]:
        until(lambda: not is_alive(pid), "the end of nursery and workers of a killed parent")


def test_ctrl_c_ends_parent_and_workers_quietly(tmp_path):
    script = """
import plait, workloads, sys
try:
    with plait.ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(workloads.pass_gate, sys.argv[1], n) for n in range(50)]
        futures[0].result()
except KeyboardInterrupt:
    print("interrupted")
"""
    program = start_program("-c", script, tmp_path)
    until(lambda: len(list(tmp_path.iterdir())) == 2, "two running calls")
    os.killpg(program.pid, signal.SIGINT)
    assert finish(program).lines == ["interrupted"]


def test_workers_print_whole_lines(tmp_path):
    script = """
import plait
def work(n):
    for _ in range(50):
        print(f"{n:03d}" * 20)
with plait.ProcessPoolExecutor(4) as pool:
    list(pool.map(work, range(20)))
"""
    lines = run_program("-c", script).lines
    assert sorted(lines) == sorted(f"{n:03d}" * 20 for n in range(20) for _ in range(50))


# --- os.fork() in the parent

FORKING = """
import os, warnings
# Of the fork in a program with threads, which this one has on purpose.
warnings.simplefilter("ignore", DeprecationWarning)
import plait, workloads

pool = plait.ProcessPoolExecutor(2)
assert pool.submit(workloads.add_one, 1).result() == 2
pending = pool.submit(workloads.sleep, 0.2)
kept = list(plait.map(workloads.add_one, range(3), backend="processes"))

child = os.fork()
if child == 0:
    try:
        pool.submit(workloads.add_one, 1)
    except RuntimeError as error:
        print("submit:", error)
    try:
        pending.result()
    except RuntimeError as error:
        print("result:", error)
    print("cancel:", pending.cancel(), pending.done())
    pool.shutdown()
    with plait.ProcessPoolExecutor(2) as own:
        print("own:", own.submit(workloads.add_one, 5).result())
    print("map:", list(plait.map(workloads.add_one, range(3), backend="processes")))
    del pool, pending
    END
assert os.waitpid(child, 0)[1] == 0
print("parent:", pool.submit(workloads.add_one, 7).result(), pending.result())
print("map:", list(plait.map(workloads.add_one, range(3), backend="processes")))
pool.shutdown()
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "raise SystemExit"], ids=["_exit", "exit"])
def test_a_forked_child_has_pools_of_its_own(end):
    ended = run_program("-c", FORKING.replace("END", end))
    assert ended.lines == [
        "submit: this pool belongs to the parent process; make a new one after os.fork()",
        "result: this pool belongs to the parent process; make a new one after os.fork()",
        "cancel: False False",
        "own: 6",
        "map: [1, 2, 3]",
        "parent: 8 0.2",
        "map: [1, 2, 3]",
    ]


def test_a_child_that_multiprocessing_forked_has_pools_of_its_own():
    script = """
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import plait, workloads

def child():
    try:
        pool.submit(workloads.add_one, 1)
    except RuntimeError as error:
        print("submit:", error)
    with plait.ProcessPoolExecutor(2) as own:
        print("own:", own.submit(workloads.add_one, 5).result())
    print("map:", list(plait.map(workloads.add_one, range(3), backend="processes")))

pool = plait.ProcessPoolExecutor(2)
assert list(plait.map(workloads.add_one, range(3), backend="processes")) == [1, 2, 3]
pending = [pool.submit(workloads.sleep, 0.1) for _ in range(4)]
process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join()
print("parent:", process.exitcode, [future.result() for future in pending])
"""
    assert run_program("-c", script).lines == [
        "submit: this pool belongs to the parent process; make a new one after os.fork()",
        "own: 6",
        "map: [1, 2, 3]",
        "parent: 0 [0.1, 0.1, 0.1, 0.1]",
    ]


def test_a_program_that_the_parent_executes_inherits_nothing():
    script = """
import os, subprocess, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import plait, workloads
pool = plait.ProcessPoolExecutor(2)
future = pool.submit(workloads.sleep, 0.2)
assert list(plait.map(workloads.add_one, range(3), backend="processes")) == [1, 2, 3]
show = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1])"
list_descriptors = [sys.executable, "-c", show]
# Nothing but the standard streams, whoever starts it; the last is of the listing itself.
subprocess.run(list_descriptors, close_fds=False, check=True)
child = os.fork()
if child == 0:
    os.execv(sys.executable, list_descriptors)
assert os.waitpid(child, 0)[1] == 0
print(future.result(), pool.submit(workloads.add_one, 1).result())
"""
    assert run_program("-c", script).lines == ["[0, 1, 2]", "[0, 1, 2]", "0.2 2"]


def test_a_fork_in_the_middle_of_anything_leaves_no_lock_held():
    script = """
import os, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import plait, workloads

def use(make):
    while not stop.is_set():
        with make() as pool:
            assert pool.submit(workloads.add_one, 1).result() == 2

def map_on(backend):
    while not stop.is_set():
        assert list(plait.map(workloads.add_one, range(3), backend=backend, workers=1)) == [1, 2, 3]

stop = threading.Event()
threads = [threading.Thread(target=use, args=(lambda: plait.ProcessPoolExecutor(1),))]
threads += [threading.Thread(target=use, args=(lambda: plait.ProcessPoolExecutor(1, preload=["json"]),))]
threads += [threading.Thread(target=map_on, args=(backend,)) for backend in ("processes", "threads")]
# Not while modules are imported: Python's own locks of those are held in the child, too.
with plait.ProcessPoolExecutor(1) as pool:
    pool.submit(workloads.add_one, 1).result()
list(plait.map(workloads.add_one, range(3), backend="threads", workers=1))
for thread in threads:
    thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        with plait.ProcessPoolExecutor(1) as own:
            assert own.submit(workloads.add_one, 5).result() == 6
        for backend in "processes", "threads":
            assert list(plait.map(workloads.add_one, range(3), backend=backend, workers=1)) == [1, 2, 3]
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
print("done")
"""
    assert run_program("-c", script).lines == ["done"]


def test_workers_are_never_forked_from_a_threaded_program():
    # Python 3.12 and later warn of a fork in a program with threads.
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with plait.ProcessPoolExecutor(2, max_tasks_per_child=1) as pool:
                assert list(pool.map(w.add_one, range(20))) == list(range(1, 21))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_pool_may_be_dropped_while_the_program_forks():
    """What was registered before plait runs within its steps of a fork, and so may a garbage collection."""
    script = """
import os
pools = []
os.register_at_fork(before=pools.clear)
import plait, workloads
pools.append(plait.ProcessPoolExecutor(1))
future = pools[0].submit(workloads.sleep, 0.2)
child = os.fork()
if not child:
    os._exit(0)
print(os.waitpid(child, 0)[1], future.result())
"""
    assert run_program("-W", "ignore", "-c", script).lines == ["0 0.2"]
