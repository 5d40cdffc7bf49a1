"""Mapped memory as Python objects: known by address, kept as long as somebody looks, and no longer."""

import gc
import os
import pickle
import threading
import weakref

import numpy as np
import pytest
from plait import _core

pytestmark = pytest.mark.once

codec = _core.codec
DATA = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def mappings():
    """No test leaves anything mapped."""
    gc.collect()
    before = codec.mappings()
    yield before
    gc.collect()
    assert codec.mappings() == before


def address(memory):
    return np.frombuffer(memory, "u1").ctypes.data


@pytest.fixture(params=[False, True], ids=["snapshot", "shared"])
def shared(request):
    return request.param


def test_what_a_buffer_is(shared):
    buffer = codec.mapped(DATA, shared)
    assert len(buffer) == len(DATA)
    assert repr(buffer) == f"<plait buffer of 256000 bytes, {'shared' if shared else 'snapshot'}>"
    view = memoryview(buffer)
    assert (view.format, view.shape, view.readonly) == ("B", (256_000,), False)
    assert view == DATA
    view[1000:1003] = b"abc"
    assert bytes(buffer)[:1004] == DATA[:1000] + b"abc" + DATA[1003:1004]
    with pytest.raises(TypeError):
        type(buffer)()


def test_it_lives_as_long_as_somebody_looks(mappings, shared):
    buffer = codec.mapped(DATA, shared)
    gone = weakref.ref(buffer)
    part = np.frombuffer(buffer, "u2")[100:200]
    span = _core.buffer_span(part.ctypes.data + 4, 6)
    del buffer
    assert gone() is not None
    assert codec.mappings() == mappings + 1
    del part
    assert gone() is None
    assert codec.mappings() == mappings + 1
    assert bytes(span) == DATA[204:210]
    del span
    assert codec.mappings() == mappings


def test_spans(shared):
    buffer = codec.mapped(DATA, shared)
    start, size = address(buffer), len(DATA)
    for at, length in [(0, size), (0, 1), (size - 1, 1), (5, 100), (4096, 8192)]:
        span = _core.buffer_span(start + at, length)
        assert (bytes(span), address(span)) == (DATA[at : at + length], start + at)
    other = bytearray(b"not mapped")
    for at, length in [
        (start - 1, 2),
        (start, size + 1),
        (start + size, 1),
        (start + 1, 2**64 - 1),
        (start, 0),
    ]:
        assert _core.buffer_span(at, length) is None
    assert _core.buffer_span(address(other), 3) is None
    assert _core.buffer_span(0, 1) is None


def test_of_many_mappings_the_right_one_is_found():
    sizes = [1, 100, 4095, 4096, 4097, 70_000, 9, 1 << 20]
    buffers = [codec.mapped(bytes([n]) * size, n % 2 == 0) for n, size in enumerate(sizes * 5)]
    del buffers[3::4]
    for buffer in buffers:
        for at in (0, len(buffer) // 2, len(buffer) - 1):
            assert bytes(_core.buffer_span(address(buffer) + at, 1)) == bytes(buffer)[:1]
        assert _core.buffer_span(address(buffer), len(buffer) + 1) is None


# --- on the way out


def sent(value):
    buffers = []
    return *codec.encode(value, buffers), buffers


def test_what_is_mapped_goes_as_what_it_is(shared):
    whole = np.frombuffer(codec.mapped(DATA, shared), "u1")
    for value in (whole, whole[1000:-1000], whole.reshape(2, -1).T, whole.view("f8")):
        _, _, (buffer,) = sent(value)
        assert "plait buffer" in repr(buffer)
        assert (address(buffer), len(buffer)) == (value.ctypes.data, value.nbytes)


def test_short_parts_of_shared_memory_leave_the_pickle():
    whole = np.frombuffer(codec.mapped(DATA, True), "u1")
    kind, data, buffers = sent(
        {"few": whole[10:13], "one": whole[:1], "none": whole[:0], "own": np.arange(5)}
    )
    assert [bytes(buffer) for buffer in buffers] == [DATA[10:13], DATA[:1]]
    back = codec.decode(kind, data, buffers)
    whole[10:13] = 7, 8, 9
    assert back["few"].tolist() == [7, 8, 9]
    snapshot = np.frombuffer(codec.mapped(DATA), "u1")
    assert sent([snapshot[10:13], snapshot[:65_535]])[2] == []


def test_a_message_keeps_what_it_refers_to(mappings):
    buffers = []
    kind, data = codec.encode(np.frombuffer(codec.mapped(DATA), "u1"), buffers)
    assert codec.mappings() == mappings + 1
    back = codec.decode(kind, data, buffers)
    del buffers
    gc.collect()
    assert back.tobytes() == DATA


def test_by_value_and_as_memoryviews(shared):
    buffer = codec.mapped(DATA, shared)
    kind, data, buffers = sent([memoryview(buffer)[5:-5], lambda: buffer, buffer])
    assert [address(one) - address(buffer) for one in buffers] == [5, 0]
    view, function, other = codec.decode(kind, data, buffers)
    assert view == DATA[5:-5]
    assert function() == DATA
    assert function() is other
    assert not view.readonly


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_buffer_pickles_as_a_memoryview(protocol):
    back = pickle.loads(pickle.dumps(codec.mapped(DATA), protocol))
    assert type(back) is memoryview
    assert back == DATA
    assert not back.readonly


# --- many at a time


def test_threads_make_find_and_drop():
    failed = []

    def work(shared):
        for n in range(300):
            buffer = codec.mapped(bytes([n % 251]) * 70_000, shared)
            _, _, buffers = sent(np.frombuffer(buffer, "u1")[1:])
            if len(buffers) != 1 or address(buffers[0]) != address(buffer) + 1 or bytes(buffer)[0] != n % 251:
                failed.append(n)

    threads = [threading.Thread(target=work, args=(n % 2 == 0,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def test_forks_while_others_make_and_drop():
    """The child finds the list of mappings usable, and its own to be dropped."""
    kept = codec.mapped(DATA)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            codec.mapped(b"x" * 5000)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    found = _core.buffer_span(address(kept), 256)
                    if bytes(found) == DATA[:256] and len(codec.mapped(b"own")) == 3:
                        status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
