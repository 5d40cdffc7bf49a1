"""Kinds of calls that are not tiny: how each is made from its number, and what it may end with."""

import random
import signal
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tasks
from ends import Close, Dies, End, Hogs, Late, Raises, Refused, Value
from plait import NotPicklable
from weather import Limits, Weather


@dataclass(frozen=True)
class Made:
    """A call to be submitted, and what it may end with."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    end: End
    timeout: float | None = None
    retries: int = 0


Maker = Callable[[int, random.Random], Made]

# Tries that the storm's own faults cannot use up.
PLENTY = 25
# Seconds that no call of the storm takes, whatever else the machine does.
AMPLE = 50.0
# What a call takes that its worker may not.
HOGGED_MB = 600


def _slow(number: int, dice: random.Random) -> Made:
    return Made(tasks.slow, (number, dice.expovariate(100)), Value(tasks.answer(number)))


def _busy(number: int, dice: random.Random) -> Made:
    return Made(tasks.busy, (number, dice.uniform(0, 0.01)), Value(tasks.answer(number)))


def _quick(number: int, _: random.Random) -> Made:
    return Made(tasks.tiny, (number,), Value(tasks.answer(number)))


def _by_value(number: int, _: random.Random) -> Made:
    # A lambda goes by value, pickled anew for each pool.
    extra = number % 7
    return Made((lambda n: tasks.tiny(n) + extra), (number,), Value(tasks.answer(number) + extra))


def _holding(number: int, dice: random.Random) -> Made:
    return Made(tasks.hold_gil, (number, dice.uniform(0, 0.05)), Value(tasks.answer(number)))


def _plain_error(number: int, _: random.Random) -> Made:
    return Made(tasks.raise_plain, (number,), Raises(ValueError, str(number)))


def _odd_error(number: int, dice: random.Random) -> Made:
    function, error = dice.choice(
        [
            (tasks.raise_odd, tasks.OddError),
            (tasks.raise_locked, tasks.LockedError),
            (tasks.raise_unreadable, tasks.UnreadableError),
        ]
    )
    return Made(function, (number,), Raises(error, str(number)))


def _exit_error(number: int, _: random.Random) -> Made:
    return Made(tasks.raise_exit, (number,), Raises(SystemExit, str(number)))


def _deep_error(number: int, _: random.Random) -> Made:
    return Made(tasks.raise_deep, (number,), Raises(RecursionError, ""))


def _large_result(number: int, dice: random.Random) -> Made:
    size = 8 * int(10 ** dice.uniform(4, 6.8))
    return Made(tasks.blob, (number, size), Value(number.to_bytes(8, "little") * (size // 8)))


def _large_argument(number: int, dice: random.Random) -> Made:
    data = dice.randbytes(1 << 12) * int(10 ** dice.uniform(1, 4))
    return Made(tasks.weigh, (number, data), Value((number, len(data), zlib.adler32(data))))


def _bad_result(number: int, dice: random.Random) -> Made:
    if dice.random() < 0.5:
        return Made(tasks.give_lock, (number,), Raises(NotPicklable, "lock"))
    return Made(tasks.give_exploding, (number,), Raises(NotPicklable, "this will not load"))


def _bad_argument(number: int, dice: random.Random) -> Made:
    import threading

    bad = dice.choice([threading.Lock(), (item for item in "abc"), {"deep": [threading.Lock()]}])
    return Made(tasks.weigh, (number, bad), Refused(NotPicklable))


def _killed(number: int, dice: random.Random) -> Made:
    how = dice.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
    return Made(tasks.kill_self, (number, int(how)), Dies(-how))


def _exits(number: int, dice: random.Random) -> Made:
    code = dice.choice([0, 1, 77])
    return Made(tasks.exit_at_once, (number, code), Dies(code))


def _crash(number: int, _: random.Random) -> Made:
    return Made(tasks.crash, (number,), Dies(-signal.SIGSEGV))


def _nested(number: int, dice: random.Random) -> Made:
    count = dice.randint(1, 50)
    return Made(tasks.nest, (number, count), Value([tasks.answer(n) for n in range(number, number + count)]))


def _late(number: int, dice: random.Random) -> Made:
    function = dice.choice([tasks.slow, tasks.busy, tasks.swallow, tasks.hold_gil])
    timeout, retries = round(dice.uniform(0.001, 0.2), 4), dice.choice([0, 0, 0, 2])
    return Made(function, (number, AMPLE), Late(), timeout, retries)


def _close(number: int, dice: random.Random) -> Made:
    timeout = round(dice.uniform(0.001, 0.05), 4)
    function = dice.choice([tasks.slow, tasks.busy])
    return Made(function, (number, timeout * dice.uniform(0.5, 1.1)), Close(tasks.answer(number)), timeout)


def _in_time(number: int, dice: random.Random) -> Made:
    return Made(tasks.tiny, (number,), Value(tasks.answer(number)), AMPLE, dice.choice([0, PLENTY]))


def _flaky(number: int, dice: random.Random) -> Made:
    fails = dice.randint(1, 4)
    return Made(tasks.flaky, (number, fails), Value(tasks.answer(number)), retries=fails + PLENTY)


def _hopeless(number: int, dice: random.Random) -> Made:
    return Made(tasks.raise_plain, (number,), Raises(ValueError, str(number)), retries=dice.randint(1, 3))


def _poison(number: int, dice: random.Random) -> Made:
    code = dice.choice([3, 4])
    return Made(tasks.exit_at_once, (number, code), Dies(code), retries=dice.randint(1, 3))


def _leak(number: int, dice: random.Random) -> Made:
    return Made(tasks.leak, (number, dice.randint(1, 10) << 20), Value(tasks.answer(number)))


def _hog(number: int, _: random.Random) -> Made:
    return Made(tasks.hog, (number, HOGGED_MB, AMPLE), Hogs())


class Kinds:
    """Draws calls as often as the weather says."""

    def __init__(self, weather: Weather) -> None:
        shares: list[tuple[float, Maker]] = [
            (8, _quick),
            (2, _slow),
            (1, _busy),
            (0.5, _by_value),
            (0.1, _holding),
            (weather.raising, _plain_error),
            (weather.raising / 4, _odd_error),
            (weather.raising / 10, _exit_error),
            (weather.raising / 30, _deep_error),
            (weather.heavy / 2, _large_result),
            (weather.heavy / 2, _large_argument),
            (weather.unsendable / 2, _bad_result),
            (weather.unsendable / 2, _bad_argument),
            (weather.dying / 3, _killed),
            (weather.dying / 3, _exits),
            (weather.dying / 3, _crash),
            (weather.nesting, _nested),
            (weather.late, _late),
            (weather.late, _close),
            (weather.late, _in_time),
            (weather.retried / 2, _flaky),
            (weather.retried / 4, _hopeless),
            (weather.retried / 4, _poison),
            (weather.leaking, _leak),
            (weather.leaking / 20, _hog),
        ]
        self._weights = [share for share, _ in shares]
        self._makers = [maker for _, maker in shares]

    def draw(self, number: int, dice: random.Random, limits: Limits) -> Made:
        """A call for this number, in a pool with these limits."""
        (maker,) = dice.choices(self._makers, self._weights)
        if (maker is _leak and limits.growth is None) or (maker is _hog and limits.memory is None):
            maker = _quick
        return maker(number, dice)
