"""Sends exceptions as themselves: the same class, arguments, attributes and notes.

By itself an exception pickles as its class and `args`, and unpickles by calling the one with the other. That
fails where the constructor takes something else, and quietly gives something else where it takes fewer. So an
exception is made here without its `__init__`, and filled with what it held. A class that says itself how it
pickles is believed, as far as that works.

What cannot travel is left out: an attribute is missing, an argument is its `repr`, a member of a group is a
`RemoteError`; a note on the exception names each.
"""

import _pickle
import copyreg
import functools
import io
from types import MemberDescriptorType, MethodDescriptorType
from typing import Any

from plait import _core
from plait._interrupt import is_interrupt

_HEAP_TYPE = 1 << 9
_ATOMS = frozenset((str, int, float, bool, bytes, complex, type(None)))

# What is read here is read past whatever a class or its metaclass says instead.
_class_attribute = type.__getattribute__
_dict_of = BaseException.__dict__["__dict__"].__get__
_args = BaseException.__dict__["args"]
_message = BaseExceptionGroup.__dict__["message"].__get__
_members = BaseExceptionGroup.__dict__["exceptions"].__get__


def pickled(exception: BaseException) -> bytes:
    """A pickle that gives an exception of the same class; raises what stands in the way."""
    try:
        return _tried(exception, _Travel())
    except BaseException as error:
        if is_interrupt(error):
            raise
    return _tried(exception, _LightTravel())


def pickled_within(value: object) -> bytes:
    """A pickle of a value in which exceptions go as themselves; raises what stands in the way."""
    return _Travel().pickled(value)


def reduced(exception: BaseException) -> Any:
    """What a pickler of other values is to make of an exception."""
    return _Travel().reduced(exception)


def _tried(exception: BaseException, travel: "_Travel") -> bytes:
    data = travel.pickled(exception)
    if not travel.certain:
        # What fails on arrival fails here rather than in the parent.
        copy = _pickle.loads(data)
        if type(copy) is not type(exception):
            raise TypeError(f"it unpickles as {type(copy).__qualname__}")
    return data


# --- on arrival


def make(cls: type[BaseException], *members: Any) -> BaseException:
    """An exception of this class that no code of the class has seen; `members` are for groups."""
    try:
        return _layout(cls).__new__(cls, *members)
    except TypeError:
        # A class of an extension module makes its instances itself.
        return cls.__new__(cls, *members)


def fill(exception: BaseException, state: tuple[tuple, tuple, dict, dict]) -> None:
    """Gives an exception what another held: arguments of its built-in base, `args`, attributes, slots."""
    initial, args, attributes, slots = state
    try:
        _layout(type(exception)).__init__(exception, *initial)
    except Exception:
        # They were changed since, or are those of another constructor.
        BaseException.__init__(exception, *args)
    _args.__set__(exception, args)
    _dict_of(exception).update(attributes)
    for name, value in slots.items():
        object.__setattr__(exception, name, value)


def add_notes(exception: BaseException, notes: object) -> None:
    """Puts back the notes of an exception that pickles in its own way, which knows of none."""
    _dict_of(exception)["__notes__"] = notes


# --- on leaving


class _Pickler(_pickle.Pickler):
    def __init__(self, file: io.BytesIO, travel: "_Travel") -> None:
        super().__init__(file, 5)
        self._travel = travel

    def reducer_override(self, obj: object) -> Any:
        if issubclass(type(obj), BaseException):
            return self._travel.reduced(obj)
        return NotImplemented


class _Travel:
    """How the exceptions of one pickle go: whole."""

    def __init__(self) -> None:
        # Whether it is sure to load.
        self.certain = True
        self._known: dict[int, tuple[BaseException, Any]] = {}

    def pickled(self, value: object) -> bytes:
        """Pickles by name where that reaches, else by value."""
        file = io.BytesIO()
        try:
            _Pickler(file, self).dump(value)
            data = file.getvalue()
            if not _core.codec.strangers(data):
                return data
        except Exception:  # perhaps it goes by value
            pass
        from plait import _pickled

        self.certain = False
        return _pickled.pickled(value, self.reduced)

    def reduced(self, exception: BaseException) -> Any:
        """What a pickler is to make of an exception."""
        known = self._known.get(id(exception))
        if known is None:
            self._known[id(exception)] = exception, _placeholder(exception)
            known = self._known[id(exception)] = exception, self._reduced(exception)
        return known[1]

    def _reduced(self, exception: BaseException) -> Any:
        own = _own_way(exception)
        if own is None:
            return self._rebuilt(exception)
        self.certain = False
        return own

    def _rebuilt(self, exception: BaseException) -> tuple:
        cls = type(exception)
        layout = _layout(cls)
        reduced = layout.__reduce__(exception)
        args = _args.__get__(exception)
        initial, members = reduced[1], ()
        if layout is BaseExceptionGroup:
            initial, members = args, (_message(exception), _members(exception))
        attributes = dict(_dict_of(exception))
        slots = _slots(exception)
        if len(reduced) > 2 and reduced[2]:
            known = (*attributes, "args")
            slots.update((name, value) for name, value in reduced[2].items() if name not in known)
        if _kept_beside(layout):
            twin = make(cls, *members)
            fill(twin, (initial, args, {}, slots))
            slots.update(_changed(exception, twin))
        state = self._light(exception, (initial, args, attributes, slots, members))
        self.certain = self.certain and all(all(map(_is_plain, part)) for part in _values(state))
        *state, members = state
        return make, (cls, *members), tuple(state), None, None, fill

    def _light(self, exception: BaseException, state: tuple) -> tuple:
        return state


