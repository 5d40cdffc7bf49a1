"""`plait.watch_loop`: hear of it when a callback blocks its event loop, while it still does.

Each watched loop has a heartbeat, a timer that notes the time (`pulse.py`). One thread of ours looks whether
it is late (`watcher.py`), and only then at what the loop's thread does (`sight.py`).
"""

import asyncio
import math
from collections.abc import Callable

from plait._errors import PlaitError
from plait._watch_loop.handle import LoopWatch
from plait._watch_loop.report import LoopBlocked
from plait._watch_loop.watcher import begin

__all__ = ["LoopBlocked", "LoopWatch", "watch_loop"]


def watch_loop(
    limit: float = 0.1,
    callback: Callable[[LoopBlocked], object] | None = None,
    *,
    loop: asyncio.AbstractEventLoop | None = None,
    repeat_after: float = 10.0,
) -> LoopWatch:
    """Tell when one callback, or one step of a coroutine, blocks its event loop for over `limit` seconds.

    It is told twice: as soon as it has blocked for `limit`, with the line that blocks, and when it is over,
    with the whole length. A loop that has much to do, but in small steps, is not told.

    Args:
        limit: Seconds that one step may take. What takes a quarter more is told for certain.
        callback: Called with each, in a thread of plait's. What it raises is logged. Without one, each is a
            warning of the logger "plait".
        loop: The loop to watch, of any thread, whether it runs yet or not; by default the one that runs here.
        repeat_after: Seconds before a line that was told is told again. Meanwhile its stalls are counted;
            0 tells each.

    Returns:
        A handle: `stop()` ends it, and so do leaving it as a context manager and the closing of the loop.

    Raises:
        ValueError: `limit` is not above 0, `repeat_after` is below 0, or the loop is closed.
        TypeError: One of them is no number, `callback` cannot be called, or `loop` is no event loop.
        plait.PlaitError: No loop was given, and none runs here.

    """
    for name, seconds in (("limit", limit), ("repeat_after", repeat_after)):
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not 0 < limit < math.inf:
        raise ValueError(f"limit must be above 0 seconds, not {limit}")
    if not 0 <= repeat_after < math.inf:
        raise ValueError(f"repeat_after must be 0 seconds or more, not {repeat_after}")
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, and {type(callback).__name__} is not")
    if loop is None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise PlaitError(
                "no event loop runs here: call plait.watch_loop() in a coroutine, or say loop=…"
            ) from None
    if not isinstance(loop, asyncio.AbstractEventLoop):
        raise TypeError(f"loop must be an event loop, not {type(loop).__name__}")
    if loop.is_closed():
        raise ValueError("the loop is closed: watch one that can still run")
    watch = LoopWatch(float(limit), callback, float(repeat_after))
    begin(watch, loop)
    return watch
