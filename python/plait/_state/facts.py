"""What is kept of an object, to tell later whether it was changed, and how: its length, its items, what they
hold.

Items are compared by identity, plain ones by value, and kept as they are, so that no address is taken by
another. Of large containers a sample is kept. Nothing of the user's is called. A print is bounded, and so is
the comparison.
"""

import operator
from collections import OrderedDict, deque
from collections.abc import Iterator
from itertools import islice
from time import thread_time
from typing import Any

from plait._state import arrays
from plait._state.kinds import Kinds
from plait._state.safe import MISSING, PLAIN, attributes_of, in_class, is_a, is_exactly, name_of, same

# So many items of a container are kept; of a longer one, from both ends and between.
ITEMS = 4096
# So many parts of a container, or attributes of an object, are looked into in turn; and so deep.
_PARTS = 64
_DEPTH = 3
# So many objects in all.
_PRINTS = 500
# Keys that are longer are not shown.
_KEY = 20

_NOUNS = {
    "ndarray": "array",
    "frame": "table",
    "memoryview": "buffer",
    "record": "object",
    "library": "object",
}
_HELD = ("list", "dict", "set", "deque", "record", "library", "tuple")
_BUFFERS = {
    "bytearray": arrays.of_bytes,
    "array": arrays.of_array,
    "ndarray": arrays.of_ndarray,
    "memoryview": arrays.of_view,
    "frame": arrays.of_frame,
}
_CONTAINERS = (list, dict, set, deque)
LOOKED_INTO = frozenset((*_HELD, *_BUFFERS))


class Budget:
    """How much may still be looked at: objects, and seconds of this thread's processor time."""

    def __init__(self, seconds: float) -> None:
        """Begin with all of it."""
        self._prints = _PRINTS
        self._end = thread_time() + seconds

    def is_spent(self) -> bool:
        """Count one object more; whether that was too many, or there is no time left."""
        self._prints -= 1
        return self._prints < 0 or thread_time() > self._end


class Print:
    """What is kept of one object, and of its parts."""

    __slots__ = ("data", "kind", "obj", "parts", "path")

    def __init__(self, obj: Any, kind: str, path: str) -> None:
        """Take what the object holds itself; `path` is how the program would write it."""
        # NumPy resizes only arrays that nobody else holds; whoever compares has it at hand again.
        self.obj = None if kind == "ndarray" else obj
        self.kind = kind
        self.path = path
        self.data = _data(obj, kind)
        self.parts: list[tuple[Any, Print]] = []

    def change(self, obj: Any) -> str | None:
        """What was done to the object since, as a sentence goes on ("appends to the list `seen`"), or
        None."""
        if self.data is None:
            found = None
        elif self.kind in _BUFFERS:
            found = self._written(_data(obj, self.kind))
        elif self.kind in ("record", "library"):
            found = self._set(_data(obj, self.kind))
        else:
            found = self._replaced(_data(obj, self.kind))
        if found is not None:
            return found
        for part, taken_ in self.parts:
            found = taken_.change(part)
            if found is not None:
                return found
        return None

    def _written(self, now: Any) -> str | None:
        changed = arrays.frame_changed(self.data, now) if self.kind == "frame" else self.data != now
        if not changed:
            return None
        return f"{'changes' if self.kind == 'frame' else 'writes to'} the {self.noun} `{self.path}`"

    def _set(self, now: dict[str, Any]) -> str | None:
        for name, value in now.items():
            if not same(self.data.get(name, MISSING), value):
                return f"sets `{self.path}.{name}`"
        gone = next((name for name in self.data if name not in now), None)
        return None if gone is None else f"deletes `{self.path}.{gone}`"

    def _replaced(self, now: tuple[int, list[Any], dict[str, Any]]) -> str | None:
        size, items, own = self.data
        size_now, items_now, own_now = now
        what = f"the {self.noun} `{self.path}`"
        if size_now > size:
            return f"{'appends' if self.kind in ('list', 'deque') else 'adds'} to {what}"
        if size_now < size:
            return f"removes from {what}"
        if not _all_same(items, items_now) and not (self.kind == "set" and _ids(items) == _ids(items_now)):
            return f"replaces items of {what}"
        for name, value in own_now.items():
            if not same(own.get(name, MISSING), value):
                return f"sets `{self.path}.{name}`"
        return None

    @property
    def noun(self) -> str:
        """What the object is called."""
        return _NOUNS.get(self.kind, self.kind)


