"""`plait.zeros`, `empty` and `full` give what numpy's give, and refuse what those refuse, in their words."""

import copy
import pickle
import sys

import numpy as np
import plait
import pytest
import sharing as s
from outside import run_program

MAKERS = ["zeros", "empty", "full"]
SHAPES = [(), 0, 5, [2, 3], (3, 0), (4, 1, 7), np.int64(4), np.array([2, 2]), 100_000]
DTYPES = [
    float,
    None,
    "f4",
    bool,
    ">i8",
    complex,
    "U5",
    "S",
    "V0",
    "M8[ns]",
    "(2,3)f4",
    [("a", "i4"), ("b", "U3")],
]


def make(module, name, *args, **options):
    """Makes an array by that function of plait's or of numpy's."""
    if name == "full":
        shape, *rest = args
        return module.full(shape, 0, *rest, **options)
    return getattr(module, name)(*args, **options)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_as_numpys(name, order):
    for shape in SHAPES:
        for dtype in DTYPES:
            ours = make(plait, name, shape, dtype, order=order)
            theirs = make(np, name, shape, dtype, order=order)
            case = (shape, dtype)
            assert type(ours) is np.ndarray, case
            assert (ours.shape, ours.dtype, ours.strides) == (theirs.shape, theirs.dtype, theirs.strides), (
                case
            )
            assert ours.flags.writeable and ours.flags.aligned, case
            assert name == "empty" or np.array_equal(ours, theirs), case
            if ours.nbytes:
                assert s.is_live(ours) and s.address(ours) % 64 == 0, case


def test_full_takes_its_dtype_from_the_value():
    for value in (1, 1.5, 1j, True, "text", np.float32(2), [1, 2, 3], np.datetime64("2026-01-01")):
        ours, theirs = plait.full((2, 3), value), np.full((2, 3), value)
        assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
        assert s.is_live(ours)


def test_arguments_have_numpys_names():
    assert plait.zeros(shape=3, dtype="i2", order="F").dtype == "i2"
    assert plait.empty(shape=(2, 2), dtype=bool, order="C").shape == (2, 2)
    assert plait.full(shape=2, fill_value=7, dtype="u1", order="C").tolist() == [7, 7]


WRONG = {
    "negative": (-1,),
    "one axis negative": ((2, -3),),
    "two axes negative": ((-2, -3),),
    "a word": ("x",),
    "a fraction": (2.5,),
    "fractions": ((1, 2.5),),
    "too long": (2**70,),
    "too large": ((2**40, 2**40),),
    "no such dtype": (3, "nonsense"),
    "no such order": (3, float, "K"),
    "no order": (3, float, 7),
}


@pytest.mark.parametrize("args", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("name", ["zeros", "empty"])
def test_what_numpy_refuses_is_refused_in_its_words(name, args):
    with pytest.raises(Exception) as theirs:
        getattr(np, name)(*args)
    with pytest.raises(type(theirs.value)) as ours:
        getattr(plait, name)(*args)
    assert str(ours.value) == str(theirs.value)


def test_full_refuses_a_value_of_another_shape():
    with pytest.raises(ValueError, match="could not broadcast"):
        plait.full(2, [1, 2, 3])


@pytest.mark.parametrize(
    "dtype", [object, [("name", "O")], np.dtypes.StringDType()], ids=["object", "a field", "strings"]
)
def test_references_cannot_be_shared(dtype):
    with pytest.raises(TypeError, match="mean nothing in another process: use a dtype of numbers"):
        plait.zeros(3, dtype)


def test_full_of_objects_is_refused():
    with pytest.raises(TypeError, match="dtype object"):
        plait.full(3, None)


def test_what_does_not_fit_is_a_memory_error():
    with pytest.raises(MemoryError, match=r"no memory for 4194304\.0 TiB"):
        plait.zeros(2**59)
    assert plait.zeros(3).tolist() == [0, 0, 0]


# --- among other arrays


def test_what_numpy_makes_of_them_is_ordinary():
    array = plait.full(1000, 2.0)
    for made in (array + 1, np.sqrt(array), array.copy(), np.concatenate([array, array]), array[[1, 2]]):
        assert type(made) is np.ndarray
        assert not s.is_live(made)
    assert s.is_live(np.asarray(array)) and s.is_live(array.reshape(10, 100)) and s.is_live(array.T)


def test_written_out_parameters_take_them():
    array = plait.zeros(1000)
    np.add(np.arange(1000), 1, out=array)
    assert array[999] == 1000


@pytest.mark.parametrize("view", [lambda a: a, lambda a: a[::3]], ids=["all", "a view"])
def test_copies_are_copies(view):
    array = plait.full(10_000, 1.0)
    for copied in (
        copy.copy(view(array)),
        copy.deepcopy(view(array)),
        *(pickle.loads(pickle.dumps(view(array), protocol)) for protocol in range(2, 6)),
    ):
        assert not s.is_live(copied)
        copied[:] = 2
        assert (array == 1).all()


def test_new_memory_is_zeros_whatever_was_there():
    for _ in range(30):
        array = plait.empty(50_000)
        array[:] = 1
        small = plait.zeros(10)
        small[:] = 1
        del array, small
        assert not plait.zeros(50_000).any()
        assert not plait.zeros(10).any()


# --- without numpy


def test_without_numpy_the_error_says_how_to_get_it():
    script = """
import sys
sys.modules["numpy"] = None
import plait
for make in (plait.zeros, plait.empty, lambda n: plait.full(n, 1)):
    try:
        make(3)
    except ImportError as error:
        print(error.name, error)
"""
    zeros, empty, full = run_program("-c", script).lines
    assert zeros == "numpy plait.zeros makes NumPy arrays, and NumPy is not there: pip install numpy"
    assert "plait.empty" in empty and "plait.full" in full


def test_without_numpy_bytes_are_shared():
    script = """
import sys
sys.modules["numpy"] = None
import array
import plait
words = plait.share([b"words", bytearray(b"more"), array.array("d", [1, 2])])
again = plait.share(words)
words[1][:4] = b"less"
words[2][0] = 5
print([bytes(word) for word in again[:2]], again[2].tolist())
with plait.ProcessPoolExecutor(1) as pool:
    print(pool.submit(lambda words: (words[1][0], words[2].format), words).result())
    pool.submit(lambda words: words[1].__setitem__(0, 33), words).result()
print(bytes(again[1]))
"""
    assert run_program("-c", script).lines == [
        "[b'words', b'less'] [5.0, 2.0]",
        "(108, 'd')",
        "b'!ess'",
    ]


def test_sharing_loads_no_numpy():
    script = """
import sys
import plait
plait.zeros, plait.share
plait.share(b"words")
print("numpy" in sys.modules)
"""
    assert run_program("-c", script).lines == ["False"]
    assert "numpy" in sys.modules
