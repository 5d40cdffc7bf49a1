"""Processes and threads as a user's program has them. Read by type checkers, never run."""

import multiprocessing
import threading
from typing import Any

import plait


def size(path: str) -> int:
    return len(path)


class Reader(plait.Process):
    def __init__(self, path: str) -> None:
        super().__init__(name="reader", daemon=True)
        self.path = path

    def run(self) -> Any:
        return size(self.path)


class Counter(plait.Thread):
    def run(self) -> Any:
        return 5


def processes() -> None:
    process: multiprocessing.Process = plait.Process(target=size, args=("a",), kwargs={}, daemon=False)
    process.start()
    process.join(timeout=1)
    reader = Reader("a")
    reader.start()
    read: int = reader.join()
    code: int | None = reader.exitcode
    print(read, code, reader.pid, reader.sentinel, reader.is_alive())
    reader.terminate()
    reader.interrupt()


def threads() -> None:
    thread: threading.Thread = plait.Thread(target=size, args=("a",), name="sizes", daemon=True)
    thread.start()
    thread.join(1)
    counter = Counter()
    counter.start()
    counted: int = counter.join()
    print(counted, counter.ident, counter.native_id)
