"""The table of the page "Sharing data": which kinds of object are copied on their way, and which are not."""

import array
import functools
import itertools
import tempfile

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
from platforms import IS_PORTABLE, page_maps

pytestmark = pytest.mark.once

# So many numbers that half of them are counted wherever they go.
N = 400_000
_lot = itertools.count()


def numbers():
    """Numbers that were never sent before: those that were are not copied again, whatever array has them."""
    return np.arange(float(N)) + next(_lot)


def table():
    """The same as a table."""
    return numbers().reshape(400, 1000)


def file():
    """The same in a file."""
    with tempfile.TemporaryFile() as place:
        mapped = np.memmap(place, float, "w+", shape=N)
    mapped[:] = numbers()
    return mapped


def dates():
    """A table of dates."""
    return pd.DataFrame({"when": numbers().astype("M8[s]")})


def texts():
    """A table of text."""
    return pd.DataFrame({"text": numbers().astype(int).astype("U10")}, dtype="str")


def sparse():
    """A sparse matrix with three buffers: numbers, and twice indices of half their size."""
    return scipy.sparse.csr_matrix((numbers(), (range(N), range(N))))


@pytest.fixture
def worker():
    """A worker that need not import NumPy first."""
    with plait.ProcessPoolExecutor(1, preload=["numpy"]) as pool:
        yield pool


def copied(call, *args):
    """How many bytes this process copies into shared memory for a call, and what the call gives."""
    before = _core.bytes_copied()
    value = call(*args)
    return _core.bytes_copied() - before, value


def to_worker(worker, value):
    """How many bytes are copied for an argument; it comes back."""
    return copied(lambda: worker.submit(w.identity, value).result())


# How many bytes are copied when it is sent, and never again.
ONCE = {
    "array": (numbers, 8 * N),
    "array of another order": (lambda: table().T, 8 * N),
    "records": (lambda: numbers().view("f4,i4"), 8 * N),
    "text of fixed length": (lambda: numbers().astype(int).astype("U7"), 28 * N),
    "dates": (lambda: numbers().astype("M8[s]"), 8 * N),
    "numbers of other machines": (lambda: numbers().astype(">f8"), 8 * N),
    "memoryview": (lambda: memoryview(numbers()), 8 * N),
    "frame": (lambda: pd.DataFrame({"a": numbers(), "b": numbers()}), 16 * N),
    "frame of dates": (dates, 8 * N),
    "series of dates with a zone": (lambda: dates()["when"].dt.tz_localize("Asia/Tokyo"), 8 * N),
    "series": (lambda: pd.Series(numbers()), 8 * N),
    "Arrow": (lambda: pa.table({"a": numbers()}), 8 * N),
}


@pytest.mark.parametrize("make, expected", ONCE.values(), ids=ONCE)
def test_once(worker, make, expected):
    sent = make()
    size, arrived = to_worker(worker, sent)
    assert size == expected
    assert type(arrived) is type(sent)
    assert to_worker(worker, sent)[0] == 0
    if not IS_PORTABLE:
        assert to_worker(worker, arrived)[0] == 0


@page_maps
def test_sparse_matrices_go_once(worker):
    sent = sparse()
    size, arrived = to_worker(worker, sent)
    # Indices are the same from test to test, and may have been sent before.
    assert size >= 8 * N
    assert to_worker(worker, sent)[0] == to_worker(worker, arrived)[0] == 0


@page_maps
def test_arrays_with_steps_go_without_the_gaps(worker):
    sent = table()[::2]
    size, arrived = to_worker(worker, sent)
    assert size == 4 * N
    assert arrived.flags.c_contiguous and (arrived == sent).all()
    assert to_worker(worker, arrived)[0] == 0


OWNERS = {
    "bytes": lambda: numbers().tobytes(),
    "bytearray": lambda: bytearray(numbers()),
    "array.array": lambda: array.array("d", numbers()),
    "masked": lambda: np.ma.masked_array(numbers()),
    "file": file,
    "image": lambda: Image.fromarray(table().astype("f4")),
}


