"""What is seen of arrays and tables that a function writes to, or only reads."""

import array

import plait
import pytest
from looking import seen, strict  # noqa: F401
from plait import _state

np = pytest.importorskip("numpy")

table = np.arange(12.0).reshape(3, 4)
large = np.zeros((2000, 500))
fortran = np.zeros((500, 300), order="F")
steps = np.zeros((600, 600))[::2, ::3]
objects = np.array([[], None], dtype=object)
rows = np.zeros(100_000, dtype=[("a", "i4"), ("b", "f8")])
fixed = np.arange(4)
fixed.flags.writeable = False
columns = {"a": np.zeros(4)}


def write(x):
    table[x] = 7


def add_in_place(x):
    global_table = table
    global_table += x


def write_large(x):
    large[x] = 1


def write_large_column(x):
    large[:, x] = 1


def write_last(x):
    large[-1, -x] = 1


def write_fortran(x):
    fortran[:, x] = 1


def write_steps(x):
    steps[:, x] = 1


def write_object(x):
    objects[1] = [x]


def append_to_object(x):
    objects[0].append(x)


def write_field(x):
    rows["b"][x] = 1


def write_within(x):
    columns["a"][x] = 1


def rebind(x):
    columns["a"] = columns["a"] + x


@pytest.mark.parametrize(
    "fn, said",
    [
        (write, "writes to the array `table`"),
        (add_in_place, "writes to the array `table`"),
        (write_large, "writes to the array `large`"),
        (write_large_column, "writes to the array `large`"),
        (write_last, "writes to the array `large`"),
        (write_fortran, "writes to the array `fortran`"),
        (write_steps, "writes to the array `steps`"),
        (write_object, "writes to the array `objects`"),
        (write_field, "writes to the array `rows`"),
        (write_within, "writes to the array `columns['a']`"),
        (rebind, "replaces items of the dict `columns`"),
    ],
    ids=lambda fn: getattr(fn, "__name__", None),
)
def test_arrays_that_are_written_to(fn, said):
    assert seen(fn, 1) == f"it {said}"


def test_what_lies_within_an_array_of_objects_is_not_seen():
    assert seen(append_to_object, 1) is None


def test_arguments_that_are_written_to():
    assert (
        seen(np.ndarray.sort, np.array([2, 1])) == "it changed an argument: it writes to the array `items[0]`"
    )
    assert seen(lambda xs: xs.__imul__(2), np.zeros((2000, 500))) is None, "zeros are zeros"
    assert seen(lambda xs: xs.__imul__(2), np.ones((2000, 500))) is not None
    assert seen(lambda xs: xs.fill(3), np.ones(10)[::2]) is not None


def test_arrays_that_are_read():
    def read(x):
        return table.sum() + large.mean() + steps[0].max() + fortran.T[0, x] + rows["a"].sum() + fixed[0] + x

    assert seen(read, 1) is None
    assert seen(np.sort, np.array([2, 1])) is None
    assert seen(lambda x: np.linalg.norm(x) + np.random.default_rng(3).random(), np.ones(4)) is None
    rng = np.random.default_rng(3)
    assert seen(lambda x: rng.normal(size=x), 3) is None


def test_memory_that_plait_shares_may_be_written_to():
    shared, view = plait.zeros((100, 10)), plait.share(b"a text")
    taken = plait.zeros(1000)[::3]

    def fill(x):
        shared[x] = 1
        taken[x] = 1
        shared.T[x] = 2
        return view[0]

    assert seen(fill, 1) is None


def test_an_array_can_still_be_resized():
    names = {"__name__": "of_its_own", "owned": np.arange(4)}
    exec("def fn(x):\n    owned.resize(x)\n", names)
    try:
        names["fn"](5)
    except ValueError:
        pytest.skip(
            "NumPy finds an array of one owner referenced by more on this Python, with or without plait"
        )
    assert seen(names["fn"], 8) == "it writes to the array `owned`"


def test_an_array_in_another_ones_place():
    names = {"__name__": "of_its_own", "grown": np.arange(4)}
    exec("def fn(x):\n    globals()['grown'] = grown + x\n", names)
    assert seen(names["fn"], 8) == "it writes to the array `grown`"


def test_a_subclass_is_read_as_an_array():
    class Loud(np.ndarray):
        pass

    def fail(*_):
        raise AssertionError

    plain = np.zeros(4)
    loud = plain.view(Loud)
    for name in ("__getitem__", "__array_finalize__", "tobytes", "reshape", "ravel", "view"):
        setattr(Loud, name, fail)
    for name in ("flags", "shape", "strides", "nbytes", "dtype", "size"):
        setattr(Loud, name, property(fail))
    look = _state.look(lambda: loud)
    assert look.changed() is None
    plain[1] = 5
    assert look.changed() == "it writes to the array `loud` of its closure"


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_arrays_of_the_standard_library(size):
    numbers = array.array("i", [0]) * size
    look = _state.look(lambda: numbers)
    assert look.changed() is None
    numbers[0] = 1
    assert look.changed() == "it writes to the array `numbers` of its closure"


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_views(size):
    data = bytearray(size)
    view = memoryview(data)
    look = _state.look(lambda: view)
    assert look.changed() is None
    data[-1] = 1
    assert look.changed() == "it writes to the buffer `view` of its closure"
    before = _state.look(lambda: view)
    view.release()
    assert _state.look(lambda: view).changed() is None
    assert before.changed() is not None


# --- tables


@pytest.fixture
def frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"a": [1, 2, 3], "b": [1.5, 2.5, 3.5], "c": ["x", "y", "z"]})


@pytest.mark.parametrize(
    "read",
    [
        lambda frame: frame["a"].mean() + frame.b.sum(),
        lambda frame: frame.groupby("c").a.sum().to_dict(),
        lambda frame: frame.assign(d=frame.a * 2).query("d > 2"),
        lambda frame: frame[["a", "b"]].to_numpy(),
        lambda frame: frame.describe(),
        lambda frame: [row.a for row in frame.itertuples()],
        lambda frame: frame.set_index("c").loc["x"],
        lambda frame: frame.c.str.upper().tolist(),
    ],
)
def test_tables_that_are_read(frame, read):
    assert seen(lambda: read(frame)) is None
    assert seen(read, frame) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.__setitem__("d", 1),
        lambda frame: frame.pop("a"),
        lambda frame: frame.insert(0, "d", 1),
        lambda frame: frame.loc.__setitem__((5, "a"), 1),
    ],
)
def test_tables_that_grow_or_shrink(frame, change):
    assert seen(lambda: change(frame)) == "it changes the table `frame` of its closure"


def test_a_table_that_is_written_to(frame):
    def write():
        frame.loc[0, "b"] = 9.5

    assert seen(write) == "it changes the table `frame` of its closure"


def test_a_column_that_grows(frame):
    column = frame["a"].copy()

    def grow():
        column.loc[17] = 3

    assert seen(grow) == "it changes the table `column` of its closure"
