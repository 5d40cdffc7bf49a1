"""Functions of ten kinds, and what the gauge makes of their calls."""

import ctypes
import hashlib
import importlib.util
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

Kind = tuple[str, Callable[[], Any]]


def kinds() -> list[Kind]:
    """Return the functions, each with the kind it is of."""
    text = json.dumps(list(range(120_000)))
    pattern, letters = re.compile("(?:a|b)*c|a+d"), "a" * 60_000
    data = bytes(range(256)) * 20_000
    keep = ctypes.PyDLL(None).usleep
    ours, theirs = socket.socketpair()

    def serve() -> None:
        while theirs.recv(1):
            time.sleep(0.02)
            theirs.sendall(b"x")

    threading.Thread(target=serve, daemon=True).start()

    def ask() -> None:
        for _ in range(3):
            ours.sendall(b"?")
            ours.recv(1)

    def loop() -> int:
        total = 0
        for n in range(700_000):
            total += n & 7
        return total

    def half() -> None:
        for n in range(250_000):
            n & 7
        hashlib.sha256(data).digest()

    found: list[Kind] = [
        ("waits", lambda: time.sleep(0.06)),
        ("waits", ask),
        ("python", loop),
        ("releases", lambda: zlib.compress(data[:2_000_000])),
        ("releases", lambda: [hashlib.sha256(data).digest() for _ in range(3)]),
        ("holds", lambda: json.loads(text)),
        ("holds", lambda: pattern.findall(letters)),
        ("holds", lambda: keep(60_000)),
        ("mixed", half),
    ]
    if importlib.util.find_spec("numpy"):
        import numpy as np

        matrix = np.random.default_rng(7).random((600, 600))
        found.append(("releases", lambda: [matrix @ matrix for _ in range(3)]))
    return found


def classify(figures: dict[str, Any]) -> str:
    """Return the kind of a function, by the time it had the GIL and a processor.

    Who has the GIL keeps it while it has no processor: its share is of all the time, that of the processor is
    of the time in which there was one.
    """
    had = max(figures["wall"] - (figures["delay"] or 0.0), 1e-9)
    cpu, held = (figures["cpu"] or 0.0) / had, (figures["held"] or 0.0) / max(figures["wall"], 1e-9)
    if held >= 0.8:
        return "holds"
    if held >= 0.2:
        return "mixed"
    return "waits" if cpu < 0.2 and (figures["native"] or 0.0) < 0.4 else "releases"


def measure(runs: int) -> dict[str, Any]:
    """Gauge each function so often; return how many were right, and what was wrong."""
    from plait import _core

    right, wrong = 0, []
    for kind, function in kinds():
        # Whether what holds the GIL is Python code or native is no question of the gauge.
        wanted = "holds" if kind == "python" else kind
        for _ in range(runs):
            gauge = _core.Gauge(function, True, 0.1)
            gauge.call_all([()] * 50, [], 0.1)
            figures = dict(gauge.figures())
            found = classify(figures)
            if found == wanted:
                right += 1
            else:
                wrong.append(
                    (kind, found, {key: figures[key] for key in ("wall", "cpu", "delay", "held", "samples")})
                )
    return {"right": right, "all": right + len(wrong), "wrong": wrong}
