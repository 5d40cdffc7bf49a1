"""Values with buffers in them arrive as they were sent: on each backend, each way, whatever holds the buffer.

What is drawn by lot comes from a seed that a failure shows; `PLAIT_SEED=… pytest tests/test_buffers.py` draws
the same again.
"""

import array
import asyncio
import functools
import os
import pickle
import random

import numpy as np
import parcels
import plait
import pytest
import workloads as w

# Each worker loads this file; see `preload_of` in conftest.
PRELOAD = ["pytest", "numpy"]

# So many values a test; enough together to meet a mistake sooner or later, few enough for every run.
DRAWS = 40
CHUNKS = [1, 7, None]


@pytest.fixture
def seed():
    return int(os.environ.get("PLAIT_SEED", random.SystemRandom().randrange(1 << 32)))


@pytest.fixture
def processes():
    """Two workers that need not import NumPy first."""
    with plait.ProcessPoolExecutor(2, preload=PRELOAD) as pool:
        yield pool


def check(complaints, seed):
    """Fails with the seed and the first thing wrong; each value was drawn from the seed and its number."""
    assert len(complaints) == DRAWS
    for number, complaint in enumerate(complaints):
        assert complaint is None, f"PLAIT_SEED={seed}, value {number}: {complaint}"


def drawn(seed):
    """The values of a seed, and the seed of each."""
    seeds = [f"{seed} {number}" for number in range(DRAWS)]
    return [parcels.draw(each) for each in seeds], seeds


def expected(backend, each):
    """What comes back of a seed's value: a copy from another process, from elsewhere the value itself."""
    return parcels.pickled(parcels.draw(each)) if backend == "processes" else parcels.draw(each)


def checker(backend):
    """The function that looks at an argument where it arrived."""
    return parcels.complaint if backend == "processes" else parcels.complaint_in_place


# --- values drawn by lot


def test_arguments_and_results_of_submit(backend, seed):
    values, seeds = drawn(seed)
    with plait.Executor(backend, 2) as pool:
        arguments = [pool.submit(checker(backend), *both) for both in zip(values, seeds)]
        made = [pool.submit(parcels.draw, each) for each in seeds]
        both = [pool.submit(w.identity, value) for value in values]
        check([future.result() for future in arguments], seed)
        check([parcels.difference(f.result(), expected(backend, each)) for f, each in zip(made, seeds)], seed)
        check([parcels.difference(f.result(), expected(backend, each)) for f, each in zip(both, seeds)], seed)
    # The sender's own are as they were.
    check([parcels.difference(value, parcels.draw(each)) for value, each in zip(values, seeds)], seed)


@pytest.mark.parametrize("chunksize", CHUNKS)
@pytest.mark.parametrize("way", ["executor.map", "plait.map"])
def test_arguments_and_results_of_map(backend, way, chunksize, seed):
    values, seeds = drawn(seed)
    with plait.Executor(backend, 2) as pool:
        if way == "executor.map":
            go = functools.partial(pool.map, chunksize=chunksize or 1)
        else:
            go = functools.partial(plait.map, backend=backend, workers=2, chunksize=chunksize)
        check(list(go(checker(backend), values, seeds)), seed)
        arrived = list(go(w.identity, values))
    check([parcels.difference(got, expected(backend, each)) for got, each in zip(arrived, seeds)], seed)


def test_keyword_arguments_and_partials(processes, seed):
    values, seeds = drawn(seed)
    named = [processes.submit(parcels.complaint, seed=each, value=v) for v, each in zip(values, seeds)]
    bound = [
        processes.submit(functools.partial(parcels.complaint, v), each) for v, each in zip(values, seeds)
    ]
    inside = [processes.submit(w.Holder(v).peek) for v in values]
    check([future.result() for future in named], seed)
    check([future.result() for future in bound], seed)
    check([parcels.difference(f.result(), expected("processes", e)) for f, e in zip(inside, seeds)], seed)


def again(values):
    """Sends what it got to a pool within, and gives what comes back."""
    return list(plait.map(w.identity, values, backend="processes"))


