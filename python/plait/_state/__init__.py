"""Seeing whether a function shares state that its caller can observe, before it is moved to processes.

There each worker would change a copy of its own, and nobody would be told. `look` reads the function's code,
and that of the functions of the program that it names, for what says so outright: an assigned global, a lock.
It also keeps a print of the objects that the function reaches by names; `Look.changed` compares them, and the
arguments of the calls made meanwhile, with what they are then.

Promises: nothing of the user's is called; a look takes a few milliseconds at most; what goes wrong in it
is raised nowhere, and counts as state that is shared. What it cannot see stands in `docs/choosing.md`. One
thread uses a `Look` at a time; the calls may run in others.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Any

from plait._state.facts import Budget, Print, taken
from plait._state.kinds import Kinds
from plait._state.origin import Origin
from plait._state.reach import Place, Reach, Way
from plait._state.safe import MISSING, PLAIN, same

# Seconds of processor time for each part of a look: reading code, taking prints.
SECONDS = 0.002
# The arguments of so many calls are watched.
CALLS = 8
# Whether a fault in here is raised. For plait's own tests; in a user's program it is a reason to stay.
RAISES = False


class Look:
    """What was seen of a function; `look` makes it."""

    def __init__(self, home: str | None = None) -> None:
        """Begin with nothing seen."""
        origin = Origin(home)
        self._kinds = Kinds(origin)
        self._reach = Reach(origin, self._kinds, Budget(SECONDS))
        self._budget = Budget(SECONDS)
        self._prints: list[tuple[Place, Any, Print | None]] = []
        self._arguments: list[tuple[Any, Print]] = []
        self._calls = 0

    @property
    def finding(self) -> str | None:
        """Why the function shares state, as far as its code tells, or None. Known before any call."""
        return self._reach.finding

    @property
    def functions(self) -> list[Way]:
        """The functions of the program that it leads to, as far as they were looked at."""
        return self._reach.ways

    def watch(self, *args: Any) -> None:
        """See the arguments of a call that is about to be measured; those of later calls are not looked
        at."""
        if self._calls >= CALLS or self.finding is not None:
            return
        index = self._calls
        self._calls += 1
        try:
            for position, arg in enumerate(args):
                if id(type(arg)) not in PLAIN:
                    path = f"items[{index}]" if len(args) == 1 else f"items[{index}][{position}]"
                    self._watch(arg, path)
            self._reach.follow()
            self._take_prints()
        except Exception as fault:
            self._fail(fault)

    def watch_all(self, calls: Iterable[tuple[Any, ...]]) -> None:
        """See the arguments of several calls, as far as they are looked at."""
        for args in islice(calls, CALLS - self._calls):
            self.watch(*args)

    def changed(self, calls: Iterable[tuple[Any, ...]] = ()) -> str | None:
        """Why the function shares state, as a sentence without its full stop, or None where nothing says so.

        Compares what the function reaches with what it was before. May be asked again after more calls.

        Args:
            calls: The arguments of the calls that were made. Those that were not watched tell what they are,
                but not what became of them until now.

        """
        try:
            self.watch_all(islice(calls, self._calls, None))
            return self.finding or self._changed_place() or self._changed_argument()
        except Exception as fault:
            self._fail(fault)
            return self.finding

    def _fail(self, fault: Exception) -> None:
        """What cannot be looked at may well be shared: to stay is the safer mistake, and one that is told."""
        if RAISES:
            raise fault
        message = f"what it shares could not be looked at ({type(fault).__name__}: {fault})"
        self._reach.finding = self._reach.finding or message

    def _take(self, fn: Any) -> None:
        self._reach.start(fn)
        if self.finding is None:
            self._take_prints()

    def _take_prints(self) -> None:
        places, self._reach.places = self._reach.places, []
        for place in places:
            value = place.now()
            print_ = taken(value, place.path, self._kinds, self._budget)
            # NumPy resizes only arrays that nobody else holds.
            held = MISSING if print_ is not None and print_.kind == "ndarray" else value
            self._prints.append((place, held, print_))

    def _watch(self, arg: Any, path: str) -> None:
        self._reach.argument(arg, path)
        print_ = taken(arg, path, self._kinds, self._budget)
        if print_ is not None:
            self._arguments.append((arg, print_))

    def _changed_place(self) -> str | None:
        for place, before, print_ in self._prints:
            now = place.now()
            done: str | None
            if before is not MISSING and not same(before, now):
                done = f"assigns {place.assigned}"
            elif print_ is None or now is MISSING:
                continue
            else:
                done = print_.change(now)
            if done is not None and place.is_sure():
                return f"{place.who} {done}{place.suffix}"
        return None

    def _changed_argument(self) -> str | None:
        for arg, print_ in self._arguments:
            done = print_.change(arg)
            if done is not None:
                return f"it changed an argument: it {done}"
        return None


def look(fn: Any, calls: Iterable[tuple[Any, ...]] = (), home: str | None = None) -> Look:
    """See what `fn` shares with its caller, before it is called.

    Args:
        fn: Anything that can be called.
        calls: The arguments of the calls to come, for `Look.watch`, as far as they are known already.
        home: An installed package that is the program's own code all the same, such as the one that plait is
            called from. Other installed packages, and the standard library, are not looked into.

    """
    seen = Look(home)
    try:
        seen._take(fn)
    except Exception as fault:
        seen._fail(fault)
    seen.watch_all(calls)
    return seen
