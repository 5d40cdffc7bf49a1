"""Looking at objects without running a line of the user's code: no `__eq__`, `__hash__`, `__len__`, no
properties.

Everything here goes by an object's real type and by what CPython's own types say of it: attributes are read
from the dicts and slots in which they lie, never asked for. Promises that nothing it is given is called,
compared or hashed. What cannot be read so is left out.
"""

import types
from collections.abc import Iterator
from typing import Any

MISSING = object()

# Immutable all the way down, and compared by value: nothing of these can be changed, and to set one again
# changes nothing.
PLAIN = frozenset(
    map(id, (int, float, complex, bool, str, bytes, type(None), type(...), type(NotImplemented), range))
)
_COMPARED = frozenset(map(id, (int, float, complex, str, bytes)))

_mro = type.__dict__["__mro__"].__get__
_module = type.__dict__["__module__"].__get__
_qualname = type.__dict__["__qualname__"].__get__
_namespace = type.__dict__["__dict__"].__get__


def mro_of(cls: type) -> tuple[type, ...]:
    """The classes that it is made of, from itself on."""
    found: tuple[type, ...] = _mro(cls)
    return found


def module_of(cls: type) -> str:
    """The module that the class says it is of, or nothing."""
    try:
        name = _module(cls)
    except AttributeError:
        return ""
    return name if type(name) is str else ""


def name_of(cls: type) -> str:
    """The class's qualified name."""
    name: str = _qualname(cls)
    return name


def namespace_of(cls: type) -> "types.MappingProxyType[str, Any]":
    """What is defined in the class itself."""
    found: types.MappingProxyType[str, Any] = _namespace(cls)
    return found


def is_a(cls: type, base: type) -> bool:
    """Whether a class derives from another, whatever it says of itself."""
    return any(each is base for each in mro_of(cls))


def is_exactly(obj: Any, *classes: type) -> bool:
    """Whether an object has one of these classes; `in` would compare them, which a metaclass may answer."""
    return any(type(obj) is each for each in classes)


def in_class(cls: type, name: str) -> Any:
    """What the class or its bases define under this name, as it lies there, or `MISSING`."""
    for each in mro_of(cls):
        found = namespace_of(each).get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def member(base: type, name: str, obj: Any) -> Any:
    """What one of CPython's own types keeps in an object, whatever a class derived from it says."""
    return namespace_of(base)[name].__get__(obj)


def dict_of(obj: Any) -> dict[str, Any] | None:
    """The dict that holds an object's attributes, where it has one that no class hides."""
    found = in_class(type(obj), "__dict__")
    if not is_exactly(found, types.GetSetDescriptorType, types.MemberDescriptorType):
        return None
    try:
        attributes = found.__get__(obj)
    except AttributeError:
        return None
    return attributes if type(attributes) is dict else None


def slots_of(obj: Any) -> Iterator[tuple[str, Any]]:
    """What lies in the slots of an object, without those that are empty."""
    for cls in mro_of(type(obj)):
        # A copy, which another thread cannot change meanwhile.
        for name, slot in list(namespace_of(cls).items()):
            if type(slot) is types.MemberDescriptorType and type(name) is str and is_heap(cls):
                try:
                    yield name, slot.__get__(obj)
                except AttributeError:
                    continue


def is_heap(cls: type) -> bool:
    """Whether a class statement made the class; others keep in C what they have."""
    return bool(cls.__flags__ & _HEAP) if type(cls) is type else bool(_flags(cls) & _HEAP)


_flags = type.__dict__["__flags__"].__get__
# Py_TPFLAGS_HEAPTYPE, part of the stable interface of C.
_HEAP = 1 << 9


def attributes_of(obj: Any) -> list[tuple[str, Any]]:
    """An object's own attributes, with their values: those of its dict, and of its slots."""
    found = dict_of(obj)
    named = (
        [] if found is None else [(name, value) for name, value in list(found.items()) if type(name) is str]
    )
    named += slots_of(obj)
    return named


def same(before: Any, after: Any) -> bool:
    """Whether two values are one, or plain and equal."""
    if before is after:
        return True
    kind = type(before)
    if kind is not type(after) or id(kind) not in _COMPARED:
        return False
    # Two that are not numbers are the same here.
    return bool(before == after or (before != before and after != after))
