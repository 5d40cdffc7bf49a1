"""Watches as a user's program has them; every type is stated. Read by type checkers, never run."""

from traceback import StackSummary
from typing import assert_type

import plait


def tell(blocked: plait.LoopBlocked) -> None:
    assert_type(blocked.seconds, float)
    assert_type(blocked.over, bool)
    assert_type(blocked.task, str | None)
    assert_type(blocked.file, str | None)
    assert_type(blocked.line, int | None)
    assert_type(blocked.stack, tuple[str, ...])
    assert_type(blocked.trace, StackSummary)


async def main() -> None:
    with plait.watch_loop(0.2, tell, repeat_after=0) as watch:
        assert_type(watch.limit, float)
        watch.stop()


def hold(held: plait.GilHeld) -> None:
    assert_type(held.function, str | None)


def gil() -> None:
    with plait.watch_gil(0.2, hold) as watch:
        watch.stop()