class _LightTravel(_Travel):
    """How the exceptions of one pickle go: without what cannot travel."""

    def _reduced(self, exception: BaseException) -> Any:
        own = _own_way(exception)
        if own is None or self._hindrance(own[1:3], "exception"):
            return self._rebuilt(exception)
        self.certain = False
        return own

    def _light(self, exception: BaseException, state: tuple) -> tuple:
        initial, args, attributes, slots, members = state
        notes = []

        def kept(named: dict) -> dict:
            light = {}
            for name, value in named.items():
                hindrance = self._hindrance(value, f"exception.{name}")
                if hindrance:
                    notes.append(hindrance)
                else:
                    light[name] = value
            return light

        def replaced(values: tuple, label: str) -> tuple:
            light = []
            for index, value in enumerate(values):
                hindrance = self._hindrance(value, f"exception.{label}[{index}]")
                if hindrance and isinstance(value, list | tuple):
                    value = [self._member(part) for part in value]
                    hindrance = self._hindrance(value, f"exception.{label}[{index}]")
                if hindrance:
                    notes.append(hindrance)
                    value = _repr(value)
                light.append(value)
            return tuple(light)

        known = [id(value) for value in args]
        if [id(value) for value in initial] == known:
            initial = args = replaced(args, "args")
        else:
            args = replaced(args, "args")
            said = len(notes)
            initial = replaced(initial, "args")
            del notes[said:]
        if members:
            members = (members[0], tuple(map(self._member, members[1])))
        attributes, slots = kept(attributes), kept(slots)
        if notes:
            before = attributes.get("__notes__")
            attributes["__notes__"] = [*(before if isinstance(before, list) else ()), *dict.fromkeys(notes)]
        return initial, args, attributes, slots, members

    def _member(self, value: object) -> object:
        """A member of a group, or what stands for one that cannot travel."""
        if issubclass(type(value), BaseException) and self._hindrance(value, "exception"):
            from plait._errors import RemoteError
            from plait._remote import describe

            return RemoteError(*describe(value))
        return value

    def _hindrance(self, value: object, label: str) -> str | None:
        """Why a part of an exception cannot travel, with the path to what is in the way; None when it can."""
        if _is_plain(value):
            return None
        try:
            _pickle.loads(self.pickled(value))
        except BaseException as error:
            if is_interrupt(error):
                raise
            from plait._culprit import locate

            path, why = locate(value, label, error)
            return f"left out on the way from the worker: {path}: {why}"
        return None


def _placeholder(exception: BaseException) -> Any:
    """How an exception goes that holds itself, while it is found out how it goes."""
    if _layout(type(exception)) is BaseExceptionGroup:
        return BaseException, ()
    return make, (type(exception),)


def _own_way(exception: BaseException) -> Any:
    """How a class pickles an exception in its own way; None when it has none, or does not get it back."""
    cls = type(exception)
    try:
        if _is_standard(cls):
            return None
        own = exception.__reduce_ex__(5)
        if type(own[0](*own[1])) is not cls:
            return None
        notes = _dict_of(exception).get("__notes__")
        if notes is not None and len(own) == 2:
            return *own, notes, None, None, add_notes
    except BaseException as error:
        if is_interrupt(error):
            raise
        return None
    return own


def _is_standard(cls: type) -> bool:
    """Whether instances pickle as those of built-in exceptions do."""
    methods = ("__reduce__", "__getstate__", "__setstate__")
    return (
        _class_attribute(cls, "__reduce_ex__") is object.__reduce_ex__
        and all(type(_class_attribute(cls, name)) is MethodDescriptorType for name in methods)
        and cls not in copyreg.dispatch_table
    )


def _layout(cls: type) -> type:
    """The built-in class that an exception's memory is laid out by, which makes it and sets it up."""
    while _class_attribute(cls, "__flags__") & _HEAP_TYPE:
        cls = _class_attribute(cls, "__base__")
    return cls


def _slots(exception: BaseException) -> dict[str, Any]:
    found = {}
    for name in copyreg._slotnames(type(exception)):
        try:
            found[name] = object.__getattribute__(exception, name)
        except AttributeError:  # never set
            continue
    return found


@functools.cache
def _kept_beside(layout: type) -> dict[str, MemberDescriptorType]:
    """What a built-in base keeps beside `args`, such as `StopIteration.value`."""
    # A group's members go as such; `AttributeError.obj` is what the attribute was missed in: anything at all.
    others = ("__suppress_context__", "message", "exceptions", "obj")
    return {
        name: member
        for base in reversed(layout.__mro__)
        for name, member in vars(base).items()
        if isinstance(member, MemberDescriptorType) and name not in others
    }


def _changed(exception: BaseException, twin: BaseException) -> dict[str, Any]:
    """What of that was set by hand: `twin` is what the arguments alone make."""
    found = {}
    for name, member in _kept_beside(_layout(type(exception))).items():
        try:
            ours, theirs = member.__get__(exception), member.__get__(twin)
        except AttributeError:  # not set here, or not there
            continue
        if ours is not theirs and not (_is_plain(ours) and _is_plain(theirs) and ours == theirs):
            found[name] = ours
    return found


def _values(state: tuple) -> tuple:
    initial, args, attributes, slots, members = state
    return initial, args, attributes.values(), slots.values(), members


def _is_plain(value: object) -> bool:
    return type(value) in _ATOMS or (type(value) is list and all(type(item) in _ATOMS for item in value))


def _repr(value: object) -> str:
    try:
        text = repr(value)
    except BaseException as error:
        if is_interrupt(error):
            raise
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 1000 else text[:997] + "..."
