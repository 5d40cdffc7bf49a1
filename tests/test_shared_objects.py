"""What `plait.share` takes, what comes of it, and how each kind of object goes to a worker."""

import array
import collections
import dataclasses
import functools
import mmap
import pickle
import threading

import numpy as np
import pandas as pd
import plait
import pyarrow as pa
import pytest
import scipy.sparse
import sharing as s
import workloads as w
from PIL import Image
from plait import _core

GRID = np.arange(120_000.0).reshape(300, 400)


@pytest.fixture
def worker():
    """A worker that need not import NumPy first."""
    with plait.ProcessPoolExecutor(1, preload=["numpy"]) as pool:
        yield pool


ARRAYS = {
    "in order": GRID,
    "Fortran's order": np.asfortranarray(GRID),
    "transposed": GRID.T,
    "every third row": GRID[::3],
    "a column": GRID[:, 7],
    "backwards": GRID[::-1, ::-1],
    "three axes": GRID.reshape(30, 10, 400)[:, ::2].transpose(2, 0, 1),
    "repeated": np.broadcast_to(GRID[3], (50, 400)),
    "one number": np.array(3.5),
    "nothing": np.zeros((3, 0)),
    "dates": np.arange(1000).astype("M8[s]"),
    "some dates": np.arange(1000).astype("m8[ms]")[::3],
    "records": np.zeros(1000, [("a", "i4"), ("when", "M8[D]")]),
    "a field": np.ones(1000, [("a", "i4"), ("when", "M8[D]")])["a"],
    "the other end first": np.arange(1000, dtype=">i4"),
    "words": np.array(["some", "words"] * 500),
    "read-only": np.frombuffer(bytes(8000)),
}


@pytest.mark.parametrize("original", ARRAYS.values(), ids=ARRAYS)
def test_arrays(worker, original):
    shared = plait.share(original)
    assert type(shared) is np.ndarray
    assert (shared.dtype, shared.shape) == (original.dtype, original.shape)
    assert np.array_equal(shared, original)
    assert shared.flags.writeable == original.flags.writeable
    assert not np.shares_memory(shared, original)
    if original.size:
        assert s.is_live(shared) and s.address(shared) % 64 == 0
    if original.flags.forc:
        assert shared.strides == original.strides or not original.size
    again = plait.share(shared)
    assert np.shares_memory(again, shared) or not original.size
    before = _core.bytes_copied()
    assert worker.submit(s.is_live, shared).result() or not original.size
    assert _core.bytes_copied() == before


def test_what_has_no_gaps_has_none_afterwards():
    for name in ("every third row", "a column", "backwards", "repeated", "some dates"):
        assert plait.share(ARRAYS[name]).flags.c_contiguous, name
    part = GRID[::2, 1:].T
    assert not part.flags.forc
    assert plait.share(part).flags.f_contiguous
    axes = plait.share(ARRAYS["three axes"])
    assert axes.transpose(1, 2, 0).flags.c_contiguous


def test_views_of_shared_arrays_are_shared_as_they_are():
    table = s.a_table()
    for name, view in s.VIEWS.items():
        shared = plait.share(view(table))
        assert shared.strides == view(table).strides or shared.size == 1, name
        assert s.address(shared) == s.address(view(table)), name


def test_the_original_is_left_alone():
    original = np.arange(1000.0)
    shared = plait.share(original)
    shared[:] = -1
    assert original[999] == 999


LENDERS = {
    "bytes": b"some text" * 10_000,
    "bytearray": bytearray(b"some text" * 10_000),
    "array.array": array.array("d", range(20_000)),
    "memoryview": memoryview(bytearray(b"some text" * 10_000))[3:],
    "of doubles": memoryview(array.array("d", range(20_000))),
    "a matrix": memoryview(GRID),
    "nothing": b"",
}


