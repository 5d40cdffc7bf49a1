"""Shared arrays are seen by everybody at once: by the parent, by all workers, through views of every kind."""

import functools
import threading

import numpy as np
import parcels as p
import plait
import pytest
import sharing as s
import workloads as w
from plait import _core


@pytest.fixture
def processes():
    """Two workers that need not import NumPy first."""
    with plait.ProcessPoolExecutor(2, preload=["numpy"]) as pool:
        yield pool


# --- live


def test_parent_and_worker_see_each_other_write_while_the_task_runs(processes):
    said = plait.zeros(2, int)
    task = processes.submit(s.converse, said, 1, 0, 20)
    s.converse(said, 0, 1, 20)
    task.result()
    assert said.tolist() == [20, 20]


def test_workers_see_each_other_write_while_their_tasks_run(processes):
    said = plait.zeros(1000, int)
    tasks = [processes.submit(s.converse, said, 3, 900, 20), processes.submit(s.converse, said, 900, 3, 20)]
    for task in tasks:
        task.result()
    assert said[[3, 900]].tolist() == [20, 20]


@pytest.mark.parametrize("n", [1, 100, 8192, 1_000_000])
def test_arrays_of_any_size_are_live(processes, n):
    array = plait.zeros(n)
    assert processes.submit(s.write, array).result()
    assert (array == 7).all()
    array[:] = 8
    assert processes.submit(np.sum, array).result() == 8 * n


@pytest.mark.parametrize("view", s.VIEWS.values(), ids=s.VIEWS)
def test_views_arrive_live(processes, view):
    table = s.a_table()
    there = view(table)
    number = there.dtype.type(1) if there.dtype.kind != "M" else np.datetime64(77, "us")
    assert processes.submit(s.write, there, number).result()
    assert (there == number).all()
    untouched = view(np.arange(2000.0).reshape(40, 50).copy())
    expected = np.arange(2000.0).reshape(40, 50)
    view(expected)[...] = number
    assert (table == expected).all()
    assert untouched.shape == there.shape


@pytest.mark.parametrize("view", s.VIEWS.values(), ids=s.VIEWS)
def test_views_come_back_live(processes, view):
    table = s.a_table()
    there = view(table)
    back = processes.submit(w.identity, there).result()
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (there.dtype, there.shape)
    if there.size > 1:
        assert back.strides == there.strides
    assert (back == there).all()
    back[...] = 0
    assert (there == np.zeros(1, there.dtype)).all()


@pytest.mark.parametrize("view", s.VIEWS.values(), ids=s.VIEWS)
def test_views_are_not_copied(processes, view):
    table = plait.zeros((4000, 50))
    processes.submit(w.identity, table).result()
    before = _core.bytes_copied()
    assert processes.submit(s.is_live, view(table)).result()
    assert _core.bytes_copied() == before


def test_fields_of_records_are_live(processes):
    people = plait.zeros(300, [("age", "i8"), ("born", "M8[s]"), ("name", "U8")])
    assert processes.submit(s.write, people["age"], 5).result()
    assert processes.submit(s.write, people["name"][::2], "Ada").result()
    assert processes.submit(s.write, people["born"], np.datetime64("1815-12-10T00:00:00", "s")).result()
    assert people[2].tolist()[::2] == (5, "Ada")
    assert people[3]["name"] == ""
    assert str(people[299]["born"]) == "1815-12-10T00:00:00"
    back = processes.submit(w.identity, people).result()
    back["age"] = 6
    assert (people["age"] == 6).all()


def test_a_view_that_must_not_be_written_to_stays_so(processes):
    table = s.a_table()
    for view in (table[:], table[::2]):
        view.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            processes.submit(s.write, view).result()
        back = processes.submit(w.identity, view).result()
        assert not back.flags.writeable
        table[0, 0] += 1
        assert back[0, 0] == table[0, 0]


def test_what_has_no_elements_goes_too(processes):
    table = s.a_table()
    for view in (table[:0], table[::2, 5:5], plait.zeros(0), plait.zeros((3, 0))):
        back = processes.submit(w.identity, view).result()
        assert (back.shape, back.dtype) == (view.shape, view.dtype)


def test_one_message_may_hold_many_views_of_one_array(processes):
    table = s.a_table()
    views = {"rows": [table[:3], table[3:6]], "columns": (table[:, 0], table[:, 1]), "all": table}

    def write(views):
        views["rows"][1][...] = -1
        views["columns"][1][...] = -2
        return views["all"][:7, :3].tolist()

    assert processes.submit(write, views).result() == table[:7, :3].tolist()
    assert table[3, 0] == -1 and table[3, 1] == -2


