"""What an engine has to offer, and what may come of a chunk there.

An adapter turns whatever its engine says into one of these outcomes; the rest of plait knows no engine.
"""

from collections.abc import Callable
from typing import Protocol

from plait._cluster.job import Job


class WorkerLost(Exception):
    """Workers died that had the chunk, the last of them at `address`; so often as the engine tries again."""

    def __init__(self, address: str, deaths: int, why: str = "", is_sure: bool = False) -> None:
        """See the class; `address`: empty where the engine does not say it; `why`: what it says of it.

        `is_sure`: they had no other chunk.
        """
        super().__init__(address, deaths, why, is_sure)
        self.address = address
        self.deaths = deaths
        self.why = why
        self.is_sure = is_sure


class ClusterGone(Exception):
    """No further chunk will come back; the text says what happened, and what to do."""


# Bytes of an answer, or why there are none. Called once, from any thread, and must not block.
Done = Callable[[bytes | None, BaseException | None], object]


class Handle(Protocol):
    """A chunk that the engine has."""

    def cancel(self) -> None:
        """Have it dropped, if it has not begun; what becomes of it is of no interest any more."""


class Engine(Protocol):
    """A connection to a cluster. Its methods are called from one thread at a time."""

    # What it is called in errors: "the Dask cluster at tcp://…".
    where: str
    # What starts a worker of it, as in "start one with …".
    advice: str
    # Seconds of work that a chunk should be, and seconds that one costs beside that.
    aim: float
    overhead: float
    # Seconds that calls wait for a worker to come.
    patience: float
    # How many calls a worker process of it makes at a time, at most.
    threads: int

    def places(self) -> int:
        """How many calls it runs at a time, as far as is known; 0 without workers."""

    def submit(self, job: Job, calls: bytes, done: Done) -> Handle:
        """Have a chunk run, and `done` told."""

    def trouble(self) -> str | None:
        """What speaks against any further answer; None while all is well."""

    def close(self, at_once: bool) -> None:
        """Let go of the connection, and end what plait started; `at_once`: whatever it is doing."""