def test_values_go_through_pools_within_pools(processes, seed):
    values, seeds = drawn(seed)
    arrived = processes.submit(again, values).result()
    check([parcels.difference(got, expected("processes", each)) for got, each in zip(arrived, seeds)], seed)


def test_results_are_sent_on(processes, seed):
    """What lies in plait's memory already is sent like anything else, to this pool and to another one."""
    values, seeds = drawn(seed)
    with plait.ProcessPoolExecutor(1) as other:
        for pool in (processes, other, processes):
            values = list(pool.map(w.identity, values, chunksize=3))
    check([parcels.difference(got, expected("processes", each)) for got, each in zip(values, seeds)], seed)


def test_coroutines_get_them_too(processes, seed):
    values, seeds = drawn(seed)

    async def main():
        return await asyncio.gather(*(processes.submit(w.identity, value) for value in values))

    arrived = asyncio.run(main())
    check([parcels.difference(got, expected("processes", each)) for got, each in zip(arrived, seeds)], seed)


# --- what each kind of object arrives as

GRID = np.arange(600_000, dtype="f8").reshape(600, 1000)
GRIDS = {
    "C order": GRID,
    "Fortran order": np.asfortranarray(GRID),
    "transposed": GRID.T,
    "every other column": GRID[:, ::2],
    "backwards": GRID[::-1, ::-1],
    "a middle": GRID[7:-7, 13:-13],
    "three axes": GRID.reshape(6, 100, 1000).transpose(1, 2, 0),
    "one number spread": np.broadcast_to(np.float64(3), (300, 300)),
    "no rows": GRID[:0],
    "no items of no length": np.zeros((3, 0, 5), "V0"),
    "0-d": np.array(2.5),
    "0-d and large": np.array("x" * 100_000),
    "big-endian": GRID.astype(">f8"),
    "not aligned": np.frombuffer(bytes(800_001), "u1")[1:].view("f8"),
    "complex": GRID.astype("c16"),
    "long double": GRID.astype("g"),
    "bits": GRID > 9,
    "dates": GRID.astype("M8[ms]"),
    "spans": GRID.astype("m8[D]"),
    "not a time": np.full(100_000, "NaT", "M8[ns]"),
    "text": np.array(["grüße", "日本語", ""] * 20_000),
    "bytes with zeros": np.array([b"a\0b", b""] * 50_000, "S9"),
    "raw": np.frombuffer(bytes(range(256)) * 1000, "V16"),
    "records": np.array([(1, (0.5, 1.5), "abcd", "2026-01-01")] * 9_000, parcels.RECORD),
    "one field": np.array([(1, (0.5, 1.5), "abcd", "2026-01-01")] * 9_000, parcels.RECORD)["where"],
    "rec array": np.rec.array([(1, 2.0)] * 90_000, dtype="i4,f8"),
    "masked": np.ma.masked_less(GRID, 300),
    "masked records": np.ma.masked_array(np.zeros(9_000, "i4,f8"), mask=(True, False)),
    "objects": np.array([GRID, "text", {"key": GRID[0]}, None], object),
    "subclass": GRID.view(parcels.Plain),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("readonly", [False, True], ids=["", "read-only"])
def test_arrays(processes, name, readonly):
    sent = GRIDS[name]
    if readonly:
        sent = sent.view()
        sent.flags.writeable = False
    arrived = processes.submit(w.identity, sent).result()
    assert parcels.difference(arrived, parcels.pickled(sent)) is None
    assert arrived.base is not sent and not np.shares_memory(arrived, sent)


def strides_and_flags(sent):
    return sent.strides, sent.flags["F_CONTIGUOUS"], sent.flags["ALIGNED"], sent.flags["WRITEABLE"]


@pytest.mark.parametrize("name", ["C order", "Fortran order", "transposed", "records", "dates"])
def test_an_array_lies_as_it_lay(processes, name):
    sent = GRIDS[name]
    assert processes.submit(strides_and_flags, sent).result() == (
        sent.strides,
        sent.flags["F_CONTIGUOUS"],
        True,
        True,
    )


def test_an_attribute_of_a_subclass(processes):
    sent = GRID.view(parcels.Tagged)
    sent.tag = ["a", {"b": GRID[0]}]
    arrived = processes.submit(w.identity, sent).result()
    assert type(arrived) is parcels.Tagged and np.array_equal(arrived, sent)
    assert arrived.tag[0] == "a" and np.array_equal(arrived.tag[1]["b"], GRID[0])


LONG = bytes(range(251)) * 1000
VIEWS = {
    "of bytes": memoryview(LONG),
    "of a bytearray": memoryview(bytearray(LONG)),
    "a slice": memoryview(LONG)[1000:-999],
    "every third": memoryview(LONG)[::3],
    "backwards": memoryview(bytearray(LONG))[::-1],
    "empty": memoryview(b""),
    "short": memoryview(b"abc"),
    "of doubles": memoryview(array.array("d", range(50_000))),
    "two axes": memoryview(LONG).cast("B", (251, 1000)),
    "of an array": memoryview(GRID),
    "of a Fortran array": memoryview(np.asfortranarray(GRID)),
    "of part of an array": memoryview(GRID[::7, 1:]),
    "read-only": memoryview(bytearray(LONG)).toreadonly(),
    "characters": memoryview(LONG).cast("c"),
    "no axes": memoryview(np.array(1.5)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_memoryviews(processes, name):
    sent = VIEWS[name]
    arrived = processes.submit(w.identity, sent).result()
    assert type(arrived) is memoryview
    assert (arrived.format, arrived.shape, arrived.tobytes()) == (sent.format, sent.shape, sent.tobytes())
    assert arrived.readonly == sent.readonly
    assert arrived == sent


def test_a_released_memoryview_is_refused_and_named(processes):
    sent = memoryview(bytearray(LONG))
    sent.release()
    with pytest.raises((plait.NotPicklable, ValueError), match="released memoryview"):
        processes.submit(w.identity, sent).result()
    assert processes.submit(w.add_one, 1).result() == 2


BYTES = {
    "bytes": LONG,
    "a bytearray": bytearray(LONG),
    "an empty bytearray": bytearray(),
    "doubles": array.array("d", range(50_000)),
    "small numbers": array.array("h", [1, -2] * 50_000),
    "no numbers": array.array("q"),
    "large numbers": array.array("Q", [2**63, 1] * 50_000),
    "text": "grüße" * 50_000,
    "a wide number": 3**400_000,
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_and_their_kin(processes, name):
    sent = BYTES[name]
    arrived = processes.submit(w.identity, sent).result()
    assert type(arrived) is type(sent) and arrived == sent
    if isinstance(arrived, (bytearray, array.array)):
        arrived.extend(arrived)
        assert len(arrived) == 2 * len(sent)


def test_a_pickle_buffer_arrives_as_a_buffer(processes):
    for sent in (LONG, bytearray(LONG), GRID):
        arrived = memoryview(processes.submit(w.identity, pickle.PickleBuffer(sent)).result())
        assert arrived.tobytes() == memoryview(sent).tobytes()
        assert arrived.readonly == memoryview(sent).readonly


class OutOfBand:
    """A type that offers its buffer by pickle's protocol 5, as extension types do."""

    def __init__(self, data):
        self.data = data

    def __reduce_ex__(self, protocol):
        assert protocol >= 5
        return OutOfBand, (pickle.PickleBuffer(self.data),)


def test_any_type_that_offers_its_buffer(processes):
    for sent in (LONG, bytearray(LONG), array.array("d", range(50_000)), GRID.T, bytearray(b"short")):
        arrived = processes.submit(w.identity, OutOfBand(sent)).result()
        assert memoryview(arrived.data).tobytes() == memoryview(sent).tobytes("A")
        assert memoryview(arrived.data).readonly == memoryview(sent).readonly


class NotContiguous(OutOfBand):
    def __init__(self):
        super().__init__(memoryview(LONG)[::2])


def test_a_buffer_in_pieces_is_refused_and_named(processes):
    with pytest.raises((plait.NotPicklable, pickle.PicklingError), match="contiguous"):
        processes.submit(w.identity, NotContiguous()).result()
    assert processes.submit(w.add_one, 1).result() == 2


def test_one_array_met_twice_stays_one(processes):
    sent = np.arange(100_000.0)
    assert processes.submit(parcels.are_one, sent, sent).result()
    left, right, view = processes.submit(w.identity, [sent, sent, sent[10:]]).result()
    assert left is right and np.array_equal(view, sent[10:])


def test_exceptions_carry_arrays(processes):
    sent = ValueError("with an array", np.arange(100_000.0))
    error = processes.submit(w.raise_itself, sent).exception()
    assert type(error) is ValueError and np.array_equal(error.args[1], sent.args[1])


def test_initializers_get_arrays():
    sent = {"table": np.arange(300_000.0)}
    with plait.ProcessPoolExecutor(2, initializer=w.set_state, initargs=("arrays", sent)) as pool:
        sent["table"][:] = 0
        for state, *_ in pool.map(w.get_state, ["arrays"] * 8):
            assert np.array_equal(state["table"], np.arange(300_000.0))


# --- objects of other libraries


@pytest.mark.once
def test_pandas(processes):
    pandas = pytest.importorskip("pandas")
    rows = 20_000
    frame = pandas.DataFrame(
        {
            "floats": np.arange(rows) / 7,
            "more floats": np.arange(rows) * 7.5,
            "ints": np.arange(rows),
            "bits": np.arange(rows) % 3 == 0,
            "text": [f"row {n}" for n in range(rows)],
            "kinds": pandas.Categorical(["a", "b"] * (rows // 2)),
            "times": pandas.date_range("2026-01-01", periods=rows, freq="min", tz="Europe/Vienna"),
            "gaps": pandas.array([1, None] * (rows // 2), dtype="Int64"),
            "objects": [{"n": n} for n in range(rows)],
        },
        index=pandas.MultiIndex.from_product([range(rows // 2), ["x", "y"]], names=["n", "side"]),
    )
    frame.attrs["source"] = "here"
    for sent in (frame, frame.iloc[::2], frame.iloc[:0], frame[["floats", "more floats"]].T):
        arrived = processes.submit(w.identity, sent).result()
        pandas.testing.assert_frame_equal(arrived, sent)
        assert arrived.attrs == sent.attrs
    arrived.iloc[0, 0] = -1.0
    assert arrived.iloc[0, 0] == -1.0 and frame["floats"].iloc[0] == 0.0
    arrived = processes.submit(w.identity, frame["times"]).result()
    pandas.testing.assert_series_equal(arrived, frame["times"])


def test_pyarrow(processes):
    pyarrow = pytest.importorskip("pyarrow")
    rows = 50_000
    table = pyarrow.table(
        {
            "floats": np.arange(rows) / 7,
            "gaps": pyarrow.array([1, None] * (rows // 2)),
            "text": [f"row {n}" for n in range(rows)],
            "lists": [[n, n + 1] for n in range(rows)],
            "kinds": pyarrow.array(["a", "b"] * (rows // 2)).dictionary_encode(),
        }
    )
    for sent in (table, table.slice(1000, 3000), table.slice(0, 0), pyarrow.concat_tables([table, table])):
        arrived = processes.submit(w.identity, sent).result()
        arrived.validate(full=True)
        assert arrived.equals(sent)
    assert processes.submit(w.identity, pyarrow.py_buffer(LONG)).result().to_pybytes() == LONG


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I", "F", "1", "P"])
def test_pillow(processes, mode):
    image = pytest.importorskip("PIL.Image")
    sent = image.linear_gradient("L").resize((640, 480)).convert(mode)
    arrived = processes.submit(w.identity, sent).result()
    assert (arrived.mode, arrived.size, arrived.tobytes()) == (mode, sent.size, sent.tobytes())
    arrived.putpixel((0, 0), arrived.getpixel((639, 479)))
    assert arrived.getpixel((0, 0)) == sent.getpixel((639, 479))
