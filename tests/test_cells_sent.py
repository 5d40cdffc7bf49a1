"""A `plait.Value` or `plait.Array` is the same cell wherever it gets to, and no step of a process is lost."""

import functools
import os
import signal

import plait
import pytest
from outside import run_program, until

EACH = 2_000


def count(counter, times=EACH):
    for _ in range(times):
        counter.add()
    return counter.value


def mark(cells, at):
    cells.add(at, at + 1)
    return cells


def raise_to(highest, numbers):
    for number in numbers:
        seen = highest.value
        while seen < number and not highest.compare_and_swap(seen, number):
            seen = highest.value


@pytest.fixture
def pool():
    with plait.ProcessPoolExecutor(2) as pool:
        yield pool


def test_as_an_argument(pool):
    counter, cells = plait.Value(int), plait.Array(int, 4)
    for future in [pool.submit(count, counter) for _ in range(8)]:
        assert future.result() >= EACH
    assert counter.value == 8 * EACH
    for future in [pool.submit(mark, cells, at) for at in (0, 1, 2, 3, -1)]:
        assert future.result().kind == "int64"
    assert list(cells) == [1, 2, 3, 4]


def test_within_other_things(pool):
    counter = plait.Value(float)
    tree = {"counters": [counter, (counter, {"deep": counter})], "text": "x" * 100_000}

    def add(tree):
        first, (second, rest) = tree["counters"]
        return [cell.add(0.5) for cell in (first, second, rest["deep"])], first is second is rest["deep"]

    assert pool.submit(add, tree).result() == ([0.5, 1.0, 1.5], True)
    assert counter.value == 1.5


def test_in_closures_partials_and_bound_methods(pool):
    counter = plait.Value(int)
    list(pool.map(lambda n: counter.add(n), range(10)))
    list(pool.map(functools.partial(count, counter), [10, 20]))
    list(pool.map(counter.add, range(5)))
    assert counter.value == 45 + 30 + 10


def test_in_maps_of_every_backend():
    cells = plait.Array("uint64", 3)
    for backend in ("serial", "threads", "processes", "auto"):
        list(plait.map(lambda n: cells.add(n % 3), range(30), backend=backend, workers=2))
    assert list(cells) == [40, 40, 40]


_mine = None


def begin(counter):
    global _mine
    _mine = counter
    counter.add(100)


def count_mine(n):
    return _mine.add(n)


def test_in_initargs():
    counter = plait.Value(int)
    with plait.ProcessPoolExecutor(2, initializer=begin, initargs=(counter,)) as pool:
        list(pool.map(count_mine, range(20)))
    started = (counter.value - 190) // 100
    assert counter.value == 190 + 100 * started and started in (1, 2)


def test_in_initargs_that_only_later_workers_read():
    """A cell and a shared array are the same in each of them; what is not shared is a copy of its own."""
    np = pytest.importorskip("numpy")

    def keep(counter, table, private):
        global _mine
        _mine = counter, table, private
        counter.add()

    def look(n):
        counter, table, private = _mine
        table[0] += 1
        private[0] += 1
        return counter.value, int(table[0]), int(private[0]), private.nbytes

    made = plait.Value(int, 10), plait.zeros(1000, int), np.zeros(100_000, int)
    with plait.ProcessPoolExecutor(
        1, initializer=keep, initargs=made, max_tasks_per_child=1, preload=["numpy"]
    ) as pool:
        found = list(pool.map(look, range(3)))
    # Each call has a worker of its own; the next may have begun when one looks.
    assert [(table, private, nbytes) for _, table, private, nbytes in found] == [
        (n, 1, 800_000) for n in (1, 2, 3)
    ]
    assert all(counter in (10 + n, 11 + n) for n, (counter, *_) in enumerate(found, 1))


def test_as_a_result_that_outlives_its_worker():
    with plait.ProcessPoolExecutor(1) as pool:
        made = pool.submit(plait.Value, int, 7).result()
        cells = pool.submit(plait.Array, "d", [1.5]).result()
        assert pool.submit(count, made, 3).result() == 10 and made.value == 10
    assert (made.add(), cells.add(0)) == (11, 2.5)
    with plait.ProcessPoolExecutor(1) as other:
        assert other.submit(count, made, 4).result() == 15
    assert made.value == 15


def test_it_comes_back_as_the_cell_it_was(pool):
    counter = plait.Value(int, 3)
    again = pool.submit(lambda: counter).result()
    again.add()
    assert counter.value == 4


