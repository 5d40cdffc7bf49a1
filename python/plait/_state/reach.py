"""What a function reaches by names: other functions of the program, objects, and what must not leave this
process.

Goes from a function to what it names (globals, closure, defaults, the object that it is bound to), from there
to the functions and classes among that, and so on, within bounds. Nothing is run. A name may be an
attribute's that is also a global's; what follows from such a name is put to the test before anything is said
of it.
"""

import types
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

from plait._state.code import Code
from plait._state.facts import LOOKED_INTO, Budget, parts_of
from plait._state.kinds import Kinds, meaning
from plait._state.origin import Origin
from plait._state.safe import MISSING, dict_of, is_exactly, member, mro_of, name_of, namespace_of

_FUNCTIONS = 200
# So many parts of a container are met.
_PARTS = 64
# Special methods that nobody calls for what they change; all others may be called without being named.
_SHOWING = frozenset(
    f"__{name}__" for name in ("repr", "str", "format", "del", "reduce", "reduce_ex", "getstate", "setstate")
)
_NOT_CALLED = _SHOWING | {"__new__", "__init__", "__post_init__"}


class Way:
    """A function on the way from the one that was given."""

    def __init__(self, function: types.FunctionType, before: "Place", is_first: bool) -> None:
        """`before` is where the function was found; the first is the one that was given, or what it wraps."""
        self.function = function
        self.code = Code(function.__code__)
        self._before = before
        self._is_first = is_first

    def is_sure(self) -> bool:
        """Whether each name on the way is loaded as what it was taken for."""
        return self._before.is_sure()

    def values(self) -> list[Any]:
        """The function, and what its names lead to as globals and in its closure."""
        names = self.function.__globals__
        found = [dict.get(names, name, MISSING) for name in self.code.names]
        cells = [cell.cell_contents for cell in self.function.__closure__ or () if _is_full(cell)]
        return [self.function, *(value for value in found if value is not MISSING), *cells]

    @property
    def who(self) -> str:
        """The subject of a sentence about it."""
        return "it" if self._is_first else f"`{self.function.__name__}`, which it calls,"


class Place:
    """Where a name leads: what lies there now, and how to say it."""

    def __init__(
        self,
        holder: Any,
        path: str,
        way: Way | None,
        key: str | None = None,
        name: str | None = None,
        attribute: str | None = None,
    ) -> None:
        """`holder` is the object itself, the cell that holds it, or the dict that does under `key`.

        `path` is how `way`'s function would write it, `name` the global name that it begins with, if any, and
        `attribute` the name of the attribute by which it was reached, if it was.
        """
        self._holder = holder
        self._key = key
        self._name = name
        self.attribute = attribute
        self.path = path
        self.way = way

    @property
    def is_fixed(self) -> bool:
        """Whether nothing else can come to lie here."""
        return self._key is None and type(self._holder) is not types.CellType

    def now(self) -> Any:
        """What lies there now, or `MISSING`."""
        if self._key is not None:
            of_class = type(self._holder) is types.MappingProxyType
            return (self._holder.get if of_class else partial(dict.get, self._holder))(self._key, MISSING)
        if type(self._holder) is types.CellType:
            return self._holder.cell_contents if _is_full(self._holder) else MISSING
        return self._holder

    @property
    def assigned(self) -> str:
        """What a sentence calls it when something else has come to lie here."""
        return f"the global `{self.path}`" if self._key == self.path else f"`{self.path}`"

    @property
    def suffix(self) -> str:
        """What a sentence adds to the path."""
        return " of its closure" if type(self._holder) is types.CellType else ""

    def at(self, value: Any, path: str | None = None) -> "Place":
        """The place of something found by way of this one."""
        return Place(value, self.path if path is None else path, self.way, None, self._name, self.attribute)

    def under(self, names: Any, key: str) -> "Place":
        """The place of an attribute of what lies here, which is kept in a dict."""
        return Place(names, f"{self.path}.{key}", self.way, key, self._name, self.attribute)

    def of_object(self, value: Any, attribute: str) -> "Place":
        """The place of an attribute of the object that lies here."""
        return Place(value, f"{self.path}.{attribute}", self.way, None, self._name, attribute)

    def is_sure(self) -> bool:
        """Whether the function loads the name as a global one, and was itself found by such names."""
        way = self.way
        return way is None or ((self._name is None or way.code.loads(self._name)) and way.is_sure())

    @property
    def who(self) -> str:
        """The subject of a sentence about it."""
        return "it" if self.way is None else self.way.who


