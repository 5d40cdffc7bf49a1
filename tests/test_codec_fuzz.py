"""What the parent reads of a worker's answer, when its bytes are not what was written."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from mutated import fuzz
from plait import _core

codec = _core.codec
NATIVE = 0

VALUES = [
    None, True, 0, -1, 255, 2**31, 2**63, 10**30, 1.5, "", "a", "grüße", "x" * 300, b"", b"y" * 300,
    (), (1, (2, "x")), [1, 2, 3], [1.5, 2.5], [True, None], ["a", "b"], [(1, 2), (3, 4)],
    {"a": 1, 2: [3]}, {"nested": {"dict": [1, (2,)]}}, list(range(500)),
]  # fmt: skip

# What a reader may say of bytes that are none of its own.
REFUSALS = (ValueError, TypeError, OverflowError, UnicodeDecodeError, RecursionError, pickle.UnpicklingError)


def natives(encode, values):
    sent = [encode(value) for value in values]
    return [bytes(data) for kind, data in sent if kind == NATIVE]


@pytest.mark.once
def test_fuzz_codec():
    seeds = natives(codec.encode, VALUES)
    assert len(seeds) == len(VALUES)

    def read(data):
        try:
            value = codec.decode(NATIVE, data)
        except REFUSALS:
            return
        # A length alone makes nothing large.
        assert len(repr(value)) <= 40 * len(data) + 40

    fuzz("codec", seeds, read)


@pytest.mark.once
def test_fuzz_calls():
    calls = [((), {}), ((1, "a"), {}), ((1.5,), {"key": [1, 2]}), ((), {"a": None, "b": (1,)})]
    seeds = natives(lambda call: codec.encode_call(*call), calls)
    seeds += natives(codec.encode_chunk, [[1, 2, 3], ["a"], [(1, 2), (3, 4)], [None]])

    def read(data):
        for decode in (codec.decode_call, codec.decode_chunk):
            try:
                decode(NATIVE, data)
            except REFUSALS:
                pass

    fuzz("calls", seeds, read)


@pytest.mark.once
def test_the_page_names_each_target():
    root = Path(__file__).parent.parent
    listed = subprocess.run(
        [sys.executable, root / "scripts/fuzz.py", "--list"], capture_output=True, text=True, check=True
    )
    targets = {line.split()[0] for line in listed.stdout.splitlines()}
    assert len(targets) > 10
    page = (root / "docs/distrust.md").read_text()
    assert not {target for target in targets if f"`{target}`" not in page}