@pytest.mark.parametrize("name", LENDERS)
def test_bytes_and_their_kin_become_memoryviews(worker, name):
    original = LENDERS[name]
    shared = plait.share(original)
    model = memoryview(original)
    assert type(shared) is memoryview
    assert (shared.format, shared.shape, shared.tobytes()) == (model.format, model.shape, model.tobytes())
    assert shared.readonly == model.readonly
    before = _core.bytes_copied()
    arrived = worker.submit(w.identity, shared).result()
    assert type(arrived) is memoryview
    assert (arrived.format, arrived.shape, arrived.readonly) == (model.format, model.shape, model.readonly)
    assert arrived.tobytes() == model.tobytes()
    assert _core.bytes_copied() == before
    if not shared.readonly:
        there, here = arrived.cast("B"), shared.cast("B")
        there[5] ^= 255
        assert here[5] == there[5] != model.cast("B")[5]


def test_a_map_of_a_file_becomes_a_memoryview(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"words" * 1000)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        shared = plait.share(mapped)
        mapped[:5] = b"other"
    assert bytes(shared) == b"words" * 1000


def test_memoryviews_with_steps_are_live(worker):
    shared = plait.share(bytearray(100_000))
    for part in (shared[::3], shared[::-1], memoryview(plait.share(GRID))[::2]):
        assert not part.contiguous
        before = _core.bytes_copied()
        arrived = worker.submit(w.identity, part).result()
        assert _core.bytes_copied() == before
        assert type(arrived) is memoryview
        assert (arrived.format, arrived.shape, arrived.strides) == (part.format, part.shape, part.strides)
    worker.submit(lambda part: part.__setitem__(0, 77), shared[::3]).result()
    assert shared[0] == 77


# --- objects with buffers in them


@dataclasses.dataclass
class Model:
    name: str
    weights: np.ndarray
    notes: object = None


Pair = collections.namedtuple("Pair", "left right")


def test_objects_keep_their_class_and_their_identity():
    shared = plait.share(Model("a", GRID, Pair(GRID, b"in an object, bytes stay bytes")))
    assert type(shared) is Model and type(shared.notes) is Pair
    assert s.is_live(shared.weights)
    assert shared.notes.left is shared.weights
    assert shared.notes.right == b"in an object, bytes stay bytes"


def test_classes_and_functions_of_no_module_are_taken_too():
    class Local:
        def __init__(self):
            self.weights = GRID
            self.scaled = lambda factor: self.weights * factor

    shared = plait.share(Local())
    assert type(shared) is Local
    assert s.is_live(shared.weights)
    assert shared.scaled(2)[0, 1] == 2
    doubled = plait.share(functools.partial(np.multiply, GRID))
    assert s.is_live(doubled.args[0])


def test_containers_are_walked_for_bytes():
    inner = bytearray(b"abc")
    original = {"list": [b"x", inner, 3], "tuple": (inner, {b"key": b"value"}), "array": GRID}
    original["list"].append(original["list"])
    shared = plait.share(original)
    items = shared["list"]
    assert [bytes(item) for item in items[:2]] == [b"x", b"abc"]
    assert items[2] == 3 and items[3] is items
    items[1][0] = ord("X")
    assert bytes(shared["tuple"][0]) == b"Xbc"
    assert bytes(shared["tuple"][1][b"key"]) == b"value"
    assert s.is_live(shared["array"])
    assert inner == b"abc" and original["list"][1] is inner


def test_all_buffers_of_an_object_lie_in_one_block():
    parts = [np.full(n, n % 256, "u1") for n in (1, 63, 64, 65, 1000)]
    shared = plait.share(parts)
    places = [s.address(part) for part in shared]
    assert all(place % 64 == 0 for place in places)
    assert [place - places[0] for place in places] == [0, 64, 128, 192, 320]
    assert all((part == part.size % 256).all() for part in shared)


FRAME = pd.DataFrame(
    {
        "whole": np.arange(20_000),
        "half": np.arange(20_000) / 2,
        "when": pd.date_range("2026-01-01", periods=20_000, freq="s"),
        "kind": pd.Categorical(["some", "other"] * 10_000),
        "text": [f"row {n}" for n in range(20_000)],
    }
)