class Reach:
    """What was reached. `finding` is set once it is clear that the function shares state."""

    def __init__(self, origin: Origin, kinds: Kinds, budget: Budget) -> None:
        """Begin with nothing."""
        self.finding: str | None = None
        # Where objects lie that can be changed, and plain values that can be replaced.
        self.places: list[Place] = []
        self._origin = origin
        self._kinds = kinds
        self._budget = budget
        self._ways: deque[Way] = deque()
        self._followed: list[Way] = []
        self._met: set[tuple[int, Any]] = set()
        self._kept: list[Any] = []
        self._names: set[str] = set()
        self._is_start = True
        # Whose attributes are followed once somebody has named them.
        # Of a class, whether the program makes objects of it, and has not merely been given one.
        self._classes: list[tuple[type, Place, bool]] = []
        self._objects: list[tuple[Any, Place]] = []

    @property
    def ways(self) -> list[Way]:
        """The functions of the program that were found, the given one first."""
        return list(self._followed)

    def start(self, fn: Any) -> None:
        """Reach from the function that was given."""
        self._value(fn, Place(fn, _called(fn), None))
        self.follow()
        self._is_start = False

    def argument(self, value: Any, path: str) -> None:
        """Reach from an argument of a call: its methods, and what it must not be."""
        kind = self._kinds.of(value)
        if kind.startswith("handover"):
            self._handed(kind, Place(value, path, None))
        elif kind == "record" and self._is_new(type(value)):
            self._classes.append((type(value), Place(value, path, None), False))

    def follow(self) -> None:
        """Go on until there is nothing new, or the bounds are reached."""
        while self.finding is None:
            while self._ways:
                if self.finding is not None or self._budget.is_spent():
                    return
                self._look_at(self._ways.popleft())
            self._follow_attributes()
            if not self._ways:
                return

    def _look_at(self, way: Way) -> None:
        function, code = way.function, way.code
        assigned = code.assigned()
        if assigned is not None and way.is_sure():
            where, name = assigned
            what = f"the global `{name}`" if where == "global" else f"`{name}` of its closure"
            self.finding = f"{way.who} assigns {what}"
            return
        self._names |= code.names
        names = function.__globals__
        # In order, so that of two findings it is always the same.
        for name in sorted(code.names):
            value = dict.get(names, name, MISSING)
            if value is not MISSING and not name.startswith("__"):
                self._value(value, Place(names, name, way, name, name))
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            if _is_full(cell):
                self._value(cell.cell_contents, Place(cell, name, way))
        values = function.__defaults__ or ()
        args = function.__code__.co_varnames[: function.__code__.co_argcount]
        for name, value in [
            *zip(args[len(args) - len(values) :], values),
            *(function.__kwdefaults__ or {}).items(),
        ]:
            self._value(value, Place(value, name, way))
        self._follow_function(function, Place(function, function.__name__, way))

    def _follow_function(self, function: types.FunctionType, place: Place) -> None:
        """The function's own attributes."""
        for name, value in list(function.__dict__.items()):
            if name == "__wrapped__":
                self._value(value, place.at(value))
            elif not name.startswith("__"):
                self._value(value, place.under(function.__dict__, name))

    def _value(self, value: Any, place: Place, is_part: bool = False) -> None:
        """Meet what lies at a place; parts of what is watched are not watched again."""
        kind = self._kinds.of(value)
        if kind == "plain":
            if not place.is_fixed and not is_part:
                self.places.append(place)
        elif kind.startswith("handover"):
            self._handed(kind, place)
        elif kind == "module":
            self._module(value, place)
        elif kind == "ndarray":
            # Not noted as met, since that would hold it: NumPy resizes only arrays that nobody else holds.
            if not is_part:
                self.places.append(place)
        # What a call sets of context variables ends with it.
        elif kind not in ("opaque", "contextvar") and self._is_new(value):
            self._unwrapped(value, kind, place, is_part)

    def _unwrapped(self, value: Any, kind: str, place: Place, is_part: bool) -> None:
        match kind:
            case "function":
                self._function(value, place)
            case "method":
                self._value(value.__func__, place.at(value.__func__))
                self._owner(value.__self__, place)
            case "builtin":
                self._owner(value.__self__, place)
            case "partial":
                self._partial(value, place)
            case "wrapper" | "cached" | "property":
                for inner in _within(value, kind):
                    self._value(inner, place.at(inner))
            case "callable":
                # Of some library's class: what was vectorised, compiled, or made a task.
                self._functions_in((part for _, part in parts_of(value, "record")), place)
            case "class":
                if self._origin.owns_class(value):
                    self._classes.append((value, place, True))
            case _ if kind in LOOKED_INTO:
                if not is_part:
                    self.places.append(place)
                self._object(value, kind, place)

    def _handed(self, kind: str, place: Place) -> None:
        if self.finding is None and place.is_sure() and self._is_asked_for(place):
            word = kind.removeprefix("handover ")
            verb = "takes from" if word in ("generator", "iterator") else "uses"
            self.finding = f"{place.who} {verb} the {word} `{place.path}`{place.suffix}, {meaning(word)}"

    def _is_asked_for(self, place: Place) -> bool:
        """Whether somebody asks for what lies here, if it is an attribute, and does not merely set it."""
        name = place.attribute
        return name is None or any(way.code.asks_for(name) for way in self._followed)

    def _function(self, function: types.FunctionType, place: Place) -> None:
        if self._origin.owns_function(function):
            if len(self._followed) < _FUNCTIONS:
                self._followed.append(Way(function, place, self._is_start and not self._followed))
                self._ways.append(self._followed[-1])
            return
        # A decorator of some library's around a function of the program's.
        inner = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
        self._functions_in((*inner, function.__dict__.get("__wrapped__")), place)

    def _functions_in(self, parts: Iterable[Any], place: Place) -> None:
        for part in parts:
            if self._kinds.of(part) in ("function", "method", "partial", "wrapper"):
                self._value(part, place.at(part))

    def _owner(self, owner: Any, place: Place) -> None:
        """The object that a method is bound to."""
        if owner is not None and type(owner) is not types.ModuleType:
            path = place.path.rpartition(".")[0]
            self._value(owner, place.at(owner, path or "self"))

    def _partial(self, value: Any, place: Place) -> None:
        fn, args, keywords = (member(partial, name, value) for name in ("func", "args", "keywords"))
        self._value(fn, place.at(fn))
        for index, part in enumerate(args):
            self._value(part, place.at(part, f"args[{index}]"))
        for name, part in list(keywords.items()):
            self._value(part, place.at(part, name))

    def _module(self, module: types.ModuleType, place: Place) -> None:
        """What the function names of a module of the program's."""
        if place.way is None or not self._is_new(module, place.way) or not self._origin.owns_module(module):
            return
        names = member(types.ModuleType, "__dict__", module)
        for name in sorted(place.way.code.names):
            if name in names and not name.startswith("__"):
                self._value(names[name], place.under(names, name))

    def _object(self, value: Any, kind: str, place: Place) -> None:
        """What can be changed: its methods if it has any of the program's, and what it holds."""
        if self._origin.owns_class(type(value)):
            if self._is_new(type(value)):
                self._classes.append((type(value), place, False))
            self._objects.append((value, place))
        if kind not in ("record", "library"):
            for end, part in islice(parts_of(value, kind), _PARTS):
                self._value(part, place.at(part, place.path + end), is_part=True)

    def _follow_attributes(self) -> None:
        """What lies under names that are used, in the objects and classes that were met."""
        for obj, place in list(self._objects):
            for end, part in parts_of(obj, "record"):
                name = end.removeprefix(".")
                if name in self._names and (self._is_handover(part) or self._is_new(obj, name)):
                    self._value(part, place.of_object(part, name), is_part=True)
        for cls, place, is_made in list(self._classes):
            for base in mro_of(cls):
                if self._origin.owns_class(base):
                    self._follow_class(base, place, is_made)

    def _follow_class(self, cls: type, place: Place, is_made: bool) -> None:
        names = namespace_of(cls)
        for name, value in list(names.items()):
            if name.startswith("__") and name.endswith("__"):
                kind = self._kinds.of(value)
                used = kind in ("function", "wrapper") and name not in (_SHOWING if is_made else _NOT_CALLED)
            else:
                used = name in self._names
            if used and (self._is_handover(value) or self._is_new(cls, name)):
                path = f"{name_of(cls)}.{name}"
                self._value(value, Place(names, path, place.way, name, attribute=name))

    def _is_handover(self, value: Any) -> bool:
        """Whether it is worth another look: a function that asks for it may have been found since."""
        return self._kinds.of(value).startswith("handover")

    def _is_new(self, value: Any, of: Any = None) -> bool:
        """Whether this was not met before (with the other); it is kept, so that its address stays its own."""
        key = id(value), of if type(of) is str else id(of)
        if key in self._met:
            return False
        self._met.add(key)
        self._kept.append((value, of))
        return True


def _within(value: Any, kind: str) -> list[Any]:
    """The functions within a descriptor, or within a wrapper of `functools`."""
    if kind == "property":
        inner = [member(property, name, value) for name in ("fget", "fset")]
    elif kind == "cached":
        inner = [(dict_of(value) or {}).get("func")]
    elif is_exactly(value, classmethod, staticmethod):
        inner = [member(type(value), "__func__", value)]
    else:
        inner = [(dict_of(value) or {}).get("__wrapped__")]
    return [each for each in inner if each is not None]


def _is_full(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not MISSING
    except ValueError:
        return False


def _called(fn: Any) -> str:
    """What a function is called in a sentence."""
    return "self" if type(fn) is not types.FunctionType else fn.__name__
