"""Leaks on purpose: so that it is seen that a soak notices."""

import os
import threading
from typing import Any

from actor import Actor, Storm

A_SECOND = 60


class Leak(Actor):
    """Keeps what it makes: descriptors, memory or threads."""

    title = "leak"

    def __init__(self, storm: Storm, what: str) -> None:
        super().__init__(storm)
        self.what = what
        self.kept: list[Any] = []

    def step(self) -> None:
        if self.what == "descriptors":
            self.kept.append(os.open(os.devnull, os.O_RDONLY))
        elif self.what == "memory":
            self.kept.append(os.urandom(100_000))
        elif self.what == "threads":
            thread = threading.Thread(target=self.storm.over.wait, daemon=True)
            thread.start()
            self.kept.append(thread)
        self.storm.over.wait(1 / A_SECOND)

    def finish(self) -> None:
        """Gives it back: what is asked is whether it was seen while it grew."""
        if self.what == "descriptors":
            for descriptor in self.kept:
                os.close(descriptor)
        self.kept.clear()
