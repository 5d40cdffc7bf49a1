"""plait's functions as a program calls them; every type is stated. Read by type checkers, never run."""

import ctypes
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, assert_type

import numpy as np
import numpy.typing as npt
import plait


def squared(n: int) -> int:
    return n * n


def clipped(n: int, low: int, high: int) -> int:
    return max(low, min(n, high))


def maps() -> None:
    results = plait.map(squared, range(5))
    assert_type(results.choice, plait.Choice)
    assert_type(next(results), int)
    assert_type(plait.map(squared, range(5), backend="auto", workers=2).choice, plait.Choice)
    assert_type(plait.map(squared, range(5), backend="processes"), Iterator[int])
    assert_type(plait.map(lambda n: n / 2, range(5), backend="threads", workers=2), Iterator[float])
    assert_type(list(plait.map(lambda a, b: a + len(b), [1], ["x"], timeout=1.0, retries=2)), list[int])
    assert_type(list(plait.map(squared, [1], errors="skip", ordered=False, checkpoint="a path")), list[int])
    assert_type(list(plait.map(squared, [1], errors="return", timeout=1.0)), list[int | Exception])
    assert_type(list(plait.map(clipped, [1], [2], [3], errors="return")), list[int | Exception])
    kept = plait.map(squared, [1], backend="threads", capture_output=True)
    assert_type(list(kept), list[int])
    assert_type(kept.stdout, str | None)
    told: list[plait.Progress] = []
    assert_type(list(plait.map(squared, [1], progress=told.append)), list[int])
    assert_type(told[-1].total, int | None)
    assert_type(list(plait.map(clipped, [1], [2], [3], chunksize=10, buffersize=20)), list[int])


async def fetched(n: int, deep: bool = False) -> str:
    return str(n)


async def numbers() -> AsyncIterator[int]:
    yield 1


async def coroutines() -> None:
    assert_type(plait.map(fetched, range(5)), Iterator[str])
    assert_type(plait.map(fetched, numbers(), backend="asyncio", concurrency=100), Iterator[str])
    assert_type(plait.map(fetched, [1], [True], backend="processes", workers=2), Iterator[str])
    assert_type(next(plait.map(fetched, [1], [True], capture_output=True)), str)
    async for text in plait.amap(fetched, numbers(), concurrency=10):
        assert_type(text, str)
    async for number in plait.amap(squared, range(5), backend="processes", chunksize=2):
        assert_type(number, int)
    await plait.amap(clipped, [1], numbers(), [3]).aclose()
    with plait.Executor("asyncio") as executor:
        assert_type(await executor.submit(fetched, 1, deep=True), str)


def shared() -> None:
    assert_type(plait.zeros((2, 3)), npt.NDArray[np.float64])
    assert_type(plait.empty(10, np.int32), npt.NDArray[np.int32])
    assert_type(plait.full([4], 7, dtype=np.dtype(np.uint8)), npt.NDArray[np.uint8])
    assert_type(plait.zeros(3, "f4", order="F"), npt.NDArray[Any])
    table: dict[str, npt.NDArray[np.float64]] = {"a": np.ones(3), "b": np.zeros(3)}
    assert_type(plait.share(table), dict[str, npt.NDArray[np.float64]])
    assert_type(plait.share(b"text"), memoryview)


def cells() -> None:
    counter = plait.Value(int)
    assert_type(counter, plait.Value[int])
    assert_type(counter.add(), int)
    assert_type(plait.Value("d", 2).swap(1.5), float)
    assert_type(plait.Value(bool, True).value, bool)
    assert_type(plait.Value(ctypes.c_int, 3), plait.Value[Any])
    assert_type(counter.compare_and_swap(1, 2), bool)
    hits = plait.Array("uint64", 10)
    assert_type(hits, plait.Array[int])
    assert_type((hits[0], hits[1:]), tuple[int, list[int]])
    assert_type(hits.add(0, 5), int)
    assert_type(list(plait.Array(float, [1, 2.5])), list[float])
    assert_type(plait.Array(np.dtype(np.int64), 3), plait.Array[Any])


@plait.task(shares_state=False)
def cubed(n: int, power: int = 3) -> float:
    return float(n**power)


def marked() -> None:
    assert_type(cubed(2, power=4), float)
    assert_type(plait.task(squared, shares_state=True)(3), int)
    assert_type(list(plait.map(plait.task(squared), [1, 2])), list[int])


def chosen(choice: plait.Choice) -> dict[str, Any]:
    assert_type(choice.backend, str)
    assert_type(choice.chunksize, int | None)
    assert_type(choice.reasons, tuple[str, ...])
    assert_type(choice.figures, Mapping[str, Any])
    assert_type(choice.candidates[0].seconds, float | None)
    assert_type(choice.text(80, color=True), str)
    return choice.to_dict()


def machine() -> str:
    assert_type(plait.cpu_count(), int)
    return plait.__version__


def compared() -> str:
    comparison = plait.compare(squared, range(100))
    assert_type(comparison, plait.Comparison)
    assert_type(comparison.best, str | None)
    return comparison.table(width=80)