@pytest.mark.parametrize("make", OWNERS.values(), ids=OWNERS)
def test_what_owns_its_memory_is_copied_each_time(worker, make):
    sent = make()
    size, arrived = to_worker(worker, sent)
    assert type(arrived) is type(sent)
    assert np.array_equal(np.asarray(arrived), np.asarray(sent))
    assert size > 0
    back, _ = to_worker(worker, arrived)
    assert back > 0


@page_maps
def test_what_came_back_is_referred_to_until_it_is_written_to(worker):
    came = worker.submit(np.ones, N).result()
    assert to_worker(worker, came)[0] == 0
    assert to_worker(worker, came[N // 2 :])[0] == 0
    came[0] = 2
    size, arrived = to_worker(worker, came)
    assert size == 8 * N and arrived[0] == 2
    # No page of this half was written to.
    assert to_worker(worker, came[N // 2 :])[0] == 0


def test_what_is_written_to_what_was_sent_stays_where_it_was_written(worker):
    sent = numbers()
    expected = sent.copy()
    assert worker.submit(s.overwrite, sent).result() == (False, expected.sum())
    assert (sent == expected).all()


SHARED = {
    "array": lambda: plait.zeros(N),
    "slice": lambda: plait.zeros(N)[10:-10],
    "steps": lambda: plait.zeros(N)[::-3],
    "columns": lambda: plait.zeros((100, N // 100))[:, 3:5],
    "dates": lambda: plait.zeros(N, "M8[s]"),
    "shared array": lambda: plait.share(numbers()),
    "shared records": lambda: plait.share(numbers().view("f4,i4")),
    "shared text": lambda: plait.share(numbers().astype(int).astype("U7")),
    "shared file": lambda: plait.share(file()),
    "shared bytes": lambda: plait.share(numbers().tobytes()),
    "shared bytearray": lambda: plait.share(bytearray(numbers())),
    "shared array.array": lambda: plait.share(array.array("d", numbers())),
    "shared frame": lambda: plait.share(pd.DataFrame({"a": numbers(), "b": numbers()})),
    "shared dates": lambda: plait.share(dates()),
    "shared Arrow": lambda: plait.share(pa.table({"a": numbers()})),
    "shared sparse": lambda: plait.share(sparse()),
}


@pytest.mark.parametrize("make", SHARED.values(), ids=SHARED)
def test_what_is_shared_is_never_copied(worker, make):
    shared = make()
    for value in (shared, [shared, "and", {"again": shared}]):
        size, arrived = to_worker(worker, value)
        assert size == 0
        assert to_worker(worker, arrived)[0] == 0
    assert copied(plait.share, shared)[0] == 0


def text_is_shared(frame):
    """Whether the text of a table lies in memory that all see."""
    column = frame["text"].array.__arrow_array__()
    buffers = [buffer for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None]
    return all(_core.is_shared(buffer.address, buffer.size) for buffer in buffers)


def test_text_of_pandas_arrives_as_a_copy_even_if_it_is_shared(worker):
    shared = plait.share(texts())
    assert text_is_shared(shared)
    assert not worker.submit(text_is_shared, shared).result()
    assert worker.submit(w.identity, shared).result().equals(shared)


def take(array, index):
    """An element."""
    return array[index]


@pytest.mark.parametrize("kind", ["closure", "partial"])
def test_functions_bring_their_arrays_once(worker, kind):
    brought = numbers()

    def closure(index):
        return brought[index]

    call = closure if kind == "closure" else functools.partial(take, brought)
    first, value = copied(lambda: worker.submit(call, 3).result())
    assert value == brought[3] and first == 8 * N
    again, values = copied(lambda: list(worker.map(call, range(100))))
    assert values == brought[:100].tolist() and again == 0
    brought[5] = -1
    changed, value = copied(lambda: worker.submit(call, 5).result())
    assert value == -1 and changed >= 8 * N


def test_functions_share_shared_arrays(worker):
    brought = plait.share(numbers())

    def write(index):
        brought[index] = -1

    size, _ = copied(lambda: list(worker.map(write, range(100))))
    assert size == 0
    assert (brought[:100] == -1).all() and brought[100] > 0
