"""`plait.Value` and `plait.Array` in one process: kinds, values, steps, and what is refused."""

import array
import copy
import ctypes
import gc
import math
import pickle
import threading
import weakref
from pathlib import Path

import plait
import pytest
from outside import run_program
from plait import _core
from platforms import gives_back

KINDS = {
    "int64": [int, "int", "int64", *"bhilq", ctypes.c_int, ctypes.c_int64, ctypes.c_longlong],
    "uint64": ["uint64", *"BHILQ", ctypes.c_uint64, ctypes.c_size_t],
    "float64": [float, "float", "float64", *"fd", ctypes.c_double],
    "bool": [bool, "bool", "?", ctypes.c_bool],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_goes_by_many_names(kind):
    for name in KINDS[kind]:
        assert (plait.Value(name).kind, plait.Array(name, 1).kind) == (kind, kind)
        assert not plait.Value(name).value


def test_numpys_kinds_are_known():
    np = pytest.importorskip("numpy")
    for kind in KINDS:
        scalar = getattr(np, kind if kind != "bool" else "bool_")
        assert plait.Value(scalar).kind == kind
        assert plait.Value(np.dtype(scalar)).kind == kind
    with pytest.raises(TypeError, match="no cell holds"):
        plait.Value(np.int32)


@pytest.mark.parametrize(
    "kind", ["x", "u", "c", "", None, 3, str, object, ctypes.c_char, ctypes.Structure, []]
)
def test_other_kinds_are_refused(kind):
    for make in (plait.Value, lambda kind: plait.Array(kind, 3)):
        with pytest.raises(
            TypeError, match=r"no cell holds .*: the kinds are int, float, bool.*plait\.zeros"
        ):
            make(kind)


class Third:
    def __index__(self):
        return 3


VALUES = [
    ("int64", [0, -1, 2**63 - 1, -(2**63), True, Third()]),
    ("uint64", [0, 1, 2**64 - 1, Third()]),
    ("float64", [0, 1.5, -0.0, math.inf, 2**53, 1e-308]),
    ("bool", [True, False, 0, 1, "text", []]),
]


@pytest.mark.parametrize("kind, values", VALUES)
def test_what_was_written_is_read(kind, values):
    plain = {"float64": float, "bool": bool}.get(kind, lambda value: value.__index__())
    cell, cells = plait.Value(kind), plait.Array(kind, values)
    for at, value in enumerate(values):
        expected = plain(value)
        cell.value = value
        for found in (cell.value, plait.Value(kind, value).value, cells[at]):
            assert found == expected and type(found) is type(expected)
    assert list(cells) == cells[:] == [plain(value) for value in values]


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_another_kind_are_refused(kind):
    if kind == "bool":
        # Anything is true or false, but for what raises when it is asked.
        np = pytest.importorskip("numpy")
        with pytest.raises(ValueError, match="ambiguous"):
            plait.Value(bool, np.ones(2))
        return
    cell = plait.Value(kind, 5)
    for wrong in ("a", b"a", [], object(), 1j):
        for act in (lambda: plait.Value(kind, wrong), lambda: cell.add(wrong), lambda: cell.swap(wrong)):
            with pytest.raises(TypeError, match=f"a cell of kind {kind} holds no {type(wrong).__name__}"):
                act()
    assert cell.value == 5


@pytest.mark.parametrize(
    "kind, wrong", [("int64", 2**63), ("int64", -(2**63) - 1), ("uint64", -1), ("uint64", 2**64)]
)
def test_what_does_not_fit_is_refused(kind, wrong):
    cell = plait.Value(kind, 5)
    with pytest.raises(OverflowError, match=f"does not fit a cell of kind {kind}"):
        cell.value = wrong
    with pytest.raises(OverflowError, match=f"does not fit a cell of kind {kind}"):
        plait.Array(kind, [1, wrong])
    with pytest.raises(OverflowError):
        cell.compare_and_swap(wrong, 1)
    assert cell.value == 5


def test_add_gives_the_sum():
    assert plait.Value(int).add() == 1
    assert plait.Value(int, 2).add(-5) == -3
    assert plait.Value("uint64", 2**63).add(2**63 - 1) == 2**64 - 1
    assert plait.Value("uint64", 2**64 - 1).add(-(2**64 - 1)) == 0
    assert plait.Value(float, 0.5).add() == 1.5
    assert plait.Value(float, 0.5).add(0.25) == 0.75


@pytest.mark.parametrize(
    "kind, start, amount",
    [
        ("int64", 2**63 - 1, 1),
        ("int64", -(2**63), -1),
        ("int64", 0, 2**70),
        ("uint64", 0, -1),
        ("uint64", 1, 2**64 - 1),
        ("uint64", 1, 2**140),
    ],
)
def test_a_sum_that_does_not_fit_changes_nothing(kind, start, amount):
    cell = plait.Value(kind, start)
    with pytest.raises(OverflowError, match="does not fit a cell of kind"):
        cell.add(amount)
    assert cell.value == start


def test_nothing_is_added_to_a_bool():
    flag = plait.Value(bool)
    for act in (flag.add, lambda: flag.add(1), lambda: plait.Array(bool, 1).add(0)):
        with pytest.raises(TypeError, match="nothing can be added to a bool"):
            act()
    assert flag.swap(True) is False and flag.swap(True) is True


def test_compare_and_swap_sets_what_was_expected():
    cell = plait.Value(int, 5)
    assert cell.compare_and_swap(5, 6) is True
    assert cell.compare_and_swap(5, 7) is False
    assert cell.value == 6
    flag = plait.Value(bool)
    assert (flag.compare_and_swap(True, False), flag.compare_and_swap(False, True), flag.value) == (
        False,
        True,
        True,
    )


def test_floats_are_compared_as_numbers():
    cell = plait.Value(float, -0.0)
    assert cell.compare_and_swap(0.0, math.nan)
    assert not cell.compare_and_swap(1.0, 2.0)
    assert cell.compare_and_swap(cell.value, 3.5) and cell.value == 3.5


def test_an_array_is_like_a_list_that_cannot_grow():
    cells, model = plait.Array(int, range(10)), list(range(10))
    assert len(cells) == 10 and list(cells) == model and 7 in cells and 11 not in cells
    for at in (slice(None), slice(2, -3), slice(None, None, -2), slice(8, 2, -3), slice(20, 30), slice(5, 5)):
        assert cells[at] == model[at]
        cells[at] = model[at] = [n + 100 for n in model[at]]
        assert list(cells) == model
    cells[-1] = model[-1] = -4
    assert (cells[-1], cells[9], list(cells)) == (-4, -4, model)
    assert cells.add(-2, 3) == model[-2] + 3
    assert cells.swap(0, 8) == model[0] and cells.compare_and_swap(0, 8, 9) and cells[0] == 9
    for wrong in (10, -11, 2**40, -(2**62)):
        for act in (
            cells.__getitem__,
            cells.add,
            lambda at: cells.swap(at, 0),
            lambda at: cells.__setitem__(at, 0),
        ):
            with pytest.raises(IndexError, match=f"no cell {wrong} in an Array of 10"):
                act(wrong)
    with pytest.raises(ValueError, match="2 values for 3 cells: an Array cannot grow"):
        cells[:3] = [1, 2]
    with pytest.raises(TypeError):
        cells["a"]
    with pytest.raises(NotImplementedError, match="can't delete"):
        del cells[0]


def test_what_an_array_is_made_of():
    assert list(plait.Array(float, 3)) == [0.0, 0.0, 0.0]
    assert list(plait.Array(int, (n * n for n in range(4)))) == [0, 1, 4, 9]
    assert list(plait.Array(int, array.array("i", [3, 4]))) == [3, 4]
    assert list(plait.Array(int, 0)) == list(plait.Array(bool, [])) == []
    with pytest.raises(ValueError, match="no negative number of cells"):
        plait.Array(int, -1)
    with pytest.raises(TypeError, match="how many cells there are, or their first values"):
        plait.Array(int, 2.5)
    with pytest.raises(MemoryError):
        plait.Array(int, 2**56)
    with pytest.raises((ValueError, OverflowError)):
        plait.Array(int, 2**63 - 1)

    def failing():
        yield 1
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        plait.Array(int, failing())


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_sees_the_same_memory(kind):
    np = pytest.importorskip("numpy")
    cells = plait.Array(kind, [0, 1, 1])
    view = np.asarray(cells)
    assert (view.dtype, view.shape, view.flags.writeable) == (np.dtype(kind), (3,), True)
    assert _core.is_shared(view.__array_interface__["data"][0], view.nbytes)
    view[0] = 1
    cells[2] = 0
    assert list(cells) == view.tolist() == [1, 1, 0]
    lone = weakref.ref(cells)
    del cells
    gc.collect()
    assert lone() is not None and view.tolist() == [1, 1, 0]


def test_a_memoryview_knows_the_numbers():
    cells = plait.Array("d", [1.5, 2.5])
    with memoryview(cells) as view:
        assert (view.format, view.itemsize, view.tolist(), view.readonly) == ("d", 8, [1.5, 2.5], False)
        view[1] = 4
    assert cells[1] == 4.0
    assert bytes(plait.Array(bool, [1, 0])) == b"\x01\x00"


def test_a_copy_is_the_same_cell():
    for cell in (plait.Value(int, 3), plait.Array(int, 3)):
        assert copy.copy(cell) is cell and copy.deepcopy([cell])[0] is cell


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_be_a_copy_is_refused(protocol):
    for cell, name in ((plait.Value(int, 3), "Value"), (plait.Array(int, 3), "Array")):
        with pytest.raises(
            TypeError, match=rf"plait\.{name} .*as an argument of a call, in a closure or in initargs"
        ):
            pickle.loads(pickle.dumps(cell, protocol))


def test_garbled_messages_are_refused():
    memory = _core.shared_buffer(16)
    with pytest.raises(ValueError, match="garbled"):
        _core.array_at(memory, "int64", 3)
    with pytest.raises(ValueError, match="garbled"):
        _core.array_at(memory, "int64", 2**61)
    with pytest.raises(ValueError, match="garbled"):
        _core.value_at(memoryview(memory)[3:11], "int64", 1)
    with pytest.raises(TypeError, match="no cell holds 'complex'"):
        _core.value_at(memory, "complex", 1)


def test_they_say_what_they_are():
    assert repr(plait.Value(int, -5)) == "plait.Value('int64', -5)"
    assert repr(plait.Value("d", 2)) == "plait.Value('float64', 2.0)"
    assert repr(plait.Array("?", 3)) == "<plait.Array of 3 cells, bool>"
    assert eval(repr(plait.Value(bool, 1))).value is True
    with pytest.raises(AttributeError):
        plait.Value(int).kind = "bool"


def test_no_step_of_a_thread_is_lost():
    """All begin at once, and the interpreter switches as often as it can."""
    threads, each = 8, 5_000
    counter, total, hits = plait.Value(int), plait.Value(float), plait.Array("uint64", 3)
    highest, begin = plait.Value(int, -1), threading.Barrier(threads)

    def work(thread):
        begin.wait()
        for n in range(each):
            counter.add()
            total.add(0.5)
            hits.add(n % 3, 2)
            seen = highest.value
            while seen < n * threads + thread and not highest.compare_and_swap(seen, n * threads + thread):
                seen = highest.value

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert counter.value == threads * each
    assert total.value == threads * each / 2
    assert sum(hits) == 2 * threads * each and hits[2] == 2 * threads * (each // 3)
    assert highest.value == each * threads - 1


def test_only_one_thread_gets_a_flag():
    flags, wins = [plait.Value(bool) for _ in range(500)], plait.Value(int)
    begin = threading.Barrier(4)

    def take():
        begin.wait()
        for flag in flags:
            if not flag.swap(True):
                wins.add()

    workers = [threading.Thread(target=take) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wins.value == len(flags)


def test_a_plus_equals_between_two_steps_is_overwritten():
    """What `counter.value += 1` does, step by step, with somebody in between."""
    counter = plait.Value(int)
    read = counter.value
    counter.add(10)
    counter.value = read + 1
    assert counter.value == 1


@gives_back
@pytest.mark.once
def test_memory_is_given_back():
    script = """
import gc, sys
sys.path.insert(0, {tests!r})
import plait
from sharing import commons

kept = plait.Value(int, 1)
for _ in range(40):
    cells = [plait.Array(float, 1 << 17) for _ in range(8)]
    assert commons() >= 8 << 20
    cells[0][0] = 1.0
    del cells
    gc.collect()
# Of the 320 MiB, what is kept for the next ones.
print(commons() < 64 << 20, kept.value)
"""
    pytest.importorskip("numpy")
    assert run_program("-c", script.format(tests=str(Path(__file__).parent))).lines == ["True 1"]
