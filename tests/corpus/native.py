"""Native code that lets others have the GIL."""

import bz2
import hashlib
import lzma
import zlib

from corpus import answer
from corpus.clock import on_threads, until_over

RANDOM = hashlib.shake_128(b"corpus").digest(400_000)


@answer("native-releasing", also=("oversubscribed", "saturated"))
def compresses(seconds):
    until_over(seconds, lambda: zlib.compress(RANDOM, 6))


@answer("native-releasing", "saturated", also=("oversubscribed",))
def compresses_on_two_threads(seconds):
    on_threads(2, seconds, lambda: zlib.compress(RANDOM, 6))


@answer("native-releasing", also=("oversubscribed", "saturated"))
def hashes(seconds):
    data = RANDOM * 5
    until_over(seconds, lambda: hashlib.sha256(data).digest())


@answer("native-releasing", "saturated", also=("oversubscribed",))
def hashes_on_two_threads(seconds):
    data = RANDOM * 5
    on_threads(2, seconds, lambda: hashlib.sha256(data).digest())


@answer("native-releasing", also=("oversubscribed", "saturated"))
def packs_with_bz2(seconds):
    until_over(seconds, lambda: bz2.compress(RANDOM))


@answer("native-releasing", also=("oversubscribed", "saturated"))
def packs_with_lzma(seconds):
    until_over(seconds, lambda: lzma.compress(RANDOM, preset=1))


@answer("native-releasing", "saturated", "oversubscribed", needs=("numpy",))
def multiplies_matrices(seconds):
    import numpy as np

    a = np.random.default_rng(7).random((700, 700))
    until_over(seconds, lambda: a @ a)


@answer("oversubscribed", also=("native-releasing", "saturated"))
def sixteen_threads_compress(seconds):
    on_threads(16, seconds, lambda: zlib.compress(RANDOM, 6))
