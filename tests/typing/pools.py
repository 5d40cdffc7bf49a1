"""Pools as a user's program has them; every type is stated. Read by type checkers, never run."""

from typing import assert_type

import plait


def size(path: str) -> int:
    return len(path)


def area(width: float, height: int) -> float:
    return width * height


def processes() -> None:
    with plait.Pool(4, initializer=print, initargs=("here",), maxtasksperchild=10) as pool:
        assert_type(pool, plait.Pool)
        assert_type(pool.apply(size, ("a",)), int)
        assert_type(pool.map(size, ["a", "b"], chunksize=2), list[int])
        assert_type(pool.map(lambda name: name.upper(), ["a", "b"]), list[str])
        assert_type(pool.starmap(area, [(1.5, 2)]), list[float])
        assert_type([each for each in pool.imap_unordered(size, ["a"])], list[int])
        assert_type(next(pool.imap(size, ["a"])), int)
        result = pool.apply_async(size, ("a",), callback=print)
        assert_type(result.get(timeout=1), int)
        assert_type(pool.map_async(size, ["a"]).get(), list[int])
        pool.close()
        pool.join()


def threads() -> None:
    with plait.ThreadPool(8) as pool:
        assert_type(pool.map(str.upper, ["a"]), list[str])
        assert_type(pool.starmap_async(area, [(1.5, 2)]).get(), list[float])
        pool.terminate()


def patched() -> None:
    plait.patch()
    plait.unpatch()
