"""A program of a user's: words counted by dask.bag on its scheduler of processes."""

import sys
from pathlib import Path

import dask
import dask.bag

if __name__ == "__main__":
    files = sorted(map(str, Path(sys.argv[1]).rglob("*.py")))
    with dask.config.set(scheduler="processes", num_workers=2):
        texts = dask.bag.from_sequence(files, npartitions=8).map(lambda name: Path(name).read_text("utf-8"))
        words = texts.map(str.split).flatten()
        print(
            words.count().compute(), sorted(words.frequencies().topk(20, key=lambda pair: pair[1]).compute())
        )
