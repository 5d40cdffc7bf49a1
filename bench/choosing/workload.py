"""What a workload is: how its function, its items and the check of its results are made, and where it
runs.

A workload's functions are found by name in their module, as in a program; modules import heavy libraries
only when `prepare` is called, which is before the clock runs. Every call is deterministic: whoever runs
the items gets the same results, and `check` raises `AssertionError` for others.
"""

import contextlib
import hashlib
import importlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

# What a site tells the workload's processes: ports and folders. It travels as JSON.
Site = dict[str, Any]

MODULES = ("fetching", "interpreted", "native", "holding", "sizes", "uneven", "bounded", "mixed")


@dataclass(frozen=True)
class Job:
    """One run of a workload: made anew for each, and not timed."""

    fn: Callable[[Any], Any]
    items: Iterable[Any]
    # How many items there are, also where `items` does not tell.
    count: int
    check: Callable[[list[Any]], None]


@dataclass(frozen=True)
class Workload:
    """A name, a kind, and how to make a job of it."""

    name: str
    kind: str
    prepare: Callable[[Site], Job]
    site: Callable[[], AbstractContextManager[Site]]
    # Whether calls may run in other processes: if not, a contender on processes that fails, or whose results
    # are wrong, has only shown that it is not for this.
    apart: bool


WORKLOADS: dict[str, Workload] = {}


def no_site() -> AbstractContextManager[Site]:
    """The site of a workload that needs nothing around it."""
    return contextlib.nullcontext({})


def workload(
    name: str,
    kind: str,
    *,
    site: Callable[[], AbstractContextManager[Site]] = no_site,
    apart: bool = True,
) -> Callable[[Callable[[Site], Job]], Callable[[Site], Job]]:
    """Return a decorator that makes a workload of a function from its site to a job."""

    def enter(prepare: Callable[[Site], Job]) -> Callable[[Site], Job]:
        if name in WORKLOADS:
            raise ValueError(f"two workloads are called {name!r}")
        WORKLOADS[name] = Workload(name, kind, prepare, site, apart)
        return prepare

    return enter


def load() -> dict[str, Workload]:
    """Return all workloads by name, in the order of their modules."""
    for module in MODULES:
        importlib.import_module(f"choosing.{module}")
    return WORKLOADS


def equals(expected: list[Any]) -> Callable[[list[Any]], None]:
    """Return a check that the results are these."""

    def check(results: list[Any]) -> None:
        assert len(results) == len(expected), f"{len(results)} results for {len(expected)} items"
        for index, (result, right) in enumerate(zip(results, expected)):
            assert result == right, f"result {index} is {shown(result)}, not {shown(right)}"

    return check


def each(right: Callable[[Any], bool], count: int) -> Callable[[list[Any]], None]:
    """Return a check that there are `count` results, each right by itself; `digest` tells the rest."""

    def check(results: list[Any]) -> None:
        assert len(results) == count, f"{len(results)} results for {count} items"
        for index, result in enumerate(results):
            assert right(result), f"result {index} is {shown(result)}"

    return check


def shown(value: Any) -> str:
    """Return a value in a few characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def digest(results: list[Any]) -> str:
    """Return a word that is the same for the same results, whoever computed them."""
    found = hashlib.blake2b(digest_size=12)
    for result in results:
        if isinstance(result, (bytes, bytearray)):
            found.update(result)
        elif hasattr(result, "tobytes"):
            found.update(f"{result.dtype} {result.shape}".encode())
            # Of a large array a number of every 512 bytes: looking through all takes longer than the run.
            some = result if result.nbytes < 1 << 20 else result.ravel()[:: 512 // result.itemsize]
            found.update(some.tobytes())
        else:
            found.update(repr(result).encode())
        found.update(b"|")
    return found.hexdigest()
