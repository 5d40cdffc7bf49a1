"""Kinds of calls that are not tiny: how each is made from its number, and what it may end with."""

import random
import signal
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plait
import tasks
from plait import NotPicklable, RemoteError
from weather import Weather


@dataclass(frozen=True)
class Value:
    """The call gives this."""

    value: Any


@dataclass(frozen=True)
class Raises:
    """The call raises this class, and its text holds this."""

    error: type[BaseException]
    text: str


@dataclass(frozen=True)
class Dies:
    """The call ends its worker, with this exit code as `WorkerDied` tells it."""

    exitcode: int


@dataclass(frozen=True)
class Refused:
    """The call cannot be sent: this error comes from `submit`, or out of the future."""

    error: type[BaseException]


End = Value | Raises | Dies | Refused
Made = tuple[Callable[..., Any], tuple[Any, ...], End]
Maker = Callable[[int, random.Random], Made]


def _slow(number: int, dice: random.Random) -> Made:
    return tasks.slow, (number, dice.expovariate(100)), Value(tasks.answer(number))


def _busy(number: int, dice: random.Random) -> Made:
    return tasks.busy, (number, dice.uniform(0, 0.01)), Value(tasks.answer(number))


def _quick(number: int, _: random.Random) -> Made:
    return tasks.tiny, (number,), Value(tasks.answer(number))


def _by_value(number: int, _: random.Random) -> Made:
    # A lambda goes by value, pickled anew for each pool.
    extra = number % 7
    return (lambda n: tasks.tiny(n) + extra), (number,), Value(tasks.answer(number) + extra)


def _holding(number: int, dice: random.Random) -> Made:
    return tasks.hold_gil, (number, dice.uniform(0, 0.05)), Value(tasks.answer(number))


def _plain_error(number: int, _: random.Random) -> Made:
    return tasks.raise_plain, (number,), Raises(ValueError, str(number))


def _odd_error(number: int, dice: random.Random) -> Made:
    function = dice.choice([tasks.raise_odd, tasks.raise_locked, tasks.raise_unreadable])
    return function, (number,), Raises(RemoteError, str(number))


def _exit_error(number: int, _: random.Random) -> Made:
    return tasks.raise_exit, (number,), Raises(SystemExit, str(number))


def _deep_error(number: int, _: random.Random) -> Made:
    return tasks.raise_deep, (number,), Raises(RecursionError, "")


def _large_result(number: int, dice: random.Random) -> Made:
    size = 8 * int(10 ** dice.uniform(4, 6.8))
    return tasks.blob, (number, size), Value(number.to_bytes(8, "little") * (size // 8))


def _large_argument(number: int, dice: random.Random) -> Made:
    data = dice.randbytes(1 << 12) * int(10 ** dice.uniform(1, 4))
    return tasks.weigh, (number, data), Value((number, len(data), zlib.adler32(data)))


def _bad_result(number: int, dice: random.Random) -> Made:
    if dice.random() < 0.5:
        return tasks.give_lock, (number,), Raises(NotPicklable, "lock")
    return tasks.give_exploding, (number,), Raises(LookupError, "this will not load")


def _bad_argument(number: int, dice: random.Random) -> Made:
    import threading

    bad = dice.choice([threading.Lock(), (item for item in "abc"), {"deep": [threading.Lock()]}])
    return tasks.weigh, (number, bad), Refused(NotPicklable)


def _killed(number: int, dice: random.Random) -> Made:
    how = dice.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
    return tasks.kill_self, (number, int(how)), Dies(-how)


def _exits(number: int, dice: random.Random) -> Made:
    code = dice.choice([0, 1, 77])
    return tasks.exit_at_once, (number, code), Dies(code)


def _crash(number: int, _: random.Random) -> Made:
    return tasks.crash, (number,), Dies(-signal.SIGSEGV)


def _nested(number: int, dice: random.Random) -> Made:
    count = dice.randint(1, 50)
    return tasks.nest, (number, count), Value([tasks.answer(n) for n in range(number, number + count)])


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
        ]
        self._weights = [share for share, _ in shares]
        self._makers = [maker for _, maker in shares]

    def draw(self, number: int, dice: random.Random) -> Made:
        """A call for this number."""
        (maker,) = dice.choices(self._makers, self._weights)
        return maker(number, dice)


WorkerDied = plait.WorkerDied