def taken(obj: Any, path: str, kinds: Kinds, budget: Budget) -> Print | None:
    """The print of an object and its parts, breadth first; None where there is nothing to see."""
    kind = kinds.of(obj)
    if kind not in LOOKED_INTO or budget.is_spent():
        return None
    root = Print(obj, kind, path)
    seen = {id(obj)}
    level = [(obj, root)]
    for _ in range(_DEPTH - 1):
        below = []
        for whole, print_ in level:
            for part_path, part in _parts(whole, print_):
                kind = kinds.of(part)
                if kind in LOOKED_INTO and id(part) not in seen:
                    if budget.is_spent():
                        return root
                    seen.add(id(part))
                    print_.parts.append((part, Print(part, kind, part_path)))
            below += print_.parts
        level = below
    return root


def parts_of(obj: Any, kind: str) -> Iterator[tuple[str, Any]]:
    """What a container or an object holds, as far as it is looked into, each with the end of its path."""
    if kind in ("record", "library"):
        for name, part in _attributes(obj, kind).items():
            yield f".{name}", part
    elif kind == "dict":
        keys, values = (_ends(view, dict.__len__(obj)) for view in (dict.keys(obj), dict.values(obj)))
        for key, part in islice(zip(keys, values), _PARTS * 4):
            if id(type(part)) not in PLAIN:
                yield f"[{_shown(key)}]", part
    elif kind in ("list", "deque", "tuple"):
        items = _items(obj, kind)
        for index, part in enumerate(islice(items, _PARTS * 4)):
            if id(type(part)) not in PLAIN:
                yield f"[{index}]", part


def _parts(obj: Any, print_: Print) -> Iterator[tuple[str, Any]]:
    for end, part in islice(parts_of(obj, print_.kind), _PARTS):
        # An object of a library keeps to itself what is not a plain container.
        if print_.kind != "library" or is_exactly(part, *_CONTAINERS):
            yield print_.path + end, part


def _data(obj: Any, kind: str) -> Any:
    buffer = _BUFFERS.get(kind)
    if buffer is not None:
        return buffer(obj)
    if kind in ("record", "library"):
        return _attributes(obj, kind)
    if kind == "tuple":
        return None
    size, items = _length(obj, kind), _items(obj, kind)
    plain = is_exactly(obj, *_CONTAINERS)
    return size, items, {} if plain else _attributes(obj, "record")


def _length(obj: Any, kind: str) -> int:
    base: Any = {"list": list, "dict": dict, "set": set, "deque": deque}[kind]
    size: int = base.__len__(obj)
    return size


def _items(obj: Any, kind: str) -> list[Any]:
    """The items that are kept of a container; of a dict its keys and its values."""
    if kind == "list":
        size, read = list.__len__(obj), list.__getitem__
        if size <= ITEMS:
            return read(obj, slice(None))
        ends = read(obj, slice(ITEMS // 4)) + read(obj, slice(-ITEMS // 4, None))
        return ends + read(obj, slice(None, None, size // (ITEMS // 2)))
    if kind == "dict":
        size = dict.__len__(obj)
        # `move_to_end` leaves the dict within as it is.
        order = list(islice(OrderedDict.keys(obj), ITEMS)) if type(obj) is OrderedDict else []
        return order + _ends(dict.keys(obj), size) + _ends(dict.values(obj), size)
    if kind == "deque":
        size = deque.__len__(obj)
        if size <= ITEMS:
            return list(deque.__iter__(obj))
        return list(islice(deque.__iter__(obj), ITEMS // 2)) + list(
            islice(deque.__reversed__(obj), ITEMS // 2)
        )
    base: Any = set if kind == "set" else tuple if is_a(type(obj), tuple) else frozenset
    return list(islice(base.__iter__(obj), ITEMS))


def _ends(view: Any, size: int) -> list[Any]:
    if size <= ITEMS:
        return list(view)
    return list(islice(view, ITEMS // 2)) + list(islice(reversed(view), ITEMS // 2))


def _attributes(obj: Any, kind: str) -> dict[str, Any]:
    """An object's attributes by name, without those that are worked out once; of libraries' only the
    public."""
    cls = type(obj)
    return {
        name: value
        for name, value in islice(attributes_of(obj), ITEMS)
        if (kind == "record" or not name.startswith("_")) and not _is_cached(in_class(cls, name))
    }


def _is_cached(found: Any) -> bool:
    """Whether a class's attribute is one of the descriptors that work out a value and keep it in the
    object."""
    return found is not MISSING and name_of(type(found)) == "cached_property"


def _all_same(before: list[Any], after: list[Any]) -> bool:
    if all(map(operator.is_, before, after)):
        return True
    return all(map(same, before, after))


def _ids(items: list[Any]) -> set[int]:
    return set(map(id, items))


def _shown(key: Any) -> str:
    if id(type(key)) in PLAIN:
        # A plain number can still have thousands of digits.
        text = repr(key) if type(key) is not int or abs(key) < 10**_KEY else "..."
        if len(text) <= _KEY:
            return text
    return "..."