def test_functions_see_the_shared_arrays_that_they_capture(processes):
    table = s.a_table()

    def write(row):
        table[row] = -row

    assert list(processes.map(write, range(40))) == [None] * 40
    assert (table == -np.arange(40)[:, None]).all()
    assert processes.submit(functools.partial(s.write, table[::2], 3)).result()
    assert (table[::2] == 3).all() and (table[1] == -1).all()


@pytest.mark.parametrize("way", ["executor.map", "plait.map"])
def test_maps_over_rows_write_in_place(processes, way):
    table = plait.zeros((200, 1000))
    rows = list(table)
    if way == "executor.map":
        assert all(processes.map(s.write, rows, range(200)))
    else:
        assert all(plait.map(s.write, rows, range(200), backend="processes", workers=2))
    assert (table == np.arange(200)[:, None]).all()


def test_four_workers_count_to_a_million_in_slices_of_their_own():
    counters = plait.zeros(1_000_000, "i4")
    with plait.ProcessPoolExecutor(4, preload=["numpy"]) as pool:
        for part in np.array_split(counters, 16):
            for _ in range(3):
                pool.submit(w.identity, part)
        list(pool.map(s.count_up, np.array_split(counters, 16), [25] * 16))
    assert (counters == 25).all()


# --- where arrays come from


def test_a_worker_returns_a_shared_array_of_its_own(processes):
    made = processes.submit(s.new_zeros, 50_000, 3).result()
    assert s.is_live(made)
    assert (made == 3).all()
    # Both workers, of which one has made it.
    for task in [processes.submit(s.write, made[n::2], n) for n in range(2)]:
        assert task.result()
    assert made[:4].tolist() == [0, 1, 0, 1]


def test_a_worker_returns_part_of_what_it_got(processes):
    array = plait.full(50_000, 3.0)
    back = processes.submit(s.half, array).result()
    back[:] = 4
    assert array[:3].tolist() == [4, 3, 4]
    assert back.base is not None and s.is_live(back)


def test_an_array_may_be_older_or_younger_than_the_pool():
    older = plait.zeros(1000)
    with plait.ProcessPoolExecutor(1) as pool:
        younger = plait.zeros(1000)
        assert pool.submit(s.write, older, 1).result()
        assert pool.submit(s.write, younger, 2).result()
    assert (older == 1).all() and (younger == 2).all()


def test_two_pools_see_one_array(processes):
    array = plait.zeros(2, int)
    with plait.ProcessPoolExecutor(1) as other:
        tasks = [processes.submit(s.converse, array, 0, 1, 10), other.submit(s.converse, array, 1, 0, 10)]
        for task in tasks:
            task.result()
        made = other.submit(s.new_zeros, 1000, 5).result()
        assert processes.submit(s.write, made, 6).result()
        assert (other.submit(w.identity, made).result() == 6).all()
    assert array.tolist() == [10, 10]


def test_a_pool_that_a_worker_makes_gets_copies(processes):
    """It is a program of its own, which the memory of the outer one does not reach."""
    array = plait.full(20_000, 2.0)
    assert processes.submit(s.in_own_pool, array).result() == [(False, 20_000.0), (False, 40_000.0)] * 2
    assert (array == 2).all()


def test_a_task_submits_a_shared_array_to_its_own_pool(processes):
    array = plait.zeros(20_000)

    def outer(array):
        mine = s.new_zeros(10_000, 1)
        inner = [processes.submit(s.write, part, 5) for part in (array[::2], mine[1::2])]
        assert all(task.result() for task in inner)
        return mine

    made = processes.submit(outer, array).result()
    assert array[:4].tolist() == [5, 0, 5, 0]
    assert made[:4].tolist() == [1, 5, 1, 5]


@pytest.mark.parametrize("backend", ["serial", "threads"])
def test_without_processes_it_is_the_object_itself(backend):
    array = plait.zeros(1000)
    with plait.Executor(backend, 2) as executor:
        assert executor.submit(w.identity, array).result() is array
        assert executor.submit(p.are_one, array, array).result()
        assert executor.submit(s.write, array[::2]).result()
    assert array[:3].tolist() == [7, 0, 7]


def test_threads_make_and_use_shared_arrays_at_once(processes):
    failed = []

    def run(number):
        try:
            for turn in range(20):
                array = plait.full(20_000, number)
                assert processes.submit(np.sum, array[::2]).result() == 10_000 * number
                assert processes.submit(s.write, array, turn).result()
                assert (array == turn).all()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