def test_pandas(worker):
    shared = plait.share(FRAME)
    pd.testing.assert_frame_equal(shared, FRAME)
    for column in ("whole", "half", "when"):
        assert s.is_live(shared[column].to_numpy()), column
    pd.testing.assert_frame_equal(worker.submit(w.identity, shared).result(), FRAME)
    assert worker.submit(lambda frame: s.is_live(frame["half"].to_numpy()), shared).result()
    series = plait.share(FRAME["half"])
    assert type(series) is pd.Series and s.is_live(series.to_numpy())
    pd.testing.assert_series_equal(series, FRAME["half"])


def arrow_is_live(table):
    """Whether all buffers of an Arrow table lie in shared memory."""
    chunks = [chunk for column in table.columns for chunk in getattr(column, "chunks", [column])]
    buffers = [buffer for chunk in chunks for buffer in chunk.buffers() if buffer is not None]
    return bool(buffers) and all(_core.is_shared(buffer.address, buffer.size) for buffer in buffers)


def test_arrow(worker):
    table = pa.table({"whole": np.arange(20_000), "text": [f"row {n}" for n in range(20_000)]})
    for original in (table, table.to_batches()[0]):
        shared = plait.share(original)
        assert shared.equals(original) and arrow_is_live(shared)
        before = _core.bytes_copied()
        assert worker.submit(arrow_is_live, shared).result()
        assert _core.bytes_copied() == before
    column = plait.share(pa.array(range(1000)))
    assert column.to_pylist() == list(range(1000))
    buffer = plait.share(pa.py_buffer(b"words" * 1000))
    assert buffer.to_pybytes() == b"words" * 1000 and _core.is_shared(buffer.address, buffer.size)


def test_sparse_matrices(worker):
    matrix = scipy.sparse.random(1000, 1000, 0.05, "csr", rng=7)
    shared = plait.share(matrix)
    assert (shared != matrix).nnz == 0
    assert all(s.is_live(part) for part in (shared.data, shared.indices, shared.indptr))
    assert worker.submit(lambda matrix: s.is_live(matrix.data), shared).result()


# --- what cannot be shared

NOTHING_TO_SHARE = {
    "a number": 3,
    "text": "text" * 100_000,
    "a list of numbers": list(range(1000)),
    "None": None,
    "a function": print,
    "a set": {1, 2},
    "an image": Image.new("RGB", (100, 100)),
    "an array of objects": np.array([1, "x"], object),
    "a masked array": np.ma.masked_array([1, 2], [0, 1]),
}


@pytest.mark.parametrize("value", NOTHING_TO_SHARE.values(), ids=NOTHING_TO_SHARE)
def test_an_object_without_buffers_is_refused(value):
    with pytest.raises(
        TypeError, match=f"{type(value).__name__!r} object can be shared: NumPy arrays, pandas"
    ):
        plait.share(value)


def test_what_pickle_refuses_is_named():
    with pytest.raises(plait.NotPicklable, match=r"obj\['model'\]\[1\].*lock"):
        plait.share({"data": GRID, "model": [1, threading.Lock()]})


def test_what_raises_on_the_way_loses_nothing():
    class Fails:
        def __reduce__(self):
            raise ValueError("not now")

    with pytest.raises(plait.NotPicklable, match="not now"):
        plait.share([GRID, Fails()])
    view = memoryview(bytearray(10))
    view.release()
    with pytest.raises((plait.NotPicklable, ValueError), match="released"):
        plait.share(view)


def test_files_of_arrays_are_shared_as_arrays(tmp_path):
    np.save(tmp_path / "grid.npy", GRID)
    mapped = np.load(tmp_path / "grid.npy", mmap_mode="r")
    shared = plait.share(mapped)
    assert type(shared) is np.ndarray and s.is_live(shared)
    assert np.array_equal(shared, GRID)
    assert isinstance(mapped, np.memmap)
    assert pickle.loads(pickle.dumps(shared)).sum() == GRID.sum()
