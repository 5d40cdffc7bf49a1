"""Finds what in a value cannot be pickled, and says so. Runs only after pickling failed.

The value is pickled once more while noting what the pickler meets: it fails while it is inside the culprit
and all that leads to it, so at each step down the path goes through the part that was met last. That guess is
then put to the test, smallest part first; where it does not hold, parts are pickled one by one, within bounds
of time and number.
"""

import _pickle
import io
import time

from plait._byvalue import Pickler
from plait._errors import NotPicklable
from plait._interrupt import is_interrupt
from plait._parts import ATOMS, last_met, last_step, parts_of
from plait._pickled import pickled
from plait._remote import message_of, type_name

# Deeper than people nest by hand; a structure deeper than that is named by its outermost part.
_DEPTH = 40
# Longer sequences are searched by halves, each pickled as one list.
_HALVE_FROM = 16
# A search that takes longer ends with the path that it has.
_SECONDS = 0.5
_TRIES = 500
_REASON = 1000

_ROOTS = {"call": "args", "direct": "args", "direct items": "items"}


def explain(value, root: str, error: BaseException, first: int = 0) -> NotPicklable:
    """Makes the error that names the path to the culprit, and the remedy; items are counted from `first`."""
    path, culprit, reason = _find_safely(value, root, error, first)
    explained = NotPicklable(f"{path}: {_message(reason)}; {_remedy(culprit, reason)}")
    explained.path = path
    return explained


def locate(value, root: str, error: BaseException) -> tuple[str, str]:
    """Gives the path to the culprit, and what is wrong with it."""
    path, _, reason = _find_safely(value, root, error)
    return path, _message(reason)


def _find_safely(value, root, error, first=0):
    try:
        return _Search().find(_roots(value, root, first), _ROOTS.get(root, root), value, error)
    except BaseException as fault:
        # The search must not hide what went wrong in the first place.
        if is_interrupt(fault):
            raise
        return _ROOTS.get(root, root), value, error


def _roots(value, root, first):
    """What a value of this kind is made of, for the user."""
    if root == "call" and isinstance(value, tuple):
        return _call_parts(value, {})
    if root == "call":
        return _call_parts(*value)
    if root == "direct":
        function, args, kwargs = value
        return [("fn", function), *_call_parts(args, kwargs or {})]
    if root == "direct items":
        function, items = value
        return [("fn", function), *_roots(items, "items", first)]
    if root == "items":
        return [(f"items[{index}]", item) for index, item in enumerate(value, first)]
    return [(root, value)]


def _call_parts(args, kwargs):
    return [(f"args[{index}]", arg) for index, arg in enumerate(args)] + [
        (f"kwargs[{name!r}]", value) for name, value in kwargs.items()
    ]


class _Search:
    """One search, which ends in time."""

    def __init__(self):
        self._deadline = None
        self._tries = _TRIES

    def find(self, roots, label, value, error):
        """Gives the path, what is at its end, and why that does not pickle."""
        guess = self._guess(roots, value, error)
        if len(guess) > _DEPTH and _too_deep(error):
            return *guess[0], error
        found = None
        for end in range(len(guess), 0, -1):
            reason = self._failure(guess[end - 1][1])
            if reason is not None:
                path = "".join(step for step, _ in guess[:end])
                found = path, guess[end - 1][1], reason
                break
        if found is None:
            failing = self._first_failing(roots)
            if failing is None:
                return label, value, error
            found = failing
        return self._refined(*found)

    def _guess(self, roots, value, error):
        """The way down to where the pickler failed: steps with what is there, not tested yet."""
        met = [thing for thing in _met(value, error) if type(thing) not in ATOMS]
        guess, ids = [], set(map(id, met))
        step = last_step(roots, met)
        while step is not None and len(guess) <= _DEPTH:
            guess.append(step)
            ids.discard(id(step[1]))
            step = last_met(step[1], met, ids)
        return guess

    def _refined(self, path, culprit, reason):
        """Goes on from something that fails to the first of its parts that does, until all parts are well."""
        passed = {id(culprit)}
        for _ in range(_DEPTH):
            if _too_deep(reason):
                break
            failing = self._first_failing([part for part in parts_of(culprit) if id(part[1]) not in passed])
            if failing is None:
                break
            step, culprit, reason = failing
            passed.add(id(culprit))
            path += step
        return path, culprit, reason

    def _first_failing(self, parts):
        """The first part that does not pickle on its own, with the reason, or None."""
        parts = [part for part in parts if type(part[1]) not in ATOMS]
        if len(parts) > _HALVE_FROM:
            middle = len(parts) // 2
            if self._failure([part for _, part in parts[:middle]]) is not None:
                found = self._first_failing(parts[:middle])
                if found is not None:
                    return found
            return self._first_failing(parts[middle:])
        for label, part in parts:
            reason = self._failure(part)
            if reason is not None:
                return label, part, reason
        return None

    def _failure(self, value):
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + _SECONDS
        self._tries -= 1
        if self._tries < 0 or now > self._deadline:
            return None
        try:
            pickled(value)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return error
        return None


class _QuickPickler(_pickle.Pickler):
    """C pickle, and lets itself be watched, as only classes derived from it do."""

    def __init__(self, file):
        super().__init__(file, 5)


def _met(value, error):
    """All that a pickler meets until it fails as it did before; nothing when it does not."""
    # C pickle is quicker, and often fails at the same place.
    for make in (_QuickPickler, Pickler):
        met = []
        pickler = make(io.BytesIO())
        pickler.persistent_id = met.append
        try:
            pickler.dump(value)
        except BaseException as again:
            if is_interrupt(again):
                raise
            if type(again) is type(error) and message_of(again) == message_of(error):
                return met
    return []


def _too_deep(reason: BaseException | None) -> bool:
    return isinstance(reason, RecursionError) or isinstance(
        getattr(reason, "__cause__", None), RecursionError
    )


def _message(reason: BaseException) -> str:
    if _too_deep(reason):
        return "nested too deeply to be pickled"
    message, name = message_of(reason), type_name(type(reason))
    if len(message) > _REASON:
        message = message[: _REASON - 3] + "..."
    if not message:
        return name
    # The picklers' own words need no name before them.
    own = name.endswith("PicklingError") or message.startswith(("cannot pickle", "Can't pickle"))
    return message if own else f"{name}: {message}"


def _remedy(culprit, reason: BaseException) -> str:
    if _too_deep(reason):
        return "send a flatter structure (lists instead of long chains of objects)"
    kind = type(culprit)
    module, name = (type.__getattribute__(kind, part) for part in ("__module__", "__name__"))
    if issubclass(kind, io.IOBase):
        return "send the path and open the file inside the function"
    if module == "builtins" and name == "coroutine":
        return (
            "its function is a coroutine function: give that to plait.map or to plait.Executor('asyncio'), "
            "or call asyncio.run in a plain function"
        )
    if _is_iterator(kind):
        return "send a list of its items, or make it inside the function"
    if module in ("_multiprocessing", "multiprocessing.synchronize"):
        return (
            "make it by multiprocessing.get_context('spawn'), and give it to the executor's initializer, "
            "in its initargs"
        )
    if module in ("_thread", "threading") or "lock" in name.lower():
        return "make it inside the function, use plait's own locks, or leave it out with __getstate__"
    if module in ("socket", "ssl", "_ssl", "sqlite3") or "onnection" in name:
        return "open the connection inside the function or in the executor's initializer"
    return "make it inside the function, or leave it out with __getstate__"


def _is_iterator(kind: type) -> bool:
    try:
        type.__getattribute__(kind, "__next__")
    except AttributeError:
        return False
    return True