def test_numpy_over_it_goes_as_a_reference():
    np = pytest.importorskip("numpy")
    cells = plait.Array(int, 4)
    with plait.ProcessPoolExecutor(1, preload=["numpy"]) as pool:
        pool.submit(np.asarray(cells)[1:].fill, 7).result()
        assert list(cells) == [0, 7, 7, 7]


def test_with_process_and_thread():
    counter = plait.Value(int)
    crowd = [kind(target=count, args=(counter,)) for kind in (plait.Process, plait.Thread) for _ in range(2)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert counter.value == 4 * EACH


def test_no_step_is_lost_between_processes_and_threads():
    """They run until all have begun, so that they count beside each other."""
    counter, highest, begun = plait.Value(int), plait.Value(int), plait.Value(int)

    def work(start):
        begun.add()
        done = 0
        while begun.value < 4 or done < EACH:
            counter.add()
            done += 1
        raise_to(highest, range(start, 4 * EACH, 4))
        return done

    with plait.ProcessPoolExecutor(2) as processes, plait.ThreadPoolExecutor(2) as threads:
        futures = [pool.submit(work, at) for at, pool in enumerate((processes, processes, threads, threads))]
        assert counter.value <= sum(future.result() for future in futures) == counter.value
    assert highest.value == 4 * EACH - 1


def test_the_classical_race_loses_steps():
    """Four calls read, wait for each other, and then write: three of the four steps are lost, always."""
    counter, read = plait.Value(int), plait.Value(int)

    def racing(_):
        seen = counter.value
        read.add()
        while read.value < 4:
            pass
        counter.value = seen + 1

    list(plait.map(racing, range(4), backend="processes", workers=4, chunksize=1))
    assert counter.value == 1


def test_a_worker_killed_while_it_counts_blocks_nobody():
    counter, begun, alive = plait.Value(int), plait.Value(int), plait.Value(bool, True)

    def forever():
        begun.add()
        while alive.value:
            counter.add()

    with plait.ProcessPoolExecutor(2) as pool:
        futures = [pool.submit(forever) for _ in range(2)]
        try:
            until(lambda: begun.value == 2, "both workers to count")
            os.kill(pool.stats().workers[0].pid, signal.SIGKILL)
            until(lambda: any(future.done() for future in futures), "the news of the death")
            [dead] = [future for future in futures if future.done()]
            assert isinstance(dead.exception(), plait.WorkerDied)
            seen = counter.value
            until(lambda: counter.value > seen + 1000, "the other to go on")
        finally:
            alive.value = False
        [survivor] = [future for future in futures if future is not dead]
        assert survivor.result() is None


@pytest.mark.once
def test_forked_children_see_it():
    script = """
import multiprocessing, os
import plait

counter, cells = plait.Value(int), plait.Array("d", 2)
child = os.fork()
if not child:
    counter.add(5)
    cells[1] = 2.5
    os._exit(0)
os.waitpid(child, 0)

def work(own):
    own.add(10)

one = multiprocessing.get_context("fork").Process(target=work, args=(counter,))
one.start()
one.join()
print(counter.value, list(cells))
"""
    assert run_program("-c", script).lines == ["15 [0.0, 2.5]"]


# Python 3.14 pickles for them by the protocol that plait's own pickles have.
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_processes_are_refused_clearly(method):
    script = f"""
import multiprocessing
import plait

if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=print, args=(plait.Value(int),))
    try:
        process.start()
    except TypeError as error:
        print(error)
"""
    assert run_program("-c", script).lines == [
        "a plait.Value can be sent by plait alone: as an argument of a call, in a closure or in initargs"
    ]


def test_a_pool_that_a_worker_makes_refuses_it():
    """Its memory is another program's, and a copy would count by itself."""
    counter = plait.Value(int)

    def inner():
        with plait.ProcessPoolExecutor(1) as pool:
            return pool.submit(count, counter).result()

    with plait.ProcessPoolExecutor(1) as pool, pytest.raises(Exception, match="pickled as a copy"):
        pool.submit(inner).result()
    assert counter.value == 0


def test_a_task_of_a_task_counts_too():
    counter = plait.Value(int)

    def outer():
        return list(plait.map(count, [counter] * 2, backend="processes"))

    with plait.ProcessPoolExecutor(2) as pool:
        pool.submit(outer).result()
    assert counter.value == 2 * EACH


@pytest.mark.once
def test_a_script_needs_nothing_else(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import plait\n"
        "hits = plait.Value('i', 0)\n"
        "def hit(n):\n"
        "    hits.add(n)\n"
        "list(plait.map(hit, range(100), backend='processes', workers=2))\n"
        "print(hits.value, 'numpy' in __import__('sys').modules)\n"
    )
    assert run_program(script).lines == ["4950 False"]
